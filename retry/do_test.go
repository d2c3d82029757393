package retry_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/retry"
)

var errFlaky = errors.New("flaky")

// failing returns an operation that fails n times with err, and the number of its calls.
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

// always is failing's n for an operation that never succeeds.
const always = 1 << 30

// gaveUp asserts that err is an *Error with that reason and number of attempts.
func gaveUp(t *testing.T, err, reason error, attempts int) *retry.Error {
	t.Helper()
	e, ok := errors.AsType[*retry.Error](err)
	if !ok {
		t.Fatalf("got %v, want an *Error", err)
	}
	if !errors.Is(err, reason) || !errors.Is(e.Reason, reason) {
		t.Errorf("reason %v, want %v", e.Reason, reason)
	}
	if e.Attempts != attempts {
		t.Errorf("%d attempts, want %d", e.Attempts, attempts)
	}
	return e
}

// bubble runs f where time passes only when everyone waits.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

func TestMaxAttemptsCountsCallsNotRetries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ max, fails, calls int }{
		{0, always, 3}, {1, always, 1}, {2, always, 2}, {3, always, 3}, {5, always, 5}, {3, 2, 3}, {-1, 20, 21},
	} {
		t.Run(strconv.Itoa(c.max), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				op, calls := failing(c.fails, errFlaky)
				err := retry.Do(t.Context(), &retry.Policy{MaxAttempts: c.max}, op)
				if *calls != c.calls {
					t.Errorf("%d calls, want %d", *calls, c.calls)
				}
				if c.calls > c.fails {
					if err != nil {
						t.Error(err)
					}
					return
				}
				gaveUp(t, err, retry.ErrAttempts, c.calls)
				if !errors.Is(err, errFlaky) {
					t.Errorf("%v lost the real error", err)
				}
			})
		})
	}
}

func TestNilPolicyIsTheZeroPolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		op, calls := failing(always, errFlaky)
		start := time.Now()
		gaveUp(t, retry.Do(t.Context(), nil, op), retry.ErrAttempts, 3)
		if *calls != 3 {
			t.Errorf("%d calls", *calls)
		}
		if d := time.Since(start); d > 150*time.Millisecond {
			t.Errorf("waited %v, more than 50ms and 100ms", d)
		}
	})
}

func TestDoValueReturnsTheLastValueWithTheError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := 0
		op := func(context.Context) (int, error) { n++; return n, errFlaky }
		v, err := retry.DoValue(t.Context(), nil, op)
		gaveUp(t, err, retry.ErrAttempts, 3)
		if v != 3 {
			t.Errorf("value %d, want the third attempt's", v)
		}
		n = 0
		v, err = retry.DoValue(t.Context(), nil, func(ctx context.Context) (int, error) {
			if v, err := op(ctx); v < 2 {
				return v, err
			}
			return 42, nil
		})
		if v != 42 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
	})
}

func TestPermanentFailureComesBackAsItIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		op, calls := failing(always, retry.Stop(errFlaky))
		if err := retry.Do(t.Context(), nil, op); err != errFlaky || *calls != 1 { //nolint:errorlint // identity is the point
			t.Errorf("%d calls, %#v", *calls, err)
		}
	})
}

// backoff v4, v5: they call the operation although the context has ended.
func TestEndedContextPreventsTheFirstCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cause := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		op, calls := failing(0, nil)
		for _, p := range []*retry.Policy{nil, {AttemptTimeout: time.Second}} {
			err := retry.Do(ctx, p, op)
			gaveUp(t, err, cause, 0)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v does not match context.Canceled", err)
			}
			err = nil
			for range p.Attempts(ctx, &err) {
				*calls++
			}
			gaveUp(t, err, cause, 0)
			_, err = retry.DoValue(ctx, p, func(context.Context) (int, error) { *calls++; return 0, nil })
			gaveUp(t, err, cause, 0)
		}
		if *calls != 0 {
			t.Errorf("%d calls", *calls)
		}
	})
}

// failsafe-go: it discards the success of a call whose context ended meanwhile.
func TestSuccessIsReturnedThoughTheContextEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, p := range []*retry.Policy{nil, {AttemptTimeout: time.Hour}} {
			ctx, cancel := context.WithCancel(t.Context())
			v, err := retry.DoValue(ctx, p, func(context.Context) (int, error) { cancel(); return 7, nil })
			if v != 7 || err != nil {
				t.Errorf("%d, %v", v, err)
			}
		}
	})
}

// backoff v4, v5, sethvargo, retry-go, failsafe: a bare "context deadline exceeded". backoff v7: sleeps the
// deadline out.
func TestDeadlineFailsFastWithBothErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		op, _ := failing(always, errFlaky)
		start := time.Now()
		err := retry.Do(ctx, &retry.Policy{MaxAttempts: -1, Backoff: retry.Constant(4 * time.Second)}, op)
		gaveUp(t, err, retry.ErrDeadline, 3)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errFlaky) {
			t.Errorf("%v hides one of the truths", err)
		}
		if d := time.Since(start); d != 8*time.Second {
			t.Errorf("returned after %v, want 8s: the third wait would pass the deadline", d)
		}
		if timeout := interface{ Timeout() bool }(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Error("not a time-out to net/url")
		}
	})
}

