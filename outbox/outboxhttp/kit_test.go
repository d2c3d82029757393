package outboxhttp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxhttp"
	"example.com/once/outbox/outboxtest"
)

// receiver takes webhooks.
type receiver struct {
	t        testing.TB
	verifier *outboxhttp.Verifier

	mu       sync.Mutex
	messages []outbox.Message
	down     bool
	hanging  chan struct{}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the sender went away
	}
	r.mu.Lock()
	down, hanging := r.down, r.hanging
	r.mu.Unlock()
	if hanging != nil {
		select {
		case <-hanging:
		case <-q.Context().Done():
		}
	}
	switch {
	case down:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case string(body) == "refused":
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	if err := r.verifier.Verify(q.Header, body); err != nil {
		r.t.Error(err)
	}
	m := outbox.Message{ID: uuid.MustParse(q.Header.Get("Webhook-Id")), Payload: body}
	if trace := q.Header.Get("Traceparent"); trace != "" {
		m.Headers = []outbox.Header{{Key: "traceparent", Value: trace}}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, m)
}

func TestConformance(t *testing.T) {
	outboxtest.RunPublisher(t, func(tb testing.TB) outboxtest.Destination {
		tb.Helper()
		verifier, err := outboxhttp.NewVerifier(secret)
		if err != nil {
			tb.Fatal(err)
		}
		r := &receiver{t: tb, verifier: verifier}
		srv := httptest.NewServer(r)
		tb.Cleanup(srv.Close)
		p, err := outboxhttp.New(outboxhttp.Config{URL: srv.URL, Secrets: []string{secret}, AllowPrivate: true})
		if err != nil {
			tb.Fatal(err)
		}
		return outboxtest.Destination{
			Publisher: p,
			Received: func(context.Context) ([]outbox.Message, error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				return slices.Clone(r.messages), nil
			},
			Headers: true,
			Refused: &outbox.Message{Topic: "t", Payload: []byte("refused")},
			Break: func() func() {
				r.set(func() { r.down = true })
				return func() { r.set(func() { r.down = false }) }
			},
			Hang: func() func() {
				r.set(func() { r.hanging = make(chan struct{}) })
				return func() { r.set(func() { close(r.hanging); r.hanging = nil }) }
			},
		}
	})
}

func (r *receiver) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}
