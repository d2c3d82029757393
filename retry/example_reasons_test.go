package retry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"

	"example.com/once/retry"
)

// advise says what a caller may do about a call that was given up.
func advise(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, retry.ErrNonIdempotent):
		return "look whether it happened, before anybody repeats it"
	case errors.Is(err, retry.ErrBudget), errors.Is(err, retry.ErrBreaker):
		return "the peer is in trouble: do without it for a while"
	case errors.Is(err, retry.ErrRetryAfter):
		return "come back when the peer says"
	case errors.Is(err, retry.ErrDeadline), errors.Is(err, retry.ErrElapsed):
		return "there was no time left for another attempt"
	case errors.Is(err, retry.ErrAttempts), errors.Is(err, retry.ErrBackoff):
		return "as often as was allowed, and it failed each time"
	case errors.Is(err, retry.ErrNested):
		return "the caller is repeating it already"
	default:
		return "repeating cannot help"
	}
}

// Why a call was given up is matched by errors.Is, beside the error of the operation itself.
func ExampleError() {
	down := errors.New("connection reset")
	fail := func(context.Context) error { return down }
	ctx := context.Background()
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()

	for _, err := range []error{
		retry.Do(ctx, &retry.Policy{Backoff: retry.Constant(0)}, fail),
		retry.Do(ctx, &retry.Policy{NonIdempotent: true}, fail),
		retry.Do(soon, &retry.Policy{Backoff: retry.Constant(time.Minute)}, fail),
		retry.Do(ctx, &retry.Policy{MaxElapsed: time.Second, Backoff: retry.Constant(time.Minute)}, fail),
		retry.Do(ctx, &retry.Policy{Budget: &retry.Budget{Burst: -1}}, fail),
		retry.Do(ctx, nil, func(context.Context) error { return retry.After(down, time.Hour) }),
		retry.Do(retry.WithAttempt(ctx, 2), nil, fail),
	} {
		fmt.Println(errors.Is(err, down), advise(err))
	}
	// Output:
	// true as often as was allowed, and it failed each time
	// true look whether it happened, before anybody repeats it
	// true there was no time left for another attempt
	// true there was no time left for another attempt
	// true the peer is in trouble: do without it for a while
	// true come back when the peer says
	// true the caller is repeating it already
}

// A classifier knows the errors of one protocol; an observer hears how they were judged.
func ExampleVerdict() {
	busy, gone, lost := errors.New("busy"), errors.New("gone"), errors.New("lost")
	policy := &retry.Policy{
		Name:    "printer",
		Backoff: retry.Constant(0),
		Classify: func(err error) retry.Verdict {
			v := retry.Verdict{Class: retry.Undecided} // treated as ambiguous
			switch {
			case errors.Is(err, busy):
				v = retry.Verdict{Class: retry.NoEffect, After: time.Millisecond}
			case errors.Is(err, lost):
				v.Class = retry.Ambiguous
			case errors.Is(err, gone):
				v.Class = retry.Permanent
			}
			return v
		},
		Observe: func(_ context.Context, e retry.Event) {
			fmt.Println(e.Attempt, e.Err, e.Verdict.Class, errors.Is(e.Reason, retry.ErrPermanent))
		},
	}
	answers := []error{busy, lost, gone}
	err := retry.Do(context.Background(), policy, func(context.Context) error {
		err := answers[0]
		answers = answers[1:]
		return err
	})
	fmt.Println(err)
	// Output:
	// 1 busy no-effect false
	// 2 lost ambiguous false
	// 3 gone permanent true
	// gone
}

// The schedules differ in how much they spread, and in the least that they wait.
func ExampleExponential() {
	within := func(name string, b retry.Backoff, least, most time.Duration) {
		s := b()
		for range 1000 {
			if d := s.NextBackOff(); d < least || d > most {
				fmt.Println(name, d)
			}
		}
		fmt.Println(name, "waits between", least, "and", most)
	}
	within("Exponential", retry.Exponential(100*time.Millisecond, time.Second), 0, time.Second)
	within("Equal", retry.Equal(100*time.Millisecond, time.Second), 50*time.Millisecond, time.Second)
	within("Decorrelated", retry.Decorrelated(100*time.Millisecond, time.Second), 100*time.Millisecond, time.Second)
	// Output:
	// Exponential waits between 0s and 1s
	// Equal waits between 50ms and 1s
	// Decorrelated waits between 100ms and 1s
}

// A consumer of a queue tells the policies inside which delivery it handles.
func ExampleWithAttempt() {
	handle := func(ctx context.Context) {
		calls := 0
		_ = retry.Do(ctx, &retry.Policy{Backoff: retry.Constant(0)}, func(context.Context) error {
			calls++
			return errors.New("down")
		})
		fmt.Println("delivery", retry.Attempt(ctx), "nested", retry.Nested(ctx), "calls", calls)
	}
	handle(retry.WithAttempt(context.Background(), 1))
	handle(retry.WithAttempt(context.Background(), 2)) // the queue repeats it: one call is enough
	// Output:
	// delivery 1 nested false calls 3
	// delivery 2 nested true calls 1
}

// Whatever can refuse a call is a Breaker; gobreaker's fits as it is.
func ExampleBreaker() {
	var breakers []retry.Breaker
	own, err := retry.NewBreaker("prices", retry.BreakerConfig{MinCalls: 1})
	breakers = append(breakers, own, gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.TotalFailures > 0 },
	}))
	fmt.Println(err)
	for _, b := range breakers {
		err := retry.Do(context.Background(), &retry.Policy{Breaker: b, Backoff: retry.Constant(0)}, func(context.Context) error {
			return errors.New("down")
		})
		fmt.Println(errors.Is(err, retry.ErrBreaker), errors.Is(err, gobreaker.ErrOpenState))
	}
	isOpen := func(c *retry.Circuit) bool { return c.State() == gobreaker.StateOpen }
	fmt.Println(isOpen(own))
	// Output:
	// <nil>
	// true true
	// true true
	// true
}
