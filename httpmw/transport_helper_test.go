package httpmw_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"example.com/once/httpmw"
	"example.com/once/retry"
)

// atOnce is a policy for tests over real sockets, where waiting costs time.
func atOnce() *retry.Policy { return &retry.Policy{Backoff: retry.Constant(0)} }

// peer is a real server that answers its n-th request, from 1, by its n-th function, and
// later ones by the last.
type peer struct {
	*httptest.Server

	mu   sync.Mutex
	got  []received
	next []http.HandlerFunc
}

type received struct {
	method  string
	header  http.Header
	body    string
	trailer http.Header
}

func newPeer(t *testing.T, answers ...http.HandlerFunc) *peer {
	t.Helper()
	p := &peer{next: answers}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	p.got = append(p.got, received{r.Method, r.Header.Clone(), string(body), r.Trailer})
	answer := p.next[min(len(p.got), len(p.next))-1]
	p.mu.Unlock()
	answer(w, r)
}

func (p *peer) requests() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]received(nil), p.got...)
}

func (p *peer) want(t *testing.T, n int) []received {
	t.Helper()
	got := p.requests()
	if len(got) != n {
		t.Fatalf("the peer got %d requests, want %d", len(got), n)
	}
	return got
}

// status answers with a status and a body, and headers as pairs.
func status(code int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header()[header[i]] = []string{header[i+1]}
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// client sends through t, over connections of its own.
func client(tb testing.TB, tr *httpmw.Transport) *http.Client {
	tb.Helper()
	if tr.Base == nil {
		base := &http.Transport{}
		tb.Cleanup(base.CloseIdleConnections)
		tr.Base = base
	}
	return &http.Client{Transport: tr}
}

func request(tb testing.TB, method, url, body string, header ...string) *http.Request {
	tb.Helper()
	var src io.Reader
	if body != "" {
		src = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(tb.Context(), method, url, src)
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header[header[i]] = []string{header[i+1]}
	}
	return r
}

// fake is a RoundTripper that answers its n-th request by its n-th function, and later
// ones by the last. It counts the bodies that it handed out and that are still open.
type fake struct {
	mu   sync.Mutex
	n    int
	reqs []*http.Request
	open int
	next []func(*http.Request) (*http.Response, error)
}

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.n++
	f.reqs = append(f.reqs, r)
	answer := f.next[min(f.n, len(f.next))-1]
	f.mu.Unlock()
	if r.Body != nil {
		defer r.Body.Close()
	}
	resp, err := answer(r)
	if resp != nil && resp.Body != http.NoBody {
		f.mu.Lock()
		f.open++
		f.mu.Unlock()
		resp.Body = &countedBody{ReadCloser: resp.Body, fake: f}
	}
	return resp, err
}

func (f *fake) want(t *testing.T, calls int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n != calls {
		t.Errorf("%d attempts, want %d", f.n, calls)
	}
	if f.open != 0 {
		t.Errorf("%d bodies are still open", f.open)
	}
}

type countedBody struct {
	io.ReadCloser

	fake   *fake
	closed sync.Once
}

func (b *countedBody) Close() error {
	b.closed.Do(func() {
		b.fake.mu.Lock()
		defer b.fake.mu.Unlock()
		b.fake.open--
	})
	return b.ReadCloser.Close()
}

// says is an answer for fake, with headers as pairs.
func says(code int, body string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		h := make(http.Header)
		for i := 0; i < len(header); i += 2 {
			h[header[i]] = []string{header[i+1]}
		}
		return &http.Response{
			StatusCode: code, Status: strconv.Itoa(code), Header: h, Request: r,
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	}
}

// breaks is a failure for fake.
func breaks(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

var errCut = errors.New("connection cut")
