package httpmw_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/once/httpmw"
	"example.com/once/retry"
)

// watchedBody is a request body without GetBody that knows whether it was closed.
type watchedBody struct {
	io.Reader

	closed atomic.Int32
}

func (b *watchedBody) Close() error { b.closed.Add(1); return nil }

// onlyReader hides everything that net/http could make a GetBody of.
type onlyReader struct{ io.Reader }

func post(t *testing.T, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header[httpmw.HeaderKey] = []string{"k"}
	return r
}

func TestBodyIsSentWholeByEveryAttempt(t *testing.T) {
	long := strings.Repeat("0123456789", 30_000)
	for _, c := range []struct {
		name string
		body func() io.Reader
		want string
	}{
		{"GetBody", func() io.Reader { return strings.NewReader(long) }, long},
		{"recorded", func() io.Reader { return onlyReader{strings.NewReader(long)} }, long},
		{"recorded, byte by byte", func() io.Reader { return onlyReader{oneByte{strings.NewReader("0123456789")}} }, "0123456789"},
		{"empty but not known to be", func() io.Reader { return onlyReader{strings.NewReader("")} }, ""},
		{"exactly as long as MaxBody", func() io.Reader { return onlyReader{bytes.NewReader(make([]byte, 1<<20))} }, string(make([]byte, 1<<20))},
		{"none", func() io.Reader { return nil }, ""},
		{"NoBody", func() io.Reader { return http.NoBody }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, status(503, ""), hangUp, status(200, ""))
			resp, err := client(t, &httpmw.Transport{Policy: atOnce()}).Do(post(t, p.URL, c.body()))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			for n, got := range p.want(t, 3) {
				if got.body != c.want {
					t.Errorf("request %d had %d bytes, want %d", n+1, len(got.body), len(c.want))
				}
			}
		})
	}
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

func TestBodyTooLongToRecordIsSentOnceAndItsAnswerHandedOver(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit int64
		body  string
		known bool // its length
	}{
		{"longer than MaxBody", 10, "elevenbytes", false},
		{"longer than MaxBody, and says so", 10, "elevenbytes", true},
		{"recording is off", -1, "x", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, status(503, "tired"))
			r := post(t, p.URL, onlyReader{strings.NewReader(c.body)})
			if c.known {
				r.ContentLength = int64(len(c.body))
			}
			resp, err := client(t, &httpmw.Transport{Policy: atOnce(), MaxBody: c.limit}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if got := p.want(t, 1); got[0].body != c.body || string(answer) != "tired" {
				t.Errorf("sent %q, got %q", got[0].body, answer)
			}

			p = newPeer(t, hangUp)
			resp, err = client(t, &httpmw.Transport{Policy: atOnce(), MaxBody: c.limit}).Do(post(t, p.URL, onlyReader{strings.NewReader(c.body)}))
			if err == nil {
				t.Fatalf("got %v", resp)
			}
			p.want(t, 1)
		})
	}
}

// What was not read can be sent by a later attempt, however long it is.
func TestUntouchedBodyIsNotLost(t *testing.T) {
	src := &watchedBody{Reader: strings.NewReader("elevenbytes")}
	n := 0
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		defer r.Body.Close()
		if n++; n == 1 {
			return nil, errCut
		}
		body, err := io.ReadAll(r.Body)
		if string(body) != "elevenbytes" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		return says(200, "")(r)
	})
	resp, err := (&httpmw.Transport{Base: base, Policy: atOnce(), MaxBody: -1}).RoundTrip(post(t, "http://x.test/", src))
	if err != nil || n != 2 || src.closed.Load() != 1 {
		t.Errorf("%v, %v after %d attempts; closed %d times", resp, err, n, src.closed.Load())
	}
}

func TestRequestBodyIsClosedOnceWhateverHappens(t *testing.T) {
	refuse := func(*http.Request) retry.Breaker { return &countingBreaker{refuse: errors.New("open")} }
	for _, c := range []struct {
		name string
		tr   *httpmw.Transport
	}{
		{"answered", &httpmw.Transport{Base: &fake{next: []answerFunc{says(200, "")}}}},
		{"answered later", &httpmw.Transport{Base: &fake{next: []answerFunc{says(503, ""), says(200, "")}}}},
		{"failed", &httpmw.Transport{Base: &fake{next: []answerFunc{breaks(errCut)}}}},
		{"refused by the breaker", &httpmw.Transport{Base: &fake{next: []answerFunc{says(200, "")}}, Breaker: refuse}},
		{"too long", &httpmw.Transport{Base: &fake{next: []answerFunc{says(503, "")}}, MaxBody: -1}},
	} {
		for _, getBody := range []bool{false, true} {
			src := &watchedBody{Reader: strings.NewReader("x")}
			copies := &watchedBody{Reader: strings.NewReader("x")}
			r := post(t, "http://x.test/", src)
			if getBody {
				r.GetBody = func() (io.ReadCloser, error) { copies.closed.Add(-1); return copies, nil }
			}
			c.tr.Policy = atOnce()
			if resp, err := c.tr.RoundTrip(r); err == nil {
				_ = resp.Body.Close()
			}
			if src.closed.Load() != 1 || copies.closed.Load() != 0 {
				t.Errorf("%s, GetBody %v: closed %d times, copies open %d", c.name, getBody, src.closed.Load(), -copies.closed.Load())
			}
		}
	}
}

