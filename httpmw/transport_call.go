package httpmw

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"example.com/once/retry"
)

// HeaderAttempt tells the server which attempt of a call a request is. It is sent from the
// second one on. See [Attempts].
const HeaderAttempt = "Retry-Attempt"

// call is one logical call: all attempts to send one request.
type call struct {
	req     *http.Request
	base    http.RoundTripper
	std     bool // base is net/http's own and speaks HTTP
	policy  retry.Policy
	timeout time.Duration // to the header of an attempt's answer
	key     string        // to be added; "" = none
	keyed   bool
	hedged  bool

	observing bool // by an observer of its own
	body      replayBody

	mu     sync.Mutex
	failed []*StatusError // whose answers are still open
}

// delivery is an answer that a call may hand over. It is an io.Closer so that
// [retry.Hedge] closes those that come too late.
type delivery struct{ resp *http.Response }

func (d delivery) Close() error { return d.resp.Body.Close() }

func (t *Transport) newCall(req *http.Request) *call {
	c := &call{req: req, base: t.base(), policy: t.policyFor(req), keyed: isKeyed(req.Header)}
	idempotent := isIdempotent(req.Method)
	if !idempotent && !c.keyed && t.Key != nil && req.Method != http.MethodConnect {
		c.key = t.Key(req)
		c.keyed = c.key != ""
	}
	if !idempotent && !c.keyed {
		c.policy.NonIdempotent = true
	}
	c.timeout, c.policy.AttemptTimeout = c.policy.AttemptTimeout, 0
	c.policy.Classify = classifier(c.policy.Classify)
	if c.policy.Breaker != nil {
		c.policy.Breaker = answering{c.policy.Breaker}
	}
	if _, std := c.base.(*http.Transport); std && req.URL != nil {
		c.std = req.URL.Scheme == "http" || req.URL.Scheme == "https"
	}
	c.body.init(req, t.MaxBody)
	c.hedged = t.Hedge > 0 && isSafe(req.Method) && c.body.none() && req.Header.Get("Upgrade") == ""
	if c.hedged {
		c.observe()
	}
	return c
}

// observe sees to it that failed answers are dropped. Most calls have none, and do without.
func (c *call) observe() {
	if !c.observing {
		c.observing = true
		c.policy.Observe = c.observer(c.policy.Observe)
	}
}

// observer drops an answer once it is clear that another attempt will be made, before the
// wait for it begins.
func (c *call) observer(user func(context.Context, retry.Event)) func(context.Context, retry.Event) {
	return func(ctx context.Context, e retry.Event) {
		if failure, ok := errors.AsType[*StatusError](e.Err); ok && e.Reason == nil {
			c.drop(failure)
		}
		if user != nil {
			user(ctx, e)
		}
	}
}

// attempt sends the request once. An answer that calls for another attempt is kept aside,
// in case there will be none.
func (c *call) attempt(ctx context.Context) (delivery, error) {
	n := retry.Attempt(ctx)
	if n == 1 && c.plain() {
		resp, err := c.base.RoundTrip(c.req) //nolint:bodyclose // it is handed over, or kept aside
		if err != nil {
			return delivery{}, err //nolint:wrapcheck // a RoundTripper adds nothing to what Base says
		}
		return c.deliver(resp)
	}
	body, err := c.body.open()
	if err != nil {
		return delivery{}, retry.Stop(err)
	}
	f := c.launch(ctx)
	resp, err := c.base.RoundTrip(c.copy(f, n, body))
	if cut := f.landed(); cut != nil {
		if err == nil {
			_ = resp.Body.Close() // it cannot be read any more
		}
		err = cut
	}
	if err != nil {
		f.end()
		return delivery{}, c.unanswered(f, err)
	}
	resp.Body = f.bind(resp)
	return c.deliver(resp)
}

