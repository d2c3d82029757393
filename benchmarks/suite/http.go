package suite

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"

	"example.com/once/benchmarks/measure"
	"example.com/once/httpmw"
	"example.com/once/idem"
)

// bareHandler is the handler without a middleware.
const bareHandler = "handler"

// requestSize is how many bytes a request's body has.
const requestSize = 128

// HTTP compares a handler with the same handler behind the idempotency middleware over the
// memory store, in process: no network, no server. Each request has 128 bytes, each answer
// two headers and a body of answerSize bytes.
func HTTP(answerSize int) measure.Group {
	size := fmt.Sprintf("-%dB", answerSize)
	if answerSize >= 1024 {
		size = fmt.Sprintf("-%dKiB", answerSize/1024)
	}
	bare := bareHandler + size
	open := func(job func(*endpoint, context.Context) (*measure.Job, error), middleware bool) func(context.Context, int) (*measure.Job, error) {
		return func(ctx context.Context, callers int) (*measure.Job, error) {
			e, err := newEndpoint(answerSize, callers, middleware)
			if err != nil {
				return nil, err
			}
			return job(e, ctx)
		}
	}
	return measure.Group{
		Suite: "http", Backend: "memory", Durability: transient,
		Ops: []measure.Op{
			{Name: bare, Open: open((*endpoint).pass, false)},
			{Name: "pass-through" + size, Bare: bare, Open: open((*endpoint).pass, true)},
			{Name: "first" + size, Bare: bare, Fresh: true, Open: open((*endpoint).first, true)},
			{Name: "replay" + size, Bare: bare, Open: open((*endpoint).replay, true)},
		},
	}
}

// endpoint is a handler and its clients.
type endpoint struct {
	handler http.Handler
	size    int          // of an answer's body
	ran     atomic.Int64 // requests that came to the inner handler
	clients []client
}

func newEndpoint(answerSize, callers int, middleware bool) (*endpoint, error) {
	e := &endpoint{size: answerSize, clients: make([]client, callers)}
	content := make([]byte, answerSize)
	e.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.ran.Add(1)
		if n, err := io.Copy(io.Discard, r.Body); err != nil || n != requestSize {
			http.Error(w, "the body did not arrive", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", "/orders/1")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(content)
	})
	for i := range e.clients {
		e.clients[i].init(i)
	}
	if !middleware {
		return e, nil
	}
	g, err := idem.New(&idem.Memory{MaxEntries: -1, MaxBytes: -1}, idem.Config{})
	if err != nil {
		return nil, err
	}
	m, err := httpmw.NewIdempotency(g, httpmw.SharedScope, httpmw.IdempotencyConfig{})
	if err != nil {
		return nil, err
	}
	e.handler = m.Handler(e.handler)
	return e, nil
}

// pass sends requests without a key. What would be the key travels in another header, so
// that all clients do the same work.
func (e *endpoint) pass(context.Context) (*measure.Job, error) {
	return &measure.Job{
		Call: func(ctx context.Context, caller int) error {
			c := &e.clients[caller]
			return e.post(ctx, c, "X-Request-Id", c.key(), false)
		},
		Check: e.ranFor,
	}, nil
}

// first sends each request with a key of its own.
func (e *endpoint) first(context.Context) (*measure.Job, error) {
	return &measure.Job{
		Call: func(ctx context.Context, caller int) error {
			c := &e.clients[caller]
			return e.post(ctx, c, httpmw.HeaderKey, c.key(), false)
		},
		Check: e.ranFor,
	}, nil
}

func (e *endpoint) ranFor(_ context.Context, calls int64) error {
	return want("runs of the handler", e.ran.Load(), calls, nil)
}

// replay repeats requests that were answered.
func (e *endpoint) replay(ctx context.Context) (*measure.Job, error) {
	for _, key := range knownKeys() {
		if err := e.post(ctx, &e.clients[0], httpmw.HeaderKey, key, false); err != nil {
			return nil, err
		}
	}
	return &measure.Job{
		Call: func(ctx context.Context, caller int) error {
			c := &e.clients[caller]
			return e.post(ctx, c, httpmw.HeaderKey, knownKey(c.next()), true)
		},
		Check: func(context.Context, int64) error {
			return want("runs of the handler", e.ran.Load(), known, nil)
		},
	}, nil
}

// client is one caller's request and answer, used again and again.
type client struct {
	seat

	request *http.Request
	ctx     context.Context //nolint:containedctx // the one that request has
	payload [requestSize]byte
	body    body
	value   []string // of the header with the key
	answer  answer
}

type body struct{ bytes.Reader }

func (*body) Close() error { return nil }

func (c *client) init(caller int) {
	c.caller = uint64(caller)
	c.value = make([]string, 1)
	c.answer.header = make(http.Header)
	c.request = &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/orders"}, Host: "shop.example",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header), ContentLength: requestSize,
	}
}

func (e *endpoint) post(ctx context.Context, c *client, header string, key idem.Key, replayed bool) error {
	if c.ctx != ctx {
		c.ctx, c.request = ctx, c.request.WithContext(ctx)
	}
	c.body.Reset(c.payload[:])
	c.request.Body = &c.body
	c.value[0] = string(key)
	c.request.Header[header] = c.value
	c.answer.reset()
	e.handler.ServeHTTP(&c.answer, c.request)
	_, marked := c.answer.header[httpmw.HeaderReplayed]
	if c.answer.status != http.StatusCreated || c.answer.size != e.size || marked != replayed {
		return fmt.Errorf("status %d, %d bytes, replayed: %v; want %d, %d, %v",
			c.answer.status, c.answer.size, marked, http.StatusCreated, e.size, replayed)
	}
	return nil
}

// answer is a ResponseWriter that keeps the status and the size.
type answer struct {
	header http.Header
	status int
	size   int
}

func (a *answer) reset() {
	clear(a.header)
	a.status, a.size = 0, 0
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) { a.status = status }

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	a.size += len(p)
	return len(p), nil
}
