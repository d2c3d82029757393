package httpmw_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

// bench is an Idempotency around a handler, behind a real server.
type bench struct {
	*httptest.Server

	store  idem.Store
	guard  *idem.Guard
	events eventLog
}

type benchConfig struct {
	store idem.Store // nil = Memory
	guard idem.Config
	scope httpmw.Scope // nil = SharedScope
	mw    httpmw.IdempotencyConfig
	outer func(http.Handler) http.Handler // around the Idempotency
}

func newBench(t *testing.T, c benchConfig, h http.HandlerFunc) *bench {
	t.Helper()
	b := &bench{store: c.store}
	if b.store == nil {
		b.store = &idem.Memory{}
	}
	g, err := idem.New(b.store, c.guard)
	if err != nil {
		t.Fatal(err)
	}
	b.guard = g
	if c.scope == nil {
		c.scope = httpmw.SharedScope
	}
	if c.mw.Observe == nil {
		c.mw.Observe = b.events.add
	}
	m, err := httpmw.NewIdempotency(g, c.scope, c.mw)
	if err != nil {
		t.Fatal(err)
	}
	handler := m.Handler(h)
	if c.outer != nil {
		handler = c.outer(handler)
	}
	b.Server = httptest.NewServer(handler)
	t.Cleanup(b.Close)
	return b
}

// answer is a response read whole.
type answer struct {
	status  int
	header  http.Header
	body    string
	trailer http.Header
	length  int64
	close   bool // the connection ends with it
}

func (a answer) replayed() bool { return a.header.Get(httpmw.HeaderReplayed) == "true" }

// code is the code of the problem, or "".
func (a answer) code() string {
	_, rest, ok := strings.Cut(a.body, `"code":"`)
	if !ok || a.header.Get("Content-Type") != "application/problem+json" {
		return ""
	}
	code, _, _ := strings.Cut(rest, `"`)
	return code
}

// post sends a POST with a key ("" = none) and further headers as pairs.
func (b *bench) post(t *testing.T, key, body string, header ...string) answer {
	t.Helper()
	return b.do(t, b.request(t, http.MethodPost, "/orders", key, strings.NewReader(body), header...))
}

func (b *bench) request(t *testing.T, method, target, key string, body io.Reader, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, b.URL+target, body)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header[httpmw.HeaderKey] = []string{key}
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	r.GetBody = nil // else the client's transport repeats keyed requests by itself
	return r
}

func (b *bench) do(t *testing.T, r *http.Request) answer {
	t.Helper()
	a, err := send(b.Client(), r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func send(c *http.Client, r *http.Request) (answer, error) {
	resp, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body), resp.Trailer, resp.ContentLength, resp.Close}, err
}

// want checks status and problem code ("" = no problem).
func (a answer) want(t *testing.T, status int, code string) answer {
	t.Helper()
	if a.status != status || a.code() != code {
		t.Fatalf("got %d %q, want %d %q; body %q", a.status, a.code(), status, code, a.body)
	}
	return a
}

// counter counts handler runs.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

func (c *counter) want(t *testing.T, n int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n != n {
		t.Fatalf("the handler ran %d times, want %d", c.n, n)
	}
}

// quiet is for servers whose complaints are expected.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// plainWriter is a ResponseWriter with nothing optional about it.
type plainWriter struct {
	header http.Header
	status int
	body   strings.Builder
	writes int
}

func newPlainWriter() *plainWriter { return &plainWriter{header: make(http.Header)} }

func (w *plainWriter) Header() http.Header { return w.header }

func (w *plainWriter) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == 101) {
		w.status = status
	}
	w.writes++
}

func (w *plainWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.writes++
	return w.body.Write(p)
}

func newPost(key, body string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(body))
	if key != "" {
		r.Header.Set(httpmw.HeaderKey, key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}
