package outboxhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/once/outbox"
	"example.com/once/retry"
)

// Publisher posts messages to one receiver. It is safe for concurrent use.
type Publisher struct {
	url      string
	host     string // for errors
	signer   *keys
	header   http.Header
	client   *http.Client
	timeout  time.Duration
	parallel int
	secrets  *strings.Replacer
}

var _ outbox.Publisher = (*Publisher)(nil)

// Publish implements [outbox.Publisher]. It posts each message of the batch by itself. When
// the receiver turns out to be unavailable, or half of the time until ctx ends is over, it
// begins no further request: those messages are [outbox.ErrNotSent]. So a request has at
// least half of the time that the relay gives to the batch.
func (p *Publisher) Publish(ctx context.Context, batch []outbox.Delivery, errs []error) {
	start := time.Now()
	last, bounded := ctx.Deadline()
	last = start.Add(last.Sub(start) / 2)
	var next atomic.Int64
	var down atomic.Bool
	var wg sync.WaitGroup
	for range min(p.parallel, len(batch)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(batch)); i = next.Add(1) - 1 {
				late := bounded && i > 0 && time.Now().After(last)
				if late || down.Load() || ctx.Err() != nil {
					errs[i] = outbox.ErrNotSent
					continue
				}
				errs[i] = p.post(ctx, batch[i])
				if errors.Is(errs[i], outbox.ErrUnavailable) {
					down.Store(true)
				}
			}
		})
	}
	wg.Wait()
}

// post sends one message. A panic, for instance of the client's transport, becomes its
// error: it would otherwise end the process, since the relay cannot catch it here.
func (p *Publisher) post(ctx context.Context, d outbox.Delivery) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &outbox.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	var waiting atomic.Bool // for a connection
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { waiting.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { waiting.Store(false) },
	}
	within, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	r, err := p.request(httptrace.WithClientTrace(within, trace), d)
	if err != nil {
		return retry.Stop(err)
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return p.unanswered(ctx, err, waiting.Load())
	}
	return p.answered(answer)
}

// request makes the request for a message. An error says that there can be none.
func (p *Publisher) request(ctx context.Context, d outbox.Delivery) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(d.Payload))
	if err != nil {
		return nil, fmt.Errorf("outboxhttp: making the request: %w", err)
	}
	for _, h := range d.Headers {
		if reserved(h.Key) {
			continue
		}
		if !token(h.Key) || !fieldValue(h.Value) {
			return nil, fmt.Errorf("outboxhttp: the message's header %q cannot be sent over HTTP", h.Key)
		}
		r.Header.Add(h.Key, h.Value)
	}
	for name, values := range p.header {
		if name == headerType && r.Header.Get(headerType) != "" {
			continue
		}
		r.Header[name] = slices.Clone(values)
	}
	if r.Header.Get(headerType) == "" {
		r.Header.Set(headerType, "application/json")
	}
	id, timestamp := d.ID.String(), strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set(headerID, id)
	r.Header.Set(headerTimestamp, timestamp)
	if s := p.signer.sign(id, timestamp, d.Payload); s != "" {
		r.Header.Set(headerSignature, s)
	}
	// With this header net/http itself repeats a request that met a connection which the
	// receiver had closed in the meantime.
	r.Header.Set(headerKey, `"`+id+`"`)
	return r, nil
}

// unanswered judges a request without an answer.
func (p *Publisher) unanswered(ctx context.Context, err error, unconnected bool) error {
	if u, ok := errors.AsType[*url.Error](err); ok { // its text would show the address, which may be a secret
		err = u.Err
	}
	err = fmt.Errorf("outboxhttp: POST to %s: %w", p.host, err)
	switch {
	case errors.Is(err, ErrPrivateAddress) || !unconnected:
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%w: %w", outbox.ErrNotSent, err)
	}
	return outbox.Unavailable(err) // nothing of the message has left, so it is no fault of its
}
