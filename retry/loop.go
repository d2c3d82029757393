package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// overloadFloor is the least wait before a peer that shed the call is called again, if it named none.
const overloadFloor = time.Second

// loop is the state of one call that cannot end with its first attempt: made when that has
// failed, or when the policy wants more than a bare attempt. The order of use is open, then
// begin and end for each attempt with next between them, and close by defer.
type loop struct {
	policy   *Policy
	start    time.Time
	schedule Schedule
	timer    *time.Timer // at most one a call; never shared with another call
	running  lease       // of the attempt that runs
	attempts int         // calls made
	token    bool        // one of the budget's, for an attempt that has not ended
	judged   bool        // verdict and rest are those of the attempt that ended last
	verdict  Verdict
	rest     error // that attempt's error without markers
	class    Class // what the attempts together may have done
	kept     int
	errs     [maxErrs]error
}

// lease is what an attempt holds while it runs.
type lease struct {
	done   func(error)        // the breaker's
	unwarn func() bool        // stops the watch over done
	cancel context.CancelFunc // of its time-out
}

// settle gives everything back once; outcome is for the breaker.
func (h *lease) settle(outcome error) {
	held := *h
	*h = lease{} // first: a breaker that panics is not told twice
	if held.unwarn != nil {
		held.unwarn()
	}
	if held.cancel != nil {
		held.cancel()
	}
	if held.done != nil {
		held.done(outcome)
	}
}

func (l *loop) open(p *Policy) {
	if p == nil {
		p = &Policy{}
	}
	l.policy, l.class = p, NoEffect
	if p.MaxElapsed > 0 {
		l.start = time.Now()
	}
}

// resume takes over the first attempt, made without a loop, that failed under the breaker.
func (l *loop) resume(ctx context.Context, err error, done func(error)) {
	if done == nil {
		return
	}
	l.running.done = done
	l.attempts++
	_ = l.end(ctx, err) // it is err
}

// refused makes the error of a call that the breaker refused before its first attempt.
func refused(ctx context.Context, p *Policy, refusal error) error {
	var l loop
	l.open(p)
	return l.giveUp(ctx, brokenBy(refusal), refusal)
}

func brokenBy(refusal error) error { return fmt.Errorf("%w: %w", ErrBreaker, refusal) }

// close returns what is still held: by an attempt that panicked or whose goroutine exits.
func (l *loop) close() {
	l.running.settle(errVanished)
	l.dropToken()
	if l.timer != nil {
		l.timer.Stop()
	}
}

// begin readies the next attempt, or returns the error that ends the call.
func (l *loop) begin(ctx context.Context) (context.Context, error) {
	attempt, reason, refusal := l.admit(ctx, ctx)
	if reason != nil {
		l.dropToken()
		return nil, l.giveUp(ctx, reason, refusal)
	}
	return attempt, nil
}

// admit asks the breaker and derives the attempt's context from parent: the mark of a retry, the time-out. ctx is
// the caller's. refusal is the breaker's error, if it is the reason.
func (l *loop) admit(ctx, parent context.Context) (attempt context.Context, reason, refusal error) {
	if ctx.Err() != nil {
		return nil, endOf(ctx), nil
	}
	if b := l.policy.Breaker; b != nil {
		done, err := b.Allow()
		if err != nil {
			return nil, brokenBy(err), err
		}
		l.running.done = done
	}
	l.attempts++
	attempt = parent
	if l.attempts > 1 {
		attempt = markAttempt(parent, l.attempts, l.policy.limit() > 0)
	}
	if d := l.policy.AttemptTimeout; d > 0 {
		attempt, l.running.cancel = context.WithTimeout(attempt, d)
		if l.running.done != nil {
			l.running.done, l.running.unwarn = watch(ctx, attempt, l.running.done)
		}
	}
	return attempt, nil, nil
}

// end settles an attempt that returned err, and returns err.
func (l *loop) end(ctx context.Context, err error) error {
	l.token = false // spent
	if err == nil {
		l.policy.Budget.earn()
		l.running.settle(nil)
		return nil
	}
	l.judge(err)
	l.running.settle(l.health(ctx, err))
	return err
}

func (l *loop) judge(err error) {
	l.verdict, l.rest = l.policy.judge(err)
	l.judged = true
}

// health translates an attempt's error into what it says of the peer.
func (l *loop) health(ctx context.Context, err error) error {
	switch {
	case l.verdict.Class == Permanent:
		return nil // it answered
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, context.Canceled):
		return context.Canceled // it was not given the time to
	default:
		return err
	}
}

// next decides after a failed attempt. It returns nil when it is time for the next one, after
// the wait, or the error that ends the call.
func (l *loop) next(ctx context.Context, err error) error {
	if !l.judged { // the first attempt was made without a loop
		l.judge(err)
		l.attempts++
	}
	l.judged = false
	l.note()
	wait, reason := l.decide(ctx)
	if reason != nil {
		return l.giveUp(ctx, reason, nil)
	}
	l.observe(ctx, l.attempts, wait, nil)
	if reason = l.sleep(ctx, wait); reason != nil {
		l.dropToken()
		return l.giveUp(ctx, reason, nil)
	}
	return nil
}

