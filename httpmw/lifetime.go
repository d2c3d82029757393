package httpmw

import (
	"context"
	"errors"
	"sync"
	"time"
)

var (
	errClientGone = errors.New("httpmw: the client has gone")
	errStoreSlow  = errors.New("httpmw: the claim took longer than IdempotencyConfig.StoreTimeout")
)

// lifetime decides how long the work for one request may go on. It has two parts. Until the
// handler starts, a client that leaves ends the waiting for somebody else's answer, and a
// store that does not answer is given up. Afterwards nothing but the handler's own context
// ends: the effect may be under way, and its outcome has to be recorded.
type lifetime struct {
	mu      sync.Mutex
	linger  time.Duration
	waits   bool
	gone    bool
	started bool
	over    bool // the handler has had its time without a client
	ended   bool
	quit    context.CancelCauseFunc // ends the claim
	stop    context.CancelCauseFunc // ends the handler; nil = it has not started
	limit   *time.Timer             // of the claim; nil = it has none
	patient time.Duration           // how long limit is
	timer   *time.Timer             // of a handler without a client
	unwatch func() bool
}

// begin returns the context for the Guard, detached from the request's. The claim may
// take as long as limit, which is none if negative.
func (l *lifetime) begin(ctx context.Context, waits bool, linger, limit time.Duration) context.Context {
	l.waits, l.linger, l.patient = waits, linger, limit
	detached, quit := context.WithCancelCause(context.WithoutCancel(ctx))
	l.quit = quit
	l.unwatch = context.AfterFunc(ctx, l.clientGone)
	if limit >= 0 {
		l.limit = time.AfterFunc(limit, l.storeSlow)
	}
	return detached
}

func (l *lifetime) storeSlow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.started {
		l.quit(errStoreSlow)
	}
}

func (l *lifetime) clientGone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	switch {
	case l.ended:
	case l.started:
		l.runOut()
	case l.waits:
		l.quit(errClientGone)
	}
}

// runOut gives the running handler the time that is left to it.
func (l *lifetime) runOut() {
	switch {
	case l.linger <= 0:
		l.over = true
		l.stop(errClientGone)
	case l.timer == nil:
		l.timer = time.AfterFunc(l.linger, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.over = true
			l.stop(errClientGone)
		})
	}
}

// start returns the handler's context, made from the Guard's, unless the claim has been
// given up. A transaction that is repeated starts more than once.
func (l *lifetime) start(ctx context.Context) (context.Context, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if l.limit != nil {
		l.limit.Stop()
	}
	ctx, l.stop = context.WithCancelCause(ctx)
	l.started = true
	switch {
	case l.over:
		l.stop(errClientGone)
	case l.gone:
		l.runOut()
	}
	return ctx, nil
}

// again goes back to before the handler's start, for another claim.
func (l *lifetime) again() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		l.stop(nil)
	}
	l.started = false
	if l.limit != nil {
		l.limit.Reset(l.patient)
	}
}

func (l *lifetime) end() {
	l.unwatch()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for _, t := range []*time.Timer{l.limit, l.timer} {
		if t != nil {
			t.Stop()
		}
	}
	if l.stop != nil {
		l.stop(nil)
	}
	l.quit(nil)
}
