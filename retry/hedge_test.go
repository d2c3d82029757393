package retry_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/once/retry"
)

// plan says how each attempt behaves, by its number from 1; later ones do as the last.
type plan []step

type step struct {
	takes  time.Duration
	err    error
	deaf   bool // ignores its context
	panics any
	exits  bool
}

// value is what attempts return; it knows whether it was closed.
type value struct {
	attempt int
	closed  *atomic.Int32
}

func (v value) Close() error { v.closed.Add(1); return nil }

type hedged struct {
	value  value
	err    error
	took   time.Duration
	mu     sync.Mutex
	starts []time.Duration
	closed atomic.Int32
}

func (p plan) run(ctx context.Context, policy *retry.Policy, after time.Duration) *hedged {
	h := &hedged{}
	start := time.Now()
	h.value, h.err = retry.Hedge(ctx, policy, after, func(ctx context.Context) (value, error) {
		h.mu.Lock()
		h.starts = append(h.starts, time.Since(start))
		i := len(h.starts)
		h.mu.Unlock()
		s := p[min(i, len(p))-1]
		if s.takes > 0 {
			timer := time.NewTimer(s.takes)
			defer timer.Stop()
			done := ctx.Done()
			if s.deaf {
				done = nil
			}
			select {
			case <-timer.C:
			case <-done:
				return value{}, context.Cause(ctx)
			}
		}
		switch {
		case s.panics != nil:
			panic(s.panics)
		case s.exits:
			runtime.Goexit()
		case s.err != nil:
			return value{}, s.err
		}
		return value{i, &h.closed}, nil
	})
	h.took = time.Since(start)
	return h
}

const second = time.Second

func TestHedge(t *testing.T) {
	t.Parallel()
	none := func() *retry.Policy { return &retry.Policy{Backoff: retry.Constant(0)} }
	for _, c := range []struct {
		name   string
		plan   plan
		policy *retry.Policy
		winner int // 0 = an error
		reason error
		took   time.Duration
		starts []time.Duration
		closed int32
	}{
		{"fast: no hedge", plan{{takes: second / 2}}, none(), 1, nil, second / 2, []time.Duration{0}, 0},
		{"the hedge wins", plan{{takes: 9 * second}, {takes: second / 2}}, none(), 2, nil, 3 * second / 2, []time.Duration{0, second}, 0},
		{"the first wins after all", plan{{takes: 3 * second / 2}, {takes: 9 * second}}, none(), 1, nil, 3 * second / 2, []time.Duration{0, second}, 0},
		{"the third wins", plan{{takes: 9 * second}, {takes: 9 * second}, {}}, none(), 3, nil, 2 * second, []time.Duration{0, second, 2 * second}, 0},
		{"never more than MaxAttempts", plan{{takes: 5 * second}}, &retry.Policy{MaxAttempts: 2}, 1, nil, 5 * second, []time.Duration{0, second}, 0},
		{"a supervisor makes three", plan{{takes: 5 * second}}, &retry.Policy{MaxAttempts: -1}, 1, nil, 5 * second, []time.Duration{0, second, 2 * second}, 0},
		{"one attempt only", plan{{takes: 5 * second}}, &retry.Policy{MaxAttempts: 1}, 1, nil, 5 * second, []time.Duration{0}, 0},
		{"a loser that does not listen is awaited and closed", plan{{takes: 3 * second, deaf: true}, {}}, none(), 2, nil, 3 * second, []time.Duration{0, second}, 1},
		{"all losers are", plan{{takes: 5 * second, deaf: true}, {takes: 6 * second, deaf: true}, {}}, none(), 3, nil, 7 * second, []time.Duration{0, second, 2 * second}, 2},
		{"a failed attempt is followed at once", plan{{takes: second / 2, err: errFlaky}, {}}, none(), 2, nil, second / 2, []time.Duration{0, second / 2}, 0},
		{"a failed hedge is followed by the next", plan{{takes: 9 * second}, {err: errFlaky}, {}}, none(), 3, nil, second, []time.Duration{0, second, second}, 0},
		{"after the policy's wait", plan{{err: errFlaky}, {}}, &retry.Policy{Backoff: retry.Constant(4 * second)}, 2, nil, 4 * second, []time.Duration{0, 4 * second}, 0},
		{"all fail", plan{{takes: second / 2, err: errFlaky}}, none(), 0, retry.ErrAttempts, 3 * second / 2, []time.Duration{0, second / 2, second}, 0},
		{"a spent budget makes none", plan{{takes: 5 * second}}, &retry.Policy{Budget: &retry.Budget{Burst: -1}}, 1, nil, 5 * second, []time.Duration{0}, 0},
		{"a spent budget repeats none", plan{{takes: second / 2, err: errFlaky}}, &retry.Policy{Budget: &retry.Budget{Burst: -1}}, 0, retry.ErrBudget, second / 2, []time.Duration{0}, 0},
		{"a breaker's refusal", plan{{}}, &retry.Policy{Breaker: &recordingBreaker{refuse: errFlaky}}, 0, retry.ErrBreaker, 0, nil, 0},
		{"not idempotent", plan{{}}, &retry.Policy{NonIdempotent: true}, 0, retry.ErrNonIdempotent, 0, nil, 0},
		{"attempts time out", plan{{takes: 9 * second}}, &retry.Policy{AttemptTimeout: 3 * second, Backoff: retry.Constant(0)}, 0, retry.ErrAttempts, 5 * second, []time.Duration{0, second, 2 * second}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := c.plan.run(t.Context(), c.policy, second)
				if h.value.attempt != c.winner || (h.err == nil) != (c.winner > 0) {
					t.Errorf("attempt %d, %v", h.value.attempt, h.err)
				}
				if c.reason != nil {
					gaveUp(t, h.err, c.reason, len(c.starts))
				}
				if h.took != c.took || !slices.Equal(h.starts, c.starts) || h.closed.Load() != c.closed {
					t.Errorf("took %v, starts %v, %d closed", h.took, h.starts, h.closed.Load())
				}
			})
		})
	}
}