func TestBodyThatCannotBeReadIsNotTriedAgain(t *testing.T) {
	broken := errors.New("disk on fire")
	p := newPeer(t, status(200, ""))
	n := 0
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		n++
		return http.DefaultTransport.RoundTrip(r)
	})
	_, err := (&httpmw.Transport{Base: base, Policy: atOnce()}).RoundTrip(post(t, p.URL, io.MultiReader(strings.NewReader("x"), failingReader{broken})))
	if !errors.Is(err, broken) || n != 1 {
		t.Errorf("%v after %d attempts", err, n)
	}
	r := post(t, p.URL, strings.NewReader("x"))
	r.GetBody = func() (io.ReadCloser, error) { return nil, broken }
	tr := &httpmw.Transport{Base: &fake{next: []answerFunc{says(503, "")}}, Policy: atOnce()}
	if _, err := tr.RoundTrip(r); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// A body that is produced bit by bit, each in answer to what came back, must flow: reading it ahead would
// wait for ever.
func TestRecordedBodyStreams(t *testing.T) {
	p := newPeer(t)
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.EnableFullDuplex()
		buf := make([]byte, 1)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = c.Flush()
			if err != nil {
				return
			}
		}
	})
	in, out := io.Pipe()
	go func() { _, _ = out.Write([]byte("a")) }()
	resp, err := client(t, &httpmw.Transport{}).Do(post(t, p.URL, onlyReader{in}))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 1)
	for _, b := range []byte("abc") {
		if b != 'a' {
			if _, err := out.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.ReadFull(resp.Body, buf); err != nil || buf[0] != b {
			t.Fatalf("got %q, %v, want %q", buf, err, b)
		}
	}
	_ = out.Close()
	if rest, err := io.ReadAll(resp.Body); len(rest) != 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

// golang/go#25009: a transport may go on reading an attempt's body after it has returned. It
// must neither steal bytes from the next attempt nor be fed by it.
func TestAttemptThatReadsOnStealsNothing(t *testing.T) {
	var old io.Reader
	n := 0
	feed := make(chan struct{})
	src := onlyReader{io.MultiReader(strings.NewReader("first "), gate{feed, strings.NewReader("second")})}
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		if n++; n == 1 {
			old = r.Body
			buf := make([]byte, 6)
			if _, err := io.ReadFull(r.Body, buf); err != nil {
				t.Error(err)
			}
			return nil, errCut // without closing the body
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if left, err := io.ReadAll(old); len(left) != 0 || err == nil {
				t.Errorf("the old attempt still reads %q, %v", left, err)
			}
		}()
		<-done
		close(feed)
		body, err := io.ReadAll(r.Body)
		if string(body) != "first second" || err != nil {
			t.Errorf("the second attempt sends %q, %v", body, err)
		}
		_ = r.Body.Close()
		return says(200, "")(r)
	})
	if _, err := (&httpmw.Transport{Base: base, Policy: atOnce()}).RoundTrip(post(t, "http://x.test/", src)); err != nil {
		t.Error(err)
	}
}

type gate struct {
	open chan struct{}
	r    io.Reader
}

func (g gate) Read(p []byte) (int, error) { <-g.open; return g.r.Read(p) }

// The transport may still be sending when the answer comes: the body must stay open until it has done.
func TestBodyStaysOpenWhileItIsSent(t *testing.T) {
	src := &watchedBody{Reader: strings.NewReader("rest")}
	var sending io.ReadCloser
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		sending = r.Body
		return says(200, "early answer")(r)
	})
	resp, err := (&httpmw.Transport{Base: base}).RoundTrip(post(t, "http://x.test/", src))
	if err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(sending); src.closed.Load() != 0 || string(rest) != "rest" || err != nil {
		t.Errorf("closed %d times, %q, %v", src.closed.Load(), rest, err)
	}
	_ = sending.Close()
	_ = sending.Close() // the second is harmless
	if src.closed.Load() != 1 {
		t.Errorf("closed %d times", src.closed.Load())
	}
	_ = resp.Body.Close()
}

// Trailers are filled in by the caller while the body is read, in the map that he gave.
func TestTrailersOfTheRequestAreSent(t *testing.T) {
	p := newPeer(t, status(200, ""))
	r := post(t, p.URL, nil)
	r.Trailer = http.Header{"X-Sum": nil}
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("x"), onEOF(func() { r.Trailer.Set("X-Sum", "42") })))
	r.ContentLength = -1
	resp, err := client(t, &httpmw.Transport{}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := p.want(t, 1)[0]; got.trailer.Get("X-Sum") != "42" {
		t.Errorf("trailers %v", got.trailer)
	}
}

type onEOF func()

func (f onEOF) Read([]byte) (int, error) { f(); return 0, io.EOF }

func TestOneTransportServesManyCallsAtOnce(t *testing.T) {
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(httpmw.HeaderAttempt) == "" {
			w.WriteHeader(503)
		}
	})
	tr := &httpmw.Transport{Policy: atOnce(), Key: httpmw.NewKey, Budget: func(*http.Request) *retry.Budget { return nil }}
	c := client(t, tr)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			r := post(t, p.URL, onlyReader{strings.NewReader("x")})
			resp, err := c.Do(r)
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("%v, %v", resp, err)
				return
			}
			_ = resp.Body.Close()
		})
	}
	wg.Wait()
	for _, got := range p.want(t, 100) {
		if got.body != "x" {
			t.Errorf("a request with body %q", got.body)
		}
	}
}
