package suite

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"

	"example.com/once/benchmarks/measure"
	"example.com/once/retry"
)

// What the retrying calls are compared with, and those that have limits.
const (
	retrySuite   = "retry"
	succeeds     = "succeeds"
	failsFirst   = "fails-3-times"
	doBudget     = "Do+budget"
	doBreaker    = "Do+breaker"
	handLoop     = "hand-written-loop"
	breakerLoop  = "gobreaker-in-loop"
	failures     = 3
	attempts     = failures + 1
	breakerRange = 10 * time.Second
)

// RetrySuccess compares what a call costs that succeeds at once.
func RetrySuccess() measure.Group { return retryGroup(succeeds, 0) }

// RetryFailures compares what a call costs that fails three times and then succeeds, without
// waiting in between: the loop alone.
func RetryFailures() measure.Group { return retryGroup(failsFirst, failures) }

func retryGroup(name string, failures int) measure.Group {
	g := measure.Group{Suite: retrySuite, Backend: name, Durability: transient, Callers: []int{1}}
	for _, c := range retryCases() {
		if failures > 0 && c.once {
			continue
		}
		g.Ops = append(g.Ops, measure.Op{Name: c.name, Bare: c.bare, Loop: c.counted(failures)})
	}
	return g
}

// counted is the case with a function that fails so many times before each success, and a
// look at how often it was called.
func (c retryCase) counted(failures int) func(*testing.B) error {
	return func(b *testing.B) error {
		called := newCallee(failures)
		if err := c.loop(b, called); err != nil {
			return err
		}
		return want("attempts", called.calls, int64(b.N*(failures+1)), nil)
	}
}

// retryCase is one way to call a function that may fail.
type retryCase struct {
	name string
	bare string
	once bool // does not repeat, so it has no place where the function fails
	loop func(b *testing.B, c *callee) error
}

// callee is what is called. It fails a number of times before each success.
type callee struct {
	calls    int64
	failures int
	left     int
	failure  error
}

func newCallee(failures int) *callee {
	return &callee{failures: failures, left: failures, failure: errors.New("out of order")}
}

//go:noinline
func (c *callee) call(context.Context) error {
	c.calls++
	if c.left > 0 {
		c.left--
		return c.failure
	}
	c.left = c.failures
	return nil
}

//go:noinline
func (c *callee) get(ctx context.Context) (int64, error) { return c.calls, c.call(ctx) }

// retryCases are ours and what they are compared with; those of other libraries are in
// peers.go. Functions are made outside of the loops, as a caller with nothing to capture
// would: the same for all.
func retryCases() []retryCase {
	ours := []retryCase{
		{name: "bare-call", bare: handLoop, once: true, loop: func(b *testing.B, c *callee) error {
			ctx, op := b.Context(), c.call
			for b.Loop() {
				if err := op(ctx); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: handLoop, loop: func(b *testing.B, c *callee) error {
			ctx, op := b.Context(), c.call
			for b.Loop() {
				if err := byHand(ctx, attempts, 0, op); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "Do", bare: handLoop, loop: doWith(func(*retry.Policy) error { return nil })},
		{name: doBudget, bare: handLoop, loop: doWith(func(p *retry.Policy) error {
			p.Budget = plenty()
			return nil
		})},
		{name: "DoValue+budget", bare: handLoop, loop: func(b *testing.B, c *callee) error {
			ctx, op, p := b.Context(), c.get, policyFor(c)
			p.Budget = plenty()
			for b.Loop() {
				if _, err := retry.DoValue(ctx, p, op); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "Attempts+budget", bare: handLoop, loop: func(b *testing.B, c *callee) error {
			ctx, p := b.Context(), policyFor(c)
			p.Budget = plenty()
			for b.Loop() {
				var err error
				for _, ctx := range p.Attempts(ctx, &err) {
					err = c.call(ctx)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "gobreaker-Execute", bare: breakerLoop, once: true, loop: func(b *testing.B, c *callee) error {
			ctx, op, cb := b.Context(), c.call, newGobreaker()
			execute := func() (struct{}, error) { return struct{}{}, op(ctx) }
			for b.Loop() {
				if _, err := cb.Execute(execute); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: breakerLoop, loop: func(b *testing.B, c *callee) error {
			ctx, op, cb := b.Context(), c.call, newGobreaker()
			guarded := func(ctx context.Context) error {
				_, err := cb.Execute(func() (struct{}, error) { return struct{}{}, op(ctx) })
				return err
			}
			for b.Loop() {
				if err := byHand(ctx, attempts, 0, guarded); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: doBreaker, bare: breakerLoop, loop: doWith(func(p *retry.Policy) error {
			b, err := retry.NewBreaker("peer", retry.BreakerConfig{Ratio: 1, MinCalls: attempts * attempts, Window: breakerRange})
			p.Breaker = b
			return err
		})},
	}
	return append(ours, peers()...)
}

// doWith measures Do with a policy.
func doWith(complete func(*retry.Policy) error) func(*testing.B, *callee) error {
	return func(b *testing.B, c *callee) error {
		p := policyFor(c)
		if err := complete(p); err != nil {
			return err
		}
		ctx, op := b.Context(), c.call
		for b.Loop() {
			if err := retry.Do(ctx, p, op); err != nil {
				return err
			}
		}
		return nil
	}
}

// policyFor is the default policy, or one that waits for nothing if c is going to fail.
func policyFor(c *callee) *retry.Policy {
	if c.failures == 0 {
		return &retry.Policy{}
	}
	return &retry.Policy{MaxAttempts: attempts, Backoff: retry.Constant(0)}
}

// plenty is a budget that never runs out, so that every call gets its attempts.
func plenty() *retry.Budget { return &retry.Budget{Ratio: 2 * failures} }

// newGobreaker has the window of [retry.NewBreaker], and never opens.
func newGobreaker() *gobreaker.CircuitBreaker[struct{}] {
	return gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Interval:     breakerRange,
		BucketPeriod: breakerRange / 10,
		ReadyToTrip:  func(gobreaker.Counts) bool { return false },
	})
}

// byHand is the loop that people write.
func byHand(ctx context.Context, attempts int, wait time.Duration, op func(context.Context) error) error {
	var err error
	for n := range attempts {
		if n > 0 && wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err = op(ctx); err == nil {
			return nil
		}
	}
	return err
}
