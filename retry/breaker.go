package retry

import (
	"context"
	"errors"
	"sync/atomic"
)

// Breaker is asked before each attempt. On nil error, done is called exactly once with what the
// attempt says of the peer: nil for a success and for a permanent failure (the peer answered),
// context.Canceled if the caller cancelled (which says nothing), otherwise the attempt's error. It is called
// too when the attempt panics, exits its goroutine, or outlives [Policy.AttemptTimeout].
//
// [NewBreaker] makes one; gobreaker v2's TwoStepCircuitBreaker fits as it is. A bulkhead or a throttle
// can be a Breaker. A refusal ends the call with [ErrBreaker]: nothing was sent.
type Breaker interface {
	Allow() (done func(error), err error)
}

// errVanished is the outcome of an attempt that panicked or exited its goroutine.
var errVanished = errors.New("retry: the attempt did not return")

// permit is a breaker's done, called once.
type permit struct {
	done func(error)
	used atomic.Bool
	stop func() bool
}

func (p *permit) settle(err error) {
	if p.used.CompareAndSwap(false, true) {
		p.done(err)
	}
}

// watch settles the permit when the attempt's time is over, so that an attempt that ignores its context
// cannot keep it. ctx is the caller's.
func (p *permit) watch(ctx, attempt context.Context) {
	p.stop = context.AfterFunc(attempt, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			p.settle(context.Canceled)
		} else {
			p.settle(context.DeadlineExceeded)
		}
	})
}

func (p *permit) unwatch() {
	if p != nil && p.stop != nil {
		p.stop()
	}
}
