package httpmw_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

func TestH32BodyOverTheCap(t *testing.T) {
	for name, known := range map[string]bool{"announced": true, "chunked": false} {
		t.Run(name, func(t *testing.T) {
			var runs counter
			store := &faultStore{Store: &idem.Memory{}}
			b := newBench(t, benchConfig{store: store, mw: httpmw.IdempotencyConfig{MaxBody: 1000}}, created(&runs))
			body := io.Reader(strings.NewReader(strings.Repeat("x", 1001)))
			if !known {
				body = struct{ io.Reader }{body}
			}
			a := b.do(t, b.request(t, http.MethodPost, "/orders", "k", body)).want(t, 413, httpmw.CodeBodyTooLarge)
			if !a.close {
				t.Error("the connection is kept")
			}
			runs.want(t, 0)
			if n := store.calls.Load(); n != 0 {
				t.Errorf("%d calls of the store", n)
			}
			b.post(t, "k", strings.Repeat("x", 1000)).want(t, 201, "")
		})
	}
}

// What is announced as too large is not even asked for.
func TestH32BodyThatIsAnnouncedIsNotRead(t *testing.T) {
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{MaxBody: 1000}}, status(200, ""))
	conn, err := net.Dial("tcp", b.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /orders HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 413 ") {
		t.Errorf("got %q, %v", line, err)
	}
}

// pattern is an endless body that is cheap to make.
type pattern struct{ left int64 }

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), p.left))
	for i := range n {
		b[i] = byte(p.left - int64(i))
	}
	p.left -= int64(n)
	return n, nil
}

// 10 GiB are offered without a length; what is read is the cap and a little more.
func TestEndlessBodyTakesNoMemory(t *testing.T) {
	m := middleware(t, &idem.Memory{}, httpmw.IdempotencyConfig{MaxBody: 64 << 10})
	h := m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
	endless := &pattern{10 << 30}
	r := httptest.NewRequest(http.MethodPost, "/", endless)
	r.Header.Set(httpmw.HeaderKey, "k")
	r.ContentLength = -1
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	runtime.ReadMemStats(&after)
	if w.Code != 413 {
		t.Errorf("got %d", w.Code)
	}
	if read := 10<<30 - endless.left; read > 128<<10 {
		t.Errorf("read %d bytes", read)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("allocated %d bytes", used)
	}
}

// A client that only announces a large body does not get the memory for it.
func TestAnnouncedBodyTakesNoMemoryBeforeItComes(t *testing.T) {
	m := middleware(t, &idem.Memory{}, httpmw.IdempotencyConfig{MaxBody: 1 << 30, MaxMemory: -1})
	h := m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
	r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader("x"), failingReader{io.ErrUnexpectedEOF}))
	r.Header.Set(httpmw.HeaderKey, "k")
	r.ContentLength = 1 << 30
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	runtime.ReadMemStats(&after)
	if w.Code != 400 || after.TotalAlloc-before.TotalAlloc > 1<<20 {
		t.Errorf("answered %d, allocated %d bytes", w.Code, after.TotalAlloc-before.TotalAlloc)
	}
}

func TestH33SpooledBodyIsReadableAndItsFileGoes(t *testing.T) {
	for _, panics := range []bool{false, true} {
		dir := t.TempDir()
		var size int64
		var sums [2][sha256.Size]byte
		m := middleware(t, &idem.Memory{}, httpmw.IdempotencyConfig{MaxBody: -1, MaxMemory: 1000, SpoolDir: dir})
		h := m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			sum := sha256.New()
			size, _ = io.Copy(sum, r.Body)
			sum.Sum(sums[0][:0])
			names, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				t.Error(err)
			}
			for _, name := range names { // on systems that cannot remove an open file
				if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", name, info, err)
				}
			}
			if panics {
				panic("boom")
			}
		}))
		r := httptest.NewRequest(http.MethodPost, "/", &pattern{100_000})
		r.Header.Set(httpmw.HeaderKey, "k")
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), r)
		}()
		want := sha256.New()
		_, _ = io.Copy(want, &pattern{100_000})
		want.Sum(sums[1][:0])
		if size != 100_000 || sums[0] != sums[1] {
			t.Errorf("the handler read %d bytes, %x", size, sums[0])
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

// Whether a body is held in memory or in a file makes no other request of it.
func TestSpooledAndHeldBodiesHaveOneFingerprint(t *testing.T) {
	body, media := form(t, "b", "a", strings.Repeat("x", 5000))
	for _, contentType := range []string{"text/plain", media} {
		var seen []string
		for _, memory := range []int64{-1, 1000} {
			store := &faultStore{Store: &idem.Memory{}}
			store.claim = func(ctx context.Context, c idem.Claim) (idem.Record, error) {
				seen = append(seen, string(c.Fingerprint))
				return store.Store.Claim(ctx, c)
			}
			b := newBench(t, benchConfig{store: store, mw: httpmw.IdempotencyConfig{MaxMemory: memory, SpoolDir: t.TempDir()}},
				func(http.ResponseWriter, *http.Request) {})
			b.post(t, "k", body, "Content-Type", contentType).want(t, 200, "")
		}
		if seen[0] != seen[1] {
			t.Errorf("%s: %x and %x", contentType, seen[0], seen[1])
		}
	}
}

func TestSpoolThatFailsIsTheServersFault(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{MaxMemory: 10, SpoolDir: filepath.Join(t.TempDir(), "absent")}}, created(&runs))
	if a := b.post(t, "k", strings.Repeat("x", 100)).want(t, 500, httpmw.CodeSpoolFailed); strings.Contains(a.body, "absent") {
		t.Errorf("the folder's name was sent: %s", a.body)
	}
	b.post(t, "k", "short").want(t, 201, "")
	runs.want(t, 1)
}

