package retry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/retry"
)

// scene is a random policy and what its operation does.
type scene struct {
	policy   retry.Policy
	wait     time.Duration // of the schedule
	deadline time.Duration // 0 = none
	script   []act
}

type act struct {
	takes    time.Duration
	class    retry.Class
	after    time.Duration
	overload bool
	ok       bool
}

type actError struct{ act }

func (e actError) Error() string { return fmt.Sprintf("%+v", e.act) }
func (e actError) Verdict() retry.Verdict {
	return retry.Verdict{Class: e.class, After: e.after, Overload: e.overload}
}

func pickOne[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

func randomScene(r *rand.Rand, budget *retry.Budget) scene {
	s := scene{
		wait:     pickOne(r, 0, time.Millisecond, time.Second, time.Minute),
		deadline: pickOne(r, 0, time.Second, 10*time.Second, time.Hour),
	}
	s.policy = retry.Policy{
		MaxAttempts:   pickOne(r, 0, 1, 2, 5, -1),
		MaxElapsed:    pickOne(r, 0, 0, 5*time.Second, time.Minute),
		MaxRetryAfter: pickOne(r, 0, 0, -1, time.Second, time.Hour),
		NonIdempotent: r.IntN(4) == 0,
		Backoff:       retry.Constant(s.wait),
	}
	if r.IntN(2) == 0 {
		s.policy.Budget = budget
	}
	for range 12 {
		s.script = append(s.script, act{
			takes:    pickOne(r, 0, time.Millisecond, time.Second, 20*time.Second),
			class:    pickOne(r, retry.Undecided, retry.Ambiguous, retry.Ambiguous, retry.NoEffect, retry.NoEffect, retry.NoEffect, retry.Permanent),
			after:    pickOne(r, 0, 0, 0, time.Millisecond, 2*time.Second, 45*time.Second),
			overload: r.IntN(5) == 0,
			ok:       r.IntN(6) == 0,
		})
	}
	s.script[len(s.script)-1] = act{ok: true}
	return s
}

// observed is what really happened.
type observed struct {
	starts, ends []time.Duration // since the call began
	err          error
	end          time.Duration
	tokens       float64 // before the end of the last attempt was known
}

func (s scene) play(t *testing.T) (o observed) {
	t.Helper()
	ctx := t.Context()
	if s.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.deadline)
		defer cancel()
	}
	start := time.Now()
	o.err = retry.Do(ctx, &s.policy, func(context.Context) error {
		a := s.script[len(o.starts)]
		o.starts = append(o.starts, time.Since(start))
		time.Sleep(a.takes)
		o.ends = append(o.ends, time.Since(start))
		if s.policy.Budget != nil {
			o.tokens = s.policy.Budget.Tokens()
		}
		if a.ok {
			return nil
		}
		return actError{a}
	})
	o.end = time.Since(start)
	return o
}

// least is the shortest wait that may follow an act.
func (s scene) least(a act) time.Duration {
	asked := a.after
	if a.overload && asked == 0 {
		asked = min(time.Second, s.longest())
	}
	return max(s.wait, asked)
}

func (s scene) longest() time.Duration {
	if s.policy.MaxRetryAfter == 0 {
		return 30 * time.Second
	}
	return max(s.policy.MaxRetryAfter, 0)
}

func (s scene) check(o observed) error {
	limit := s.policy.MaxAttempts
	if limit == 0 {
		limit = 3
	}
	n := len(o.starts)
	if limit > 0 && n > limit {
		return fmt.Errorf("%d attempts of %d", n, limit)
	}
	for i := 1; i < n; i++ {
		a := s.script[i-1]
		switch wait := o.starts[i] - o.ends[i-1]; {
		case wait < s.least(a):
			return fmt.Errorf("wait %v after %+v", wait, a)
		case wait > max(s.wait, s.least(a)*5/4):
			return fmt.Errorf("wait %v after %+v is too long", wait, a)
		case s.deadline > 0 && o.starts[i] >= s.deadline:
			return fmt.Errorf("attempt %d began at %v, past the deadline", i+1, o.starts[i])
		case s.policy.MaxElapsed > 0 && o.starts[i] >= s.policy.MaxElapsed:
			return fmt.Errorf("attempt %d began at %v, past MaxElapsed", i+1, o.starts[i])
		case a.class == retry.Permanent, s.policy.NonIdempotent && a.class != retry.NoEffect, a.ok, a.after > s.longest():
			return fmt.Errorf("attempt after %+v", a)
		}
	}
	if n == 0 {
		return errors.New("no attempt")
	}
	if o.end != o.ends[n-1] {
		return fmt.Errorf("ended at %v, %v after the last attempt", o.end, o.end-o.ends[n-1])
	}
	return s.checkEnd(o, limit)
}