func TestCancelledWaitKeepsTheRealErrorAndTheCause(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cause := errors.New("client went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(3*time.Second, func() { cancel(cause) })
		op, _ := failing(always, errFlaky)
		var budget retry.Budget
		start := time.Now()
		err := retry.Do(ctx, &retry.Policy{Backoff: retry.Constant(time.Minute), Budget: &budget}, op)
		gaveUp(t, err, cause, 1)
		if !errors.Is(err, errFlaky) || !errors.Is(err, context.Canceled) {
			t.Errorf("%v hides one of the truths", err)
		}
		if time.Since(start) != 3*time.Second {
			t.Errorf("returned after %v", time.Since(start))
		}
		if budget.Tokens() != 100 {
			t.Errorf("%v tokens: the cancelled wait's was not returned", budget.Tokens())
		}
	})
}

// backoff v4 finds the context only through its own wrappers.
func TestUserWrittenScheduleHonoursTheContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		op, _ := failing(always, errFlaky)
		start := time.Now()
		err := retry.Do(ctx, &retry.Policy{Backoff: func() retry.Schedule { return hourly{} }}, op)
		gaveUp(t, err, context.Canceled, 1)
		if time.Since(start) != time.Second {
			t.Errorf("returned after %v", time.Since(start))
		}
	})
}

type hourly struct{}

func (hourly) NextBackOff() time.Duration { return time.Hour }

func TestContextIsAskedAgainAfterTheObserver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		op, calls := failing(always, errFlaky)
		p := &retry.Policy{Backoff: retry.Constant(0), Observe: func(context.Context, retry.Event) { cancel() }}
		gaveUp(t, retry.Do(ctx, p, op), context.Canceled, 1)
		if *calls != 1 {
			t.Errorf("%d calls", *calls)
		}
	})
}

// Everyone who is told the same time would come back at once: a quarter is added to it, and never anything taken
// off.
func TestRequestedWaitsAreSpreadUpwards(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var shortest, longest time.Duration = time.Hour, 0
		for range 500 {
			op, _ := failing(1, retry.After(errFlaky, 8*time.Second))
			start := time.Now()
			if err := retry.Do(t.Context(), nil, op); err != nil {
				t.Fatal(err)
			}
			d := time.Since(start)
			shortest, longest = min(shortest, d), max(longest, d)
		}
		if shortest < 8*time.Second || shortest > 8100*time.Millisecond || longest > 10*time.Second || longest < 9900*time.Millisecond {
			t.Errorf("waits of %v to %v", shortest, longest)
		}
	})
}

// If the spread does not fit before the deadline, the wait that was asked for may.
func TestSpreadGivesWayToTheDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for range 200 {
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second+100*time.Millisecond)
			op, calls := failing(1, retry.After(errFlaky, 8*time.Second))
			if err := retry.Do(ctx, nil, op); err != nil || *calls != 2 {
				t.Errorf("%d calls, %v", *calls, err)
			}
			cancel()
		}
	})
}

func TestMaxElapsedCountsFromTheStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		op := func(context.Context) error { time.Sleep(3 * time.Second); return errFlaky }
		p := &retry.Policy{MaxAttempts: -1, MaxElapsed: 10 * time.Second, Backoff: retry.Constant(time.Second)}
		start := time.Now()
		e := gaveUp(t, retry.Do(t.Context(), p, op), retry.ErrElapsed, 3)
		if d := time.Since(start); d != 11*time.Second || e.Elapsed != d {
			t.Errorf("returned after %v, elapsed %v", d, e.Elapsed) // 3+1+3+1+3: a wait to 12s passes
		}
	})
}

// backoff v4's schedule gives up after 15 minutes of the operation's own run time.
func TestSixteenMinuteJobIsRetried(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		err := retry.Do(t.Context(), nil, func(context.Context) error {
			if calls++; calls < 3 {
				time.Sleep(16 * time.Minute)
				return errFlaky
			}
			return nil
		})
		if err != nil || calls != 3 {
			t.Errorf("%d calls: %v", calls, err)
		}
	})
}

func TestAttemptTimeoutIsRepeatedButTheCallersIsNot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		p := &retry.Policy{AttemptTimeout: time.Second, Backoff: retry.Constant(time.Second)}
		gaveUp(t, retry.Do(t.Context(), p, hang), retry.ErrAttempts, 3)

		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		e := gaveUp(t, retry.Do(ctx, p, hang), context.DeadlineExceeded, 1)
		if errors.Is(e.Reason, retry.ErrDeadline) {
			t.Error("the deadline has passed; it was not foreseen")
		}
	})
}

func TestPanicPassesThroughAndCostsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// failsafe-go: three panics inside a retry exhaust its budget for ever.
		budget := &retry.Budget{Burst: 3, PerSecond: -1, Ratio: -1}
		p := &retry.Policy{Budget: budget}
		for range 10 {
			func() {
				defer func() {
					if recover() != "boom" {
						t.Error("the panic did not pass")
					}
				}()
				n := 0
				_ = retry.Do(t.Context(), p, func(context.Context) error {
					if n++; n == 2 {
						panic("boom")
					}
					return errFlaky
				})
			}()
		}
		if budget.Tokens() != 3 {
			t.Errorf("%v tokens after panics, want 3", budget.Tokens())
		}
		op, calls := failing(2, errFlaky)
		if err := retry.Do(t.Context(), p, op); err != nil || *calls != 3 {
			t.Errorf("the next call: %d calls, %v", *calls, err)
		}
	})
}

func TestPolicyIsNotWrittenTo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// failsafe-go's shared executors were changed by some of their methods.
		p := &retry.Policy{}
		before := fmt.Sprintf("%#v", *p)
		op, _ := failing(always, errFlaky)
		_ = retry.Do(t.Context(), p, op)
		_, _ = p.Next(1, errFlaky)
		if after := fmt.Sprintf("%#v", *p); before != after {
			t.Errorf("%s\n%s", before, after)
		}
	})
}