func TestH34ClientThatStopsSendingClaimsNothing(t *testing.T) {
	var runs counter
	store := &faultStore{Store: &idem.Memory{}}
	b := newBench(t, benchConfig{store: store}, created(&runs))
	conn, err := net.Dial("tcp", b.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 100\r\n\r\nhalf")
	_ = conn.(*net.TCPConn).CloseWrite()
	reply, _ := io.ReadAll(conn)
	_ = conn.Close()
	if !strings.HasPrefix(string(reply), "HTTP/1.1 400 ") {
		t.Errorf("got %q", reply)
	}
	b.events.want(t, httpmw.CodeBodyUnreadable)
	runs.want(t, 0)
	if n := store.calls.Load(); n != 0 {
		t.Errorf("%d calls of the store", n)
	}
}

func TestH35SlowUploadHoldsNoKey(t *testing.T) {
	var runs counter
	store := &faultStore{Store: &idem.Memory{}}
	b := newBench(t, benchConfig{store: store}, created(&runs))
	conn, err := net.Dial("tcp", b.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /orders HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); !strings.Contains(line, "100 Continue") { // the body is being read
		t.Fatalf("%q, %v", line, err)
	}
	b.post(t, "k", "x").want(t, 201, "")
	claims := store.calls.Load()
	_, _ = io.WriteString(conn, "x")
	_, _ = in.ReadString('\n')
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 201 || resp.Header.Get(httpmw.HeaderReplayed) != "true" {
		t.Errorf("got %v, %v", resp, err)
	}
	runs.want(t, 1)
	if claims != 2 { // one claim, one completion
		t.Errorf("%d calls of the store while the body was coming", claims)
	}
}

func TestBodyThatComesTooSlowlyIsCutOff(t *testing.T) {
	var runs counter
	store := &faultStore{Store: &idem.Memory{}}
	b := newBench(t, benchConfig{store: store, mw: httpmw.IdempotencyConfig{BodyTimeout: 20 * time.Millisecond}}, created(&runs))
	conn, err := net.Dial("tcp", b.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /orders HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 10\r\n\r\nslow")
	reply := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reply, nil)
	if err != nil || resp.StatusCode != 408 {
		t.Fatalf("got %v, %v", resp, err)
	}
	if n := store.calls.Load(); n != 0 {
		t.Errorf("%d calls of the store", n)
	}
	b.events.want(t, httpmw.CodeBodyTimeout)
	b.post(t, "k", "x").want(t, 201, "") // the next request's time is its own
}

func TestH36HandlerSeesTheRequestAsItCame(t *testing.T) {
	for _, memory := range []int64{0, 3} {
		b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{MaxMemory: memory, SpoolDir: t.TempDir()}},
			func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				_, _ = fmt.Fprintf(w, "%s|%v|%d|%v|%s|%v|%s|%s", body, err, r.ContentLength, r.TransferEncoding, r.Trailer.Get("X-Sum"), r.GetBody != nil,
					r.Header.Get(httpmw.HeaderKey), r.RequestURI)
			})
		r := b.request(t, http.MethodPost, "/a?b=c", "k", strings.NewReader("bytes"))
		if a := b.do(t, r); a.body != "bytes|<nil>|5|[]||false|k|/a?b=c" {
			t.Errorf("got %s", a.body)
		}
		r = b.request(t, http.MethodPost, "/a?b=c", "k2", nil)
		r.Trailer = http.Header{"X-Sum": nil}
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader("bytes"), onEOF(func() { r.Trailer.Set("X-Sum", "42") })))
		r.ContentLength = -1
		if a := b.do(t, r); a.body != "bytes|<nil>|-1|[chunked]|42|false|k2|/a?b=c" {
			t.Errorf("got %s", a.body)
		}
	}
}

// Compressed bodies are hashed as they came: a few bytes that would inflate to gigabytes stay a
// few bytes.
func TestCompressedBodyIsNotInflated(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{}, created(&runs))
	b.post(t, "k", "not even gzip", "Content-Encoding", "gzip").want(t, 201, "")
	if !b.post(t, "k", "not even gzip", "Content-Encoding", "gzip").replayed() {
		t.Error("not replayed")
	}
}

// Files of a parsed form belong to the request that the handler saw, which the server does not know.
func TestFilesOfParsedFormsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	body, media := form(t, "b", "a", strings.Repeat("x", 5000))
	for _, panics := range []bool{false, true} {
		b := newBench(t, benchConfig{}, func(_ http.ResponseWriter, r *http.Request) {
			if err := r.ParseMultipartForm(10); err != nil {
				t.Error(err)
			}
			if left, _ := os.ReadDir(dir); runtime.GOOS == "linux" && len(left) == 0 {
				t.Error("the form made no file: the test shows nothing")
			}
			if panics {
				panic(http.ErrAbortHandler)
			}
		})
		r := b.request(t, http.MethodPost, "/", strconv.FormatBool(panics), strings.NewReader(body), "Content-Type", media)
		if resp, err := b.Client().Do(r); err == nil {
			_ = resp.Body.Close()
		}
		b.events.wait(t, 0)
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

func TestErrorOfTheBodyIsNotSent(t *testing.T) {
	m := middleware(t, &idem.Memory{}, httpmw.IdempotencyConfig{})
	r := httptest.NewRequest(http.MethodPost, "/", failingReader{errors.New("secret path")})
	r.Header.Set(httpmw.HeaderKey, "k")
	w := httptest.NewRecorder()
	m.Handler(http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != 400 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