// checkEnd asks whether the call ended for the reason that it gives.
func (s scene) checkEnd(o observed, limit int) error {
	n := len(o.starts)
	a := s.script[n-1]
	if a.ok != (o.err == nil) {
		return fmt.Errorf("%+v gave %w", a, o.err)
	}
	if a.ok {
		return nil
	}
	if a.class == retry.Permanent {
		if o.err != (actError{a}) { //nolint:errorlint // identity is the point
			return fmt.Errorf("permanent %w", o.err)
		}
		return nil
	}
	e, ok := errors.AsType[*retry.Error](o.err)
	if !ok || e.Attempts != n || !errors.Is(o.err, actError{a}) {
		return fmt.Errorf("%d attempts gave %w", n, o.err)
	}
	if asked := a.after > 0; asked == e.RetryAt.IsZero() {
		return fmt.Errorf("RetryAt is %v after %+v", e.RetryAt, a)
	}
	passes := func(bound time.Duration) bool { return bound > 0 && o.end+s.least(a) >= bound }
	justified := map[error]bool{
		retry.ErrNonIdempotent:   s.policy.NonIdempotent && a.class != retry.NoEffect,
		retry.ErrAttempts:        n == limit,
		retry.ErrRetryAfter:      a.after > s.longest(),
		retry.ErrDeadline:        passes(s.deadline) && o.end <= s.deadline, // the context ends a moment after that
		context.DeadlineExceeded: s.deadline > 0 && o.end >= s.deadline,
		retry.ErrElapsed:         passes(s.policy.MaxElapsed),
		retry.ErrBudget:          s.policy.Budget != nil && o.tokens < 1,
	}
	if !justified[e.Reason] {
		return fmt.Errorf("unjustified: %w", o.err)
	}
	return nil
}

// Random policies, deadlines, errors and budgets: waits never pass the deadline and never undercut what the peer asked
// for, attempts are exact, every end has its reason, and the budget is never overdrawn.
func TestLawsHoldForRandomPolicies(t *testing.T) {
	seeds := 3000
	if testing.Short() {
		seeds = 300
	}
	reasons := map[string]int{}
	for seed := range seeds {
		t.Run("", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(seed), 1))
				budget := &retry.Budget{Burst: 3, Ratio: 0.5, PerSecond: 0.01}
				repeats, successes := 0, 0
				begin := time.Now()
				for range 5 {
					s := randomScene(r, budget)
					o := s.play(t)
					if err := s.check(o); err != nil {
						t.Fatalf("seed %d: %v\n%+v\n%+v", seed, err, s, o)
					}
					if s.policy.Budget != nil {
						repeats += len(o.starts) - 1
						if o.err == nil {
							successes++
						}
					}
					earned := 3 + 0.5*float64(successes) + 0.01*time.Since(begin).Seconds()
					if float64(repeats) > earned+1e-9 || budget.Tokens() < 0 || budget.Tokens() > 3 {
						t.Fatalf("seed %d: %d repeats of %v earned, %v tokens", seed, repeats, earned, budget.Tokens())
					}
					reasons[reasonOf(o.err)]++
				}
			})
		})
	}
	for _, reason := range []error{
		nil, retry.ErrPermanent, retry.ErrNonIdempotent, retry.ErrAttempts, retry.ErrRetryAfter, retry.ErrDeadline,
		context.DeadlineExceeded, retry.ErrElapsed, retry.ErrBudget,
	} {
		if reasons[fmt.Sprint(reason)] < seeds/300 {
			t.Errorf("%v came up %d times only: %v", reason, reasons[fmt.Sprint(reason)], reasons)
		}
	}
}

func reasonOf(err error) string {
	if e, ok := errors.AsType[*retry.Error](err); ok {
		return fmt.Sprint(e.Reason)
	}
	if err != nil {
		return fmt.Sprint(retry.ErrPermanent)
	}
	return fmt.Sprint(nil)
}
