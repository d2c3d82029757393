package retry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/once/retry"
)

// Everywhere else n attempts at each of d layers cost n to the power of d calls: 243 for 3 and 5.
func TestNestedPoliciesAddUpInsteadOfMultiplying(t *testing.T) {
	t.Parallel()
	forms := map[string]func(context.Context, *retry.Policy, func(context.Context) error) error{
		"Do": retry.Do,
		"DoValue": func(ctx context.Context, p *retry.Policy, op func(context.Context) error) error {
			_, err := retry.DoValue(ctx, p, func(ctx context.Context) (int, error) { return 0, op(ctx) })
			return err
		},
		"Attempts": func(ctx context.Context, p *retry.Policy, op func(context.Context) error) (err error) {
			for _, ctx := range p.Attempts(ctx, &err) {
				err = op(ctx)
			}
			return err
		},
		"Hedge": func(ctx context.Context, p *retry.Policy, op func(context.Context) error) error {
			_, err := retry.Hedge(ctx, p, time.Hour, func(ctx context.Context) (int, error) { return 0, op(ctx) })
			return err
		},
	}
	for name, do := range forms {
		for n := 1; n <= 4; n++ {
			for depth := 1; depth <= 5; depth++ {
				t.Run(fmt.Sprintf("%s, %d attempts, %d deep", name, n, depth), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						calls := 0
						op := func(context.Context) error { calls++; return errFlaky }
						for range depth {
							inner := op
							op = func(ctx context.Context) error { return do(ctx, &retry.Policy{MaxAttempts: n}, inner) }
						}
						if err := op(t.Context()); !errors.Is(err, errFlaky) {
							t.Errorf("got %v", err)
						}
						if want := n + (depth-1)*(n-1); calls != want {
							t.Errorf("%d calls, want %d", calls, want)
						}
					})
				})
			}
		}
	}
}

func TestNestedGuardNamesItselfAndIsLiftedByFresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, lift := range []bool{false, true} {
			calls, outer := 0, 0
			err := retry.Do(t.Context(), nil, func(ctx context.Context) error {
				outer++
				if retry.Attempt(ctx) != outer || retry.Nested(ctx) != (outer > 1) {
					t.Errorf("attempt %d is told %d, nested %v", outer, retry.Attempt(ctx), retry.Nested(ctx))
				}
				if lift {
					ctx = retry.Fresh(ctx)
					if retry.Attempt(ctx) != 1 || retry.Nested(ctx) {
						t.Error("Fresh is not")
					}
				}
				err := retry.Do(ctx, nil, func(context.Context) error { calls++; return errFlaky })
				if outer > 1 && !lift {
					gaveUp(t, err, retry.ErrNested, 1)
				}
				return err
			})
			gaveUp(t, err, retry.ErrAttempts, 3)
			if want := map[bool]int{false: 5, true: 9}[lift]; calls != want {
				t.Errorf("lifted %v: %d calls, want %d", lift, calls, want)
			}
		}
	})
}

// What a supervisor runs may run for days: its attempts are not those of one call.
func TestSupervisorDoesNotMark(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := 0
		err := retry.Do(t.Context(), &retry.Policy{MaxAttempts: -1}, func(ctx context.Context) error {
			if n++; retry.Attempt(ctx) != n || retry.Nested(ctx) {
				t.Errorf("attempt %d is told %d, nested %v", n, retry.Attempt(ctx), retry.Nested(ctx))
			}
			if n < 5 {
				return errFlaky
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestAttemptOfSomebodyElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for n, nested := range map[int]bool{-1: false, 0: false, 1: false, 2: true, 7: true} {
			ctx := retry.WithAttempt(t.Context(), n)
			if retry.Attempt(ctx) != max(n, 1) || retry.Nested(ctx) != nested {
				t.Errorf("%d: attempt %d, nested %v", n, retry.Attempt(ctx), retry.Nested(ctx))
			}
			op, calls := failing(always, errFlaky)
			_ = retry.Do(ctx, nil, op)
			if want := map[bool]int{true: 1, false: 3}[nested]; *calls != want {
				t.Errorf("%d: %d calls", n, *calls)
			}
		}
		if retry.Attempt(t.Context()) != 1 || retry.Nested(t.Context()) {
			t.Error("a context of nobody's is marked")
		}
	})
}

// The guard must not make the inner failure permanent for the outer loop, nor hide it.
func TestNestedErrorIsRepeatedByTheOuterLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		err := retry.Do(t.Context(), &retry.Policy{MaxAttempts: 4, NonIdempotent: true}, func(ctx context.Context) error {
			return retry.Do(ctx, &retry.Policy{MaxAttempts: 2}, func(context.Context) error {
				if calls++; calls < 5 {
					return retry.Safe(errFlaky)
				}
				return nil
			})
		})
		if err != nil || calls != 5 { // 2+1+1, then success
			t.Errorf("%v after %d calls", err, calls)
		}
	})
}
