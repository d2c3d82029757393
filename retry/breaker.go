package retry

import (
	"context"
	"errors"
	"sync"
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

// watch settles a permit when the attempt's time is over, so that an attempt that ignores its context cannot keep
// it. It returns the permit to use instead of done, and what ends the watch. ctx is the caller's.
func watch(ctx, attempt context.Context, done func(error)) (once func(error), stop func() bool) {
	var used sync.Once // whoever comes second waits: the permit is back when the attempt is over
	once = func(outcome error) { used.Do(func() { done(outcome) }) }
	stop = context.AfterFunc(attempt, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			once(context.Canceled)
		} else {
			once(context.DeadlineExceeded)
		}
	})
	return once, stop
}