func TestHedgePermanentFailureEndsTheCallAsItIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := plan{{takes: 9 * second}, {takes: second, err: retry.Stop(errFlaky)}}.run(t.Context(), nil, second)
		if h.err != errFlaky || h.took != 2*second { //nolint:errorlint // identity is the point
			t.Errorf("%v after %v", h.err, h.took)
		}
	})
}

func TestHedgeHonoursARequestedWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// The first asks for 10 s while the second runs; nothing is sent before that.
		h := plan{{takes: 3 * second / 2, err: retry.After(errFlaky, 10*second)}, {takes: 2 * second, err: errFlaky}, {}}.run(t.Context(), nil, second)
		if h.err != nil || h.value.attempt != 3 {
			t.Fatalf("%d, %v", h.value.attempt, h.err)
		}
		if third := h.starts[2]; third < 11500*time.Millisecond || third > 14*second {
			t.Errorf("the third attempt began after %v", third)
		}
	})
}

func TestHedgeEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cause := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(3*second, func() { cancel(cause) })
		budget := &retry.Budget{Ratio: -1, PerSecond: -1}
		b := &lockedBreaker{}
		h := plan{{takes: time.Hour}}.run(ctx, &retry.Policy{Budget: budget, Breaker: b}, 2*second)
		if !errors.Is(h.err, cause) || !errors.Is(h.err, context.Canceled) || h.took != 3*second {
			t.Errorf("%v after %v", h.err, h.took)
		}
		if b.open != 0 || budget.Tokens() != 99 {
			t.Errorf("%d permits out, %v tokens", b.open, budget.Tokens())
		}
		// What succeeds although the context ended is a success.
		ctx, cancel = context.WithCancelCause(t.Context())
		time.AfterFunc(second, func() { cancel(cause) })
		if h := (plan{{takes: 5 * second, deaf: true}}).run(ctx, nil, time.Hour); h.err != nil || h.value.attempt != 1 {
			t.Errorf("%v", h.err)
		}
		// And one that has ended before makes no attempt.
		h = plan{{}}.run(ctx, nil, second)
		gaveUp(t, h.err, cause, 0)
	})
}