// note enters a failed attempt into the call's books.
func (l *loop) note() {
	if l.start.IsZero() {
		l.start = time.Now()
	}
	if l.verdict.Class != NoEffect && l.verdict.Class != Permanent {
		l.class = Ambiguous
	}
	if l.kept == maxErrs { // keep the first and the latest
		copy(l.errs[1:], l.errs[2:])
		l.kept--
	}
	l.errs[l.kept] = l.rest
	l.kept++
}

// decide returns the wait before the next attempt, with a token taken from the budget, or the
// reason why there is none. The budget comes last: what another reason refuses costs it nothing.
func (l *loop) decide(ctx context.Context) (time.Duration, error) {
	p, v := l.policy, l.verdict
	if reason := p.refuses(l.attempts, v); reason != nil {
		return 0, reason
	}
	if ctx.Err() != nil {
		return 0, endOf(ctx)
	}
	if Nested(ctx) {
		return 0, ErrNested
	}
	if l.schedule == nil {
		l.schedule = p.schedule()
	}
	own := l.schedule.NextBackOff()
	if own < 0 {
		return 0, ErrBackoff
	}
	asked := v.After
	if asked > max(p.maxRetryAfter(), 0) {
		return 0, ErrRetryAfter
	}
	if v.Overload && asked == 0 {
		asked = min(overloadFloor, max(p.maxRetryAfter(), 0))
	}
	wait, least := stretch(own, asked), max(own, asked)
	if room, bounded := l.room(ctx); bounded && wait >= room.left {
		if wait = least; wait >= room.left {
			return 0, room.reason
		}
	}
	if p.Budget != nil {
		if !p.Budget.take() {
			return 0, ErrBudget
		}
		l.token = true
	}
	return wait, nil
}

// refuses returns the reason why v, after so many attempts, rules out another one, whatever the time.
func (p *Policy) refuses(attempts int, v Verdict) error {
	switch limit := p.limit(); {
	case v.Class == Permanent:
		return ErrPermanent
	case p.NonIdempotent && v.Class != NoEffect:
		return ErrNonIdempotent
	case limit > 0 && attempts >= limit:
		return ErrAttempts
	}
	return nil
}

// stretch returns the wait that satisfies both the schedule and the peer. Everyone told the same
// time would come back at once, so up to a quarter is added to it; never is anything taken off.
func stretch(own, asked time.Duration) time.Duration {
	if spread := asked / 4; spread > 0 {
		if sum := asked + rand.N(spread); sum > asked {
			asked = sum
		}
	}
	return max(own, asked)
}

// room is the time left for a wait, and the reason for refusing a longer one.
type room struct {
	left   time.Duration
	reason error
}

func (l *loop) room(ctx context.Context) (r room, bounded bool) {
	if d := l.policy.MaxElapsed; d > 0 {
		r, bounded = room{d - time.Since(l.start), ErrElapsed}, true
	}
	if deadline, ok := ctx.Deadline(); ok {
		if left := time.Until(deadline); !bounded || left < r.left {
			r, bounded = room{left, ErrDeadline}, true
		}
	}
	return r, bounded
}

// sleep waits, and returns the reason if ctx ended first. A wait of zero needs no timer.
func (l *loop) sleep(ctx context.Context, wait time.Duration) error {
	if wait > 0 {
		l.arm(wait)
		select {
		case <-l.timer.C:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil { // also after a hook, and when both were ready
		return endOf(ctx)
	}
	return nil
}

func (l *loop) arm(wait time.Duration) {
	if l.timer == nil {
		l.timer = time.NewTimer(wait)
	} else {
		l.timer.Reset(wait)
	}
}

func (l *loop) dropToken() {
	if l.token {
		l.token = false
		l.policy.Budget.refund()
	}
}

// giveUp makes the error that ends the call and tells the observer. refusal is the error of a
// refused attempt, which has none of its own.
func (l *loop) giveUp(ctx context.Context, reason, refusal error) error {
	if l.attempts == 0 {
		l.rest = refusal
	}
	l.observe(ctx, l.attempts, 0, reason)
	if reason == ErrPermanent { //nolint:errorlint // a reason of the loop's own
		return l.rest
	}
	e := &Error{Attempts: l.attempts, Reason: reason, class: l.class}
	e.Errs = append(e.Errs, l.errs[:l.kept]...)
	if !l.start.IsZero() {
		e.Elapsed = time.Since(l.start)
	}
	if l.verdict.After > 0 {
		e.RetryAt = time.Now().Add(l.verdict.After)
	}
	return e
}

func (l *loop) observe(ctx context.Context, attempt int, wait time.Duration, reason error) {
	if l.policy.Observe == nil {
		return
	}
	l.policy.Observe(ctx, Event{
		Policy:  l.policy.Name,
		Attempt: attempt,
		Err:     l.rest,
		Verdict: l.verdict,
		Wait:    wait,
		Reason:  reason,
	})
}
