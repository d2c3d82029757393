package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/retry"
)

var errFlaky = errors.New("flaky")

// failing returns an operation that fails n times, and the number of its calls.
func failing(n int, err error) (op func(context.Context) error, calls *int) {
	calls = new(int)
	return func(context.Context) error {
		*calls++
		if *calls <= n {
			return err
		}
		return nil
	}, calls
}

func TestDoMakesExactlyTheAttemptsAllowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ max, fails, calls int }{
		{0, 99, 3}, {1, 99, 1}, {2, 99, 2}, {5, 99, 5}, {3, 2, 3}, {-1, 20, 21},
	} {
		synctest.Test(t, func(t *testing.T) {
			op, calls := failing(c.fails, errFlaky)
			err := retry.Do(t.Context(), &retry.Policy{MaxAttempts: c.max}, op)
			if *calls != c.calls {
				t.Errorf("MaxAttempts %d: %d calls, want %d", c.max, *calls, c.calls)
			}
			if c.calls > c.fails {
				if err != nil {
					t.Errorf("MaxAttempts %d: %v", c.max, err)
				}
				return
			}
			var e *retry.Error
			if !errors.As(err, &e) || !errors.Is(err, retry.ErrAttempts) || !errors.Is(err, errFlaky) || e.Attempts != c.calls {
				t.Errorf("MaxAttempts %d: %v", c.max, err)
			}
		})
	}
}

func TestNilPolicyIsTheZeroPolicy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		op, calls := failing(99, errFlaky)
		start := time.Now()
		err := retry.Do(t.Context(), nil, op)
		if *calls != 3 || !errors.Is(err, retry.ErrAttempts) {
			t.Errorf("%d calls: %v", *calls, err)
		}
		if d := time.Since(start); d > 150*time.Millisecond {
			t.Errorf("waited %v", d)
		}
	})
}