// plain says that a first attempt can send the caller's own request: nothing is added to it,
// nothing bounds it, net/http changes nothing about it and will find no fault with it, and
// whether it was sent makes no difference to a repeat. Most calls end with it.
func (c *call) plain() bool {
	return c.std && !c.hedged && c.timeout <= 0 && isSafe(c.req.Method) && c.body.none() &&
		c.req.URL.Host != "" && c.req.Header != nil && isSound(c.req.Header) && len(c.req.Trailer) == 0
}

// isSound reports whether net/http surely accepts the header. It accepts some others too.
func isSound(h http.Header) bool {
	for name, values := range h {
		if name == "" {
			return false
		}
		for _, b := range []byte(name) {
			if b != '-' && (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'z') {
				return false
			}
		}
		for _, v := range values {
			for _, b := range []byte(v) {
				if b < ' ' || b > '~' {
					return false
				}
			}
		}
	}
	return true
}

// deliver makes of an answer the attempt's result.
func (c *call) deliver(resp *http.Response) (delivery, error) {
	if resp.StatusCode < 400 || resp.Header.Get(HeaderReplayed) == "true" {
		return delivery{resp}, nil
	}
	failure := newStatusError(resp, c.keyed)
	if c.policy.Classify(failure).Class == retry.Permanent || c.body.lost() {
		return delivery{resp}, nil
	}
	if !c.hedged {
		c.observe() // nobody else uses the policy now
	}
	c.mu.Lock()
	c.failed = append(c.failed, failure)
	c.mu.Unlock()
	return delivery{}, failure
}

// copy is the request as an attempt sends it. Base may do with it what it wants, but for the
// trailers: the caller fills them in while the body is read. net/http's own wants nothing.
func (c *call) copy(f *flight, attempt int, body replay) *http.Request {
	var r *http.Request
	if c.std && attempt == 1 && !c.hedged {
		f.request = *c.req.WithContext(f.ctx)
		r = &f.request
		if c.key != "" {
			r.Header = r.Header.Clone()
		}
	} else {
		r = c.req.Clone(f.ctx)
		r.Trailer = c.req.Trailer
	}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	r.Body, r.GetBody = body.reader, body.again
	if c.key != "" {
		r.Header[HeaderKey] = []string{c.key}
	}
	if attempt > 1 {
		r.Header[HeaderAttempt] = []string{strconv.Itoa(attempt)}
	}
	return r
}

// unanswered says what an attempt without an answer may have done.
func (c *call) unanswered(f *flight, err error) error {
	switch {
	case c.body.lost():
		return retry.Stop(err) // whatever happened, it cannot be sent again
	case f.sent.refused(c.base):
		return retry.Stop(err)
	case f.sent.never():
		return &unsentError{err}
	}
	return err
}

// answer is what the caller gets.
func (c *call) answer(won delivery, err error) (*http.Response, error) {
	if err == nil {
		return won.resp, nil
	}
	if c.req.Context().Err() != nil {
		return nil, err // a body could not be read any more
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.failed); n > 0 {
		last := c.failed[n-1].resp
		c.failed = c.failed[:n-1]
		return last, nil
	}
	return nil, err
}

// drop drains and closes a failed answer.
func (c *call) drop(failure *StatusError) {
	c.mu.Lock()
	open := false
	for i, f := range c.failed {
		if f == failure {
			c.failed = append(c.failed[:i:i], c.failed[i+1:]...)
			open = true
			break
		}
	}
	c.mu.Unlock()
	if open {
		discard(failure.resp)
	}
}

// end closes what nobody will get.
func (c *call) end() {
	c.mu.Lock()
	open := c.failed
	c.failed = nil
	c.mu.Unlock()
	for _, f := range open {
		_ = f.resp.Body.Close() // nobody reads it
	}
	c.body.end()
}

// answering is a breaker that counts "still running" as the answer of a healthy peer.
type answering struct{ retry.Breaker }

func (b answering) Allow() (func(error), error) {
	done, err := b.Breaker.Allow()
	if err != nil {
		return nil, err
	}
	return func(outcome error) {
		if failure, ok := errors.AsType[*StatusError](outcome); ok && failure.inFlight {
			outcome = nil
		}
		done(outcome)
	}, nil
}
