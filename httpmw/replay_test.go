package httpmw_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

func TestH80ReplayIsMarkedAndTheFirstAnswerIsNot(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(httpmw.HeaderReplayed, "false") // a handler cannot speak for us in the record
		created(&runs)(w, r)
	})
	// A client that sends the mark changes nothing.
	first := b.post(t, "k", "x", httpmw.HeaderReplayed, "true").want(t, 201, "")
	if first.replayed() {
		t.Error("the first answer is marked")
	}
	again := b.post(t, "k", "x").want(t, 201, "")
	if got := again.header[httpmw.HeaderReplayed]; !slices.Equal(got, []string{"true"}) {
		t.Errorf("the replay is marked %q", got)
	}
	// A shared cache must not hand one caller's answer to another.
	if again.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control: %q", again.header.Get("Cache-Control"))
	}
	b = newBench(t, benchConfig{}, status(200, "", "Cache-Control", "private, max-age=5"))
	if _, again := bothAnswers(t, b); again.header.Get("Cache-Control") != "private, max-age=5" {
		t.Errorf("Cache-Control: %q", again.header.Get("Cache-Control"))
	}
}

func TestH81FramingIsRightForEveryVersionOfHTTP(t *testing.T) {
	serve := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"a"`)
		_, _ = io.WriteString(w, strings.Repeat("x", 5000))
	}
	t.Run("HEAD", func(t *testing.T) {
		b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Methods: []string{"HEAD"}}}, serve)
		for n := range 2 {
			a := b.do(t, b.request(t, http.MethodHead, "/", "k", nil)).want(t, 200, "")
			if a.body != "" || a.length != 5000 || a.replayed() != (n == 1) {
				t.Errorf("answer %d: %d bytes of %d, %v", n+1, len(a.body), a.length, a.header)
			}
		}
	})
	t.Run("HTTP/1.0", func(t *testing.T) {
		b := newBench(t, benchConfig{}, serve)
		for n := range 2 {
			conn, err := net.Dial("tcp", b.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, "POST / HTTP/1.0\r\nIdempotency-Key: k\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = conn.Close()
			if err != nil || len(body) != 5000 || len(resp.TransferEncoding) != 0 || (resp.Header.Get(httpmw.HeaderReplayed) == "true") != (n == 1) {
				t.Errorf("answer %d: %d bytes, %v, %v", n+1, len(body), resp, err)
			}
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		b := newBench(t, benchConfig{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			serve(w, r)
			w.Header().Set("X-Sum", "42")
		})
		tls := httptest.NewUnstartedServer(b.Config.Handler)
		tls.EnableHTTP2 = true
		tls.StartTLS()
		defer tls.Close()
		b.URL = tls.URL
		for n := range 2 {
			r := b.request(t, http.MethodPost, "/", "k", strings.NewReader("x"))
			resp, err := tls.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.ProtoMajor != 2 || len(body) != 5000 || resp.Trailer.Get("X-Sum") != "42" ||
				(resp.Header.Get(httpmw.HeaderReplayed) == "true") != (n == 1) {
				t.Errorf("answer %d: %v, %d bytes, %v", n+1, resp, len(body), err)
			}
		}
	})
}

func TestH81DateOfAReplayIsItsOwn(t *testing.T) {
	b := newBench(t, benchConfig{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", "Mon, 02 Jan 2006 15:04:05 GMT")
	})
	first := b.post(t, "k", "x")
	again := b.post(t, "k", "x")
	if first.header.Get("Date") != "Mon, 02 Jan 2006 15:04:05 GMT" {
		t.Errorf("first %q", first.header.Get("Date"))
	}
	if d, err := http.ParseTime(again.header.Get("Date")); err != nil || time.Since(d) > time.Hour {
		t.Errorf("replay %q", again.header.Get("Date"))
	}
}

func TestH82AuthorizeMayRefuseAReplay(t *testing.T) {
	var refuse error
	asked := 0
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Authorize: func(*http.Request) error { asked++; return refuse }}},
		status(201, "confidential"))
	b.post(t, "k", "x").want(t, 201, "")
	if asked != 0 {
		t.Error("the first request was not the handler's own matter")
	}
	b.post(t, "k", "x").want(t, 201, "")
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{errors.New("secret reason"), 403, httpmw.CodeForbidden},
		{&httpmw.Refusal{Status: 404, Code: "gone"}, 404, "gone"},
	} {
		refuse = c.err
		a := b.post(t, "k", "x").want(t, c.status, c.code)
		if strings.Contains(a.body, "confidential") || strings.Contains(a.body, "secret") || a.replayed() {
			t.Errorf("got %v %s", a.header, a.body)
		}
	}
	refuse = nil
	b.post(t, "k", "x").want(t, 201, "")
}

func TestH85UnreadableRecordIsNeverRunAgain(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut off":                  func(b []byte) []byte { return b[:len(b)-1] },
		"longer":                   func(b []byte) []byte { return append(b, 0) },
		"of a later version":       func(b []byte) []byte { b[0] = 2; return b },
		"with an unknown flag":     func(b []byte) []byte { b[1] |= 0x80; return b },
		"of another status":        func(b []byte) []byte { b[3]++; return b },
		"with a header changed":    func(b []byte) []byte { b[len(b)-6] ^= 1; return b },
		"with a length changed":    func(b []byte) []byte { b[7]--; b[11]++; return b },
		"empty":                    func([]byte) []byte { return []byte{} },
		"of something else":        func([]byte) []byte { return []byte("not a record at all, but long enough") },
		"with an enormous length":  func(b []byte) []byte { b[4] = 0xff; return b },
		"gone, only the fact left": func([]byte) []byte { return nil },
	} {
		var runs counter
		store := &faultStore{Store: &idem.Memory{}}
		store.complete = func(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (idem.Record, error) {
			const tag = 1 // the Guard's
			damaged := damage(slices.Clone(result[tag:]))
			if damaged != nil {
				damaged = append([]byte{result[0]}, damaged...)
			}
			return store.Store.Complete(ctx, l, damaged, keep)
		}
		b := newBench(t, benchConfig{store: store}, created(&runs))
		b.post(t, "k", "x").want(t, 201, "")
		if a := b.post(t, "k", "x"); a.status != 409 || a.code() != httpmw.CodeResultUnavailable || strings.Contains(a.body, "order 1") {
			t.Errorf("a record %s: %d %s", name, a.status, a.body)
		}
		runs.want(t, 1)
	}
}

// What one release has written, later ones must read. The layout is told in record.go.
func TestH86RecordOfAnEarlierReleaseIsReplayed(t *testing.T) {
	const golden = "01010000c9000000050000004968656c6c6f05030c436f6e74656e742d54797065010a746578742f706c61696e084c6f636174696f6e01042f612f3104566172790206416363657074064f726967696e0105582d53756d01023432ea5f5918"
	store := &faultStore{Store: &idem.Memory{}}
	store.complete = func(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (idem.Record, error) {
		if written := hex.EncodeToString(result); written != golden {
			t.Errorf("records are written in another form now: raise recordVersion, and keep reading this one\n%s", written)
		}
		old, err := hex.DecodeString(golden)
		if err != nil {
			t.Error(err)
		}
		return store.Store.Complete(ctx, l, old, keep)
	}
	serve := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/a/1")
		w.Header()["Vary"] = []string{"Accept", "Origin"}
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(201)
		_, _ = io.WriteString(w, "hello")
		w.Header().Set("X-Sum", "42")
	}
	b := newBench(t, benchConfig{store: store}, serve)
	if first, _ := bothAnswers(t, b); first.body != "hello" || first.trailer.Get("X-Sum") != "42" {
		t.Errorf("got %q %v", first.body, first.trailer)
	}
}

func TestH89NestedMiddlewareWithOneGuardPassesThrough(t *testing.T) {
	var runs counter
	g, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		t.Fatal(err)
	}
	wrap := func(c httpmw.IdempotencyConfig) func(http.Handler) http.Handler {
		m, err := httpmw.NewIdempotency(g, httpmw.SharedScope, c)
		if err != nil {
			t.Fatal(err)
		}
		return m.Handler
	}
	b := newBench(t, benchConfig{}, nil)
	b.Config.Handler = wrap(httpmw.IdempotencyConfig{})(wrap(httpmw.IdempotencyConfig{Required: true})(created(&runs)))
	b.post(t, "k", "x").want(t, 201, "")
	if !b.post(t, "k", "x").want(t, 201, "").replayed() {
		t.Error("not replayed")
	}
	runs.want(t, 1)
}

// Two middlewares over two stores are two; over one store by two Guards they are one.
func TestH89NestedGuards(t *testing.T) {
	for _, shared := range []bool{true, false} {
		var runs counter
		mem := &idem.Memory{}
		outer := middleware(t, mem, httpmw.IdempotencyConfig{})
		innerStore := mem
		if !shared {
			innerStore = &idem.Memory{}
		}
		var events eventLog
		inner := middleware(t, innerStore, httpmw.IdempotencyConfig{Observe: events.add})
		h := outer.Handler(inner.Handler(created(&runs)))
		for range 2 {
			w := newPlainWriter()
			h.ServeHTTP(w, newPost("k", "x"))
			if w.status != 201 || w.body.String() != "order 1" {
				t.Errorf("shared %v: got %d %s", shared, w.status, w.body.String())
			}
		}
		runs.want(t, 1)
		events.want(t, map[bool]string{true: httpmw.ResultNested, false: httpmw.ResultFirst}[shared])
	}
}

func TestH90KeyRunsAsNewWhenItsRetentionIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs counter
		g, err := idem.New(&idem.Memory{}, idem.Config{Keep: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		m, err := httpmw.NewIdempotency(g, httpmw.SharedScope, httpmw.IdempotencyConfig{})
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := httpmw.NewIdempotency(g, httpmw.SharedScope, httpmw.IdempotencyConfig{KeyRule: httpmw.FreshUUIDv7(50 * time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		post := func(m *httpmw.Idempotency, key string) *plainWriter {
			w := newPlainWriter()
			m.Handler(created(&runs)).ServeHTTP(w, newPost(key, "x"))
			return w
		}
		key := v7At(time.Now())
		post(m, "k")
		post(fresh, key)
		time.Sleep(49 * time.Minute)
		if w := post(m, "k"); w.body.String() != "order 1" {
			t.Errorf("got %q", w.body.String())
		}
		if w := post(fresh, key); w.body.String() != "order 2" {
			t.Errorf("got %q", w.body.String())
		}
		time.Sleep(12 * time.Minute)
		if w := post(m, "k"); w.body.String() != "order 3" {
			t.Errorf("got %q", w.body.String())
		}
		// With the rule the gap is closed: what may have been forgotten is refused, not run.
		if w := post(fresh, key); w.status != 400 || !strings.Contains(w.body.String(), httpmw.CodeKeyStale) {
			t.Errorf("got %d %q", w.status, w.body.String())
		}
		runs.want(t, 3)
	})
}

// zipping compresses answers, as such middlewares do.
func zipping(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Add("Vary", "Accept-Encoding")
		z := gzip.NewWriter(w)
		defer z.Close()
		next.ServeHTTP(zipWriter{w, z}, r)
	})
}

type zipWriter struct {
	http.ResponseWriter

	z *gzip.Writer
}

func (w zipWriter) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}
func (w zipWriter) Write(p []byte) (int, error) { return w.z.Write(p) }

func TestH91Compression(t *testing.T) {
	unzip := func(a answer) string {
		if a.header.Get("Content-Encoding") != "gzip" {
			return a.body
		}
		z, err := gzip.NewReader(strings.NewReader(a.body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	long := strings.Repeat("hello ", 1000)
	t.Run("outside: each answer by its own request", func(t *testing.T) {
		b := newBench(t, benchConfig{outer: zipping}, status(201, long))
		for n, accept := range []string{"gzip", "identity", "gzip"} {
			a := b.post(t, "k", "x", "Accept-Encoding", accept)
			if unzip(a) != long || (a.header.Get("Content-Encoding") == "gzip") != (accept == "gzip") || a.replayed() != (n > 0) {
				t.Errorf("answer %d: %v, %d bytes", n+1, a.header, len(a.body))
			}
		}
	})
	t.Run("inside: stored bytes with their label", func(t *testing.T) {
		b := newBench(t, benchConfig{}, zipping(status(201, long)).ServeHTTP)
		for n := range 2 {
			a := b.post(t, "k", "x", "Accept-Encoding", "gzip")
			if unzip(a) != long || len(a.body) >= len(long) || a.header.Get("Vary") != "Accept-Encoding" || a.replayed() != (n > 0) {
				t.Errorf("answer %d: %v, %d bytes", n+1, a.header, len(a.body))
			}
		}
	})
}

// A reverse proxy is a handler like any other.
func TestReverseProxyBehindTheMiddleware(t *testing.T) {
	p := newPeer(t, status(201, "from behind", "X-Up", "1"))
	target, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, FlushInterval: -1}
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{BufferFlushes: true}}, proxy.ServeHTTP)
	first, _ := bothAnswers(t, b)
	if first.status != 201 || first.body != "from behind" || first.header.Get("X-Up") != "1" {
		t.Errorf("got %d %q %v", first.status, first.body, first.header)
	}
	if got := p.want(t, 1)[0]; got.body != "x" || got.header.Get(httpmw.HeaderKey) != "k" {
		t.Errorf("the peer got %q %v", got.body, got.header)
	}
}