func TestHedgePanicAndGoexitPassAndReturnEverything(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		plan   plan
		tokens float64
	}{
		{"the first panics", plan{{panics: "boom"}}, 100},
		{"the hedge panics", plan{{takes: time.Hour}, {panics: "boom"}}, 100},
		{"a loser panics while it is awaited", plan{{takes: 5 * second, deaf: true, panics: "boom"}, {takes: second / 2}}, 99},
		{"the first exits", plan{{exits: true}}, 100},
		{"the hedge exits", plan{{takes: time.Hour}, {exits: true}}, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				budget := &retry.Budget{Ratio: -1, PerSecond: -1}
				b := &lockedBreaker{}
				exits := c.plan[0].exits || len(c.plan) > 1 && c.plan[1].exits
				done := make(chan any, 1)
				returned := false
				go func() {
					defer func() { done <- recover() }()
					c.plan.run(t.Context(), &retry.Policy{Budget: budget, Breaker: b}, second)
					returned = true
				}()
				if got := <-done; returned || (got == "boom") == exits {
					t.Errorf("returned %v, recovered %v", returned, got)
				}
				if b.open != 0 {
					t.Errorf("%d permits out", b.open)
				}
				if budget.Tokens() != c.tokens {
					t.Errorf("%v tokens", budget.Tokens())
				}
			})
		})
	}
}

func TestHedgeAttemptsAreNumberedAndTheirContextsEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var contexts []context.Context
		_, err := retry.Hedge(t.Context(), nil, second, func(ctx context.Context) (int, error) {
			mu.Lock()
			contexts = append(contexts, ctx)
			n := len(contexts)
			mu.Unlock()
			if retry.Attempt(ctx) != n || retry.Nested(ctx) != (n > 1) {
				t.Errorf("attempt %d is told %d", n, retry.Attempt(ctx))
			}
			if n < 3 {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return 3, nil
		})
		if err != nil || len(contexts) != 3 {
			t.Fatalf("%d attempts, %v", len(contexts), err)
		}
		for i, ctx := range contexts {
			if ctx.Err() == nil {
				t.Errorf("context %d lives on", i+1)
			}
		}
	})
}

// Without a delay, and inside of a retried attempt, it is DoValue.
func TestHedgeThatIsNone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for name, f := range map[string]func() (*hedged, int){
			"no delay": func() (*hedged, int) {
				return plan{{takes: 5 * second, err: errFlaky}}.run(t.Context(), &retry.Policy{Backoff: retry.Constant(0)}, 0), 3
			},
			"nested": func() (*hedged, int) {
				return plan{{takes: 5 * second, err: errFlaky}}.run(retry.WithAttempt(t.Context(), 2), nil, second), 1
			},
		} {
			h, want := f()
			if len(h.starts) != want || h.took != time.Duration(want)*5*second {
				t.Errorf("%s: %d attempts in %v", name, len(h.starts), h.took)
			}
		}
	})
}

func TestHedgeTellsItsObserver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var events []string
		p := &retry.Policy{Name: "p", Backoff: retry.Constant(2 * second), Observe: func(_ context.Context, e retry.Event) {
			events = append(events, fmt.Sprintf("%s/%d %v %v %v", e.Policy, e.Attempt, e.Err, e.Wait, e.Reason))
		}}
		plan{{takes: second / 2, err: errFlaky}, {takes: 9 * second}, {err: retry.Stop(errFlaky)}}.run(t.Context(), p, second)
		want := []string{"p/1 flaky 2s <nil>", "p/3 flaky 0s retry: repeating cannot help"}
		if !slices.Equal(events, want) {
			t.Errorf("got  %q\nwant %q", events, want)
		}
	})
}
