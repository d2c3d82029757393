package retry

import (
	"context"
	"errors"
	"io"
	"runtime"
	"time"
)

// errLost is the cause with which the contexts of attempts end that nobody waits for any more.
var errLost = errors.New("retry: another attempt has decided the call")

// Hedge is [DoValue] that does not wait for a slow attempt to fail: when no answer has come after a while, it makes the
// next attempt beside the first, and the first success wins. It cuts the tail off latencies at the
// price of extra calls, so give after a value that few calls exceed, and p a Budget.
//
// At most MaxAttempts calls are made in all (3 for a policy without a limit); a spent budget or a breaker's refusal ends
// the making, not the attempts that run. A failed attempt is followed by the next one after the policy's wait, and by none
// before a wait that the peer asked for. A permanent failure ends the call.
//
// The contexts of all attempts end when Hedge returns, so a value that lives on its attempt's context must be used up
// inside op. Before it returns, Hedge waits for the losers: op must honour its context. A loser's value that
// is an io.Closer is closed. A panic of any attempt passes to the caller.
//
// An after of 0 or less means DoValue, as does a [Nested] context. A policy that is NonIdempotent is refused with
// [ErrNonIdempotent], without a call.
func Hedge[T any](ctx context.Context, p *Policy, after time.Duration, op func(context.Context) (T, error)) (T, error) {
	if after <= 0 || Nested(ctx) || p != nil && p.MaxAttempts == 1 {
		return DoValue(ctx, p, op)
	}
	h := hedge[T]{op: op, after: after}
	h.open(p)
	defer h.close()
	if h.policy.NonIdempotent {
		var zero T
		return zero, h.giveUp(ctx, ErrNonIdempotent, nil)
	}
	if h.limit = h.policy.limit(); h.limit < 0 {
		h.limit = defaultAttempts
	}
	h.results = make(chan outcome[T], h.limit)
	return h.run(ctx)
}

// hedge is the state of one hedged call.
type hedge[T any] struct {
	loop
	op      func(context.Context) (T, error)
	after   time.Duration
	limit   int
	flying  int // attempts that have not answered
	results chan outcome[T]
	planned time.Time // of the attempt that follows a failed one; zero if none does
	reason  error     // why no further attempt is made; nil while one may be
}

// outcome is what became of one attempt.
type outcome[T any] struct {
	attempt  int
	lease    lease
	value    T
	err      error
	returned bool // else panicked, with value; or exited, without
	panicked any
}

func (h *hedge[T]) run(ctx context.Context) (value T, err error) {
	race, stop := context.WithCancelCause(ctx)
	defer h.await(stop)
	if reason, refusal := h.launch(ctx, race); reason != nil {
		return value, h.giveUp(ctx, reason, refusal)
	}
	ended := ctx.Done()
	h.arm(h.after)
	for {
		select {
		case r := <-h.results:
			if v, over, err := h.arrived(ctx, r); over {
				return v, err
			}
		case <-h.timer.C:
			if over := h.due(ctx, race); over != nil {
				return value, over
			}
		case <-ended: // the attempts end too: hear them out, one may have succeeded
			ended = nil
			h.refuse(endOf(ctx))
			if h.flying == 0 {
				return value, h.giveUp(ctx, h.reason, nil)
			}
		}
	}
}

// launch starts the next attempt.
func (h *hedge[T]) launch(ctx, race context.Context) (reason, refusal error) {
	attempt, reason, refusal := h.admit(ctx, race)
	if reason != nil {
		h.dropToken()
		return reason, refusal
	}
	r := outcome[T]{attempt: h.attempts, lease: h.running}
	h.running, h.token = lease{}, false
	h.flying++
	op, results := h.op, h.results
	go func() {
		defer func() {
			if !r.returned {
				r.panicked = recover()
			}
			results <- r
		}()
		r.value, r.err = op(attempt)
		r.returned = true
	}()
	return nil, nil
}

// due makes the attempt that the timer was set for: a planned one, whose token is taken already, or
// a hedge. An error is the end of the call.
func (h *hedge[T]) due(ctx, race context.Context) error {
	if h.closed() {
		return nil
	}
	if b := h.policy.Budget; b != nil && !h.token {
		if h.token = b.take(); !h.token {
			return nil // no hedge then; those that run go on
		}
	}
	h.planned = time.Time{}
	reason, refusal := h.launch(ctx, race)
	switch {
	case reason == nil:
		h.arm(h.after)
	case h.flying == 0:
		return h.giveUp(ctx, reason, refusal)
	}
	return nil
}

// closed says that no further attempt will be made.
func (h *hedge[T]) closed() bool { return h.reason != nil || h.attempts >= h.limit }

// refuse rules out further attempts.
func (h *hedge[T]) refuse(reason error) {
	h.reason = reason
	h.planned = time.Time{}
	h.dropToken()
	h.timer.Stop()
}

// arrived deals with an attempt that has ended.
func (h *hedge[T]) arrived(ctx context.Context, r outcome[T]) (v T, over bool, err error) {
	h.flying--
	if !r.returned {
		h.vanished(r)
	}
	if r.err == nil {
		h.policy.Budget.earn()
		r.lease.settle(nil)
		return r.value, true, nil
	}
	h.judge(r.err)
	r.lease.settle(h.health(ctx, r.err))
	h.note()
	if h.verdict.Class == Permanent {
		return r.value, true, h.giveUp(ctx, ErrPermanent, nil)
	}
	var wait time.Duration
	if h.reason == nil {
		wait = h.plan(ctx)
	}
	if h.flying == 0 && h.reason != nil {
		return r.value, true, h.giveUp(ctx, h.reason, nil)
	}
	h.observe(ctx, r.attempt, wait, nil)
	return v, false, nil
}

// plan sets the timer for the attempt that follows a failed one, and returns the wait. A plan that stands already is put
// off if it would come before the wait that this failure asks for.
func (h *hedge[T]) plan(ctx context.Context) time.Duration {
	h.dropToken()
	if h.attempts >= h.limit {
		h.refuse(ErrAttempts)
		return 0
	}
	wait, reason := h.decide(ctx)
	if reason != nil {
		h.refuse(reason)
		return 0
	}
	if at := time.Now().Add(wait); at.After(h.planned) {
		h.planned = at
	}
	wait = time.Until(h.planned)
	h.arm(wait)
	return wait
}

// vanished passes a panic on, or the exit of the attempt's goroutine.
func (h *hedge[T]) vanished(r outcome[T]) {
	r.lease.settle(errVanished)
	if r.attempt > 1 && h.policy.Budget != nil {
		h.policy.Budget.refund()
	}
	if r.panicked != nil {
		panic(r.panicked)
	}
	runtime.Goexit()
}

// await ends the attempts that still run, and waits for them.
func (h *hedge[T]) await(stop context.CancelCauseFunc) {
	stop(errLost)
	if h.flying == 0 {
		return
	}
	r := <-h.results
	h.flying--
	defer h.await(stop) // also if this one has panicked
	if !r.returned {
		h.vanished(r)
	}
	if r.err != nil {
		r.lease.settle(context.Canceled)
		return
	}
	r.lease.settle(nil)
	if c, ok := any(r.value).(io.Closer); ok {
		_ = c.Close() // nobody wants the value
	}
}
