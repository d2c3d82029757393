package retry_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"

	"example.com/once/retry"
)

func TestSchedulesStayInTheirBounds(t *testing.T) {
	t.Parallel()
	const base, limit = 100 * time.Millisecond, time.Second
	// interval is the doubling interval of the n-th wait, from 0.
	interval := func(n int) time.Duration { return min(base<<min(n, 10), limit) }
	for _, c := range []struct {
		name        string
		backoff     retry.Backoff
		least, most func(n int) time.Duration
	}{
		{"Exponential", retry.Exponential(base, limit), func(int) time.Duration { return 0 }, interval},
		{"Equal", retry.Equal(base, limit), func(n int) time.Duration { return interval(n) / 2 }, interval},
		{
			"Decorrelated", retry.Decorrelated(base, limit),
			func(int) time.Duration { return base },
			func(n int) time.Duration { return min(limit, base*time.Duration(math.Pow(3, float64(n+1)))) },
		},
		{
			"Constant", retry.Constant(base),
			func(int) time.Duration { return base },
			func(int) time.Duration { return base },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var low, high time.Duration = math.MaxInt64, 0
			for range 2000 {
				s := c.backoff()
				for n := range 8 {
					d := s.NextBackOff()
					// The arithmetic is in floating point: allow it a nanosecond.
					if d < c.least(n)-1 || d > c.most(n)+1 {
						t.Fatalf("wait %d is %v, want %v to %v", n, d, c.least(n), c.most(n))
					}
					if n == 7 {
						low, high = min(low, d), max(high, d)
					}
				}
			}
			if room := c.most(7) - c.least(7); room > 0 && (low > c.least(7)+room/20 || high < c.most(7)-room/20) {
				t.Errorf("waits of %v to %v do not fill %v to %v", low, high, c.least(7), c.most(7))
			}
		})
	}
}

// retry-go v4: MaxJitter(0) panics.
func TestOddBackoffArgumentsAreHarmless(t *testing.T) {
	t.Parallel()
	odd := []time.Duration{math.MinInt64, -1, 0, 1, 2, 3, time.Second, math.MaxInt64}
	for _, base := range odd {
		for _, limit := range odd {
			for _, shape := range []func(a, b time.Duration) retry.Backoff{
				retry.Exponential, retry.Equal, retry.Decorrelated,
				func(d, _ time.Duration) retry.Backoff { return retry.Constant(d) },
			} {
				s := shape(base, limit)()
				for range 100 {
					if d := s.NextBackOff(); d < 0 {
						t.Fatalf("base %d, max %d: a wait of %d", base, limit, d)
					}
				}
			}
		}
	}
}

func TestTinyBaseStillGrows(t *testing.T) {
	t.Parallel()
	s := retry.Exponential(1, time.Hour)()
	var longest time.Duration
	for range 100 {
		longest = max(longest, s.NextBackOff())
	}
	if longest < time.Minute {
		t.Errorf("the longest of 100 waits is %v", longest)
	}
}

// sethvargo and backoff: the state of WithMaxRetries lives in the value, so that a shared one gives 4 calls
// the first time and 1 ever after.
func TestEveryCallHasAScheduleOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := &retry.Policy{MaxAttempts: -1, Backoff: func() retry.Schedule {
			return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Second), 3)
		}}
		for range 3 {
			op, calls := failing(always, errFlaky)
			gaveUp(t, retry.Do(t.Context(), p, op), retry.ErrBackoff, 4)
			if *calls != 4 {
				t.Errorf("%d calls", *calls)
			}
		}
	})
}

func TestScheduleWithResetHasItCalled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		raw := func() retry.Schedule {
			return &backoff.ExponentialBackOff{ // unusable before Reset
				InitialInterval: time.Second, Multiplier: 1, MaxInterval: time.Second,
				Stop: backoff.Stop, Clock: backoff.SystemClock,
			}
		}
		op, _ := failing(2, errFlaky)
		start := time.Now()
		if err := retry.Do(t.Context(), &retry.Policy{Backoff: raw}, op); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestBackoffStopEndsTheCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := &retry.Policy{Backoff: func() retry.Schedule { return &backoff.StopBackOff{} }}
		op, calls := failing(always, errFlaky)
		err := retry.Do(t.Context(), p, op)
		gaveUp(t, err, retry.ErrBackoff, 1)
		if *calls != 1 || !errors.Is(err, errFlaky) {
			t.Errorf("%d calls, %v", *calls, err)
		}
	})
}
