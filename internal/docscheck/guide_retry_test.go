package docscheck_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"example.com/once/retry"
)

// The code of docs/guide.md, section "Where retries happen".

func Example_retry() {
	ctx := context.Background()
	fetch := func(context.Context) (string, error) { return "42", nil }

	answer, err := retry.DoValue(ctx, nil, func(ctx context.Context) (string, error) {
		return fetch(ctx)
	})

	fmt.Println(answer, err)
	// Output: 42 <nil>
}

func Example_policy() {
	policy := &retry.Policy{
		Name:           "prices",
		MaxAttempts:    4,               // calls in all
		AttemptTimeout: 2 * time.Second, // of one call
		Budget:         &retry.Budget{}, // shared by all calls to the same peer
		NonIdempotent:  true,            // repeat only what surely had no effect
	}

	err := retry.Do(context.Background(), policy, func(context.Context) error { return nil })
	fmt.Println(err)
	// Output: <nil>
}

func Example_outcomes() {
	ctx := context.Background()
	policy := &retry.Policy{NonIdempotent: true, Backoff: retry.Constant(0)}
	try := func(failure error) {
		calls := 0
		err := retry.Do(ctx, policy, func(context.Context) error {
			calls++
			return failure
		})
		fmt.Println(calls, err)
	}
	try(&net.OpError{Op: "dial", Err: errors.New("connection refused")}) // nothing was sent
	try(&net.OpError{Op: "read", Err: errors.New("connection reset")})   // the answer was lost
	// Output:
	// 3 retry: all attempts failed after 3 attempts: dial: connection refused
	// 1 retry: may have had its effect and is not idempotent after 1 attempt: read: connection reset
}

func Example_noAmplification() {
	policy := &retry.Policy{MaxAttempts: 3, Backoff: retry.Constant(0)}
	calls := 0
	op := func(context.Context) error {
		calls++
		return errors.New("no answer")
	}
	for range 3 { // a helper that retries, called by a helper that retries, called by one more
		inner := op
		op = func(ctx context.Context) error { return retry.Do(ctx, policy, inner) }
	}
	_ = op(context.Background())
	fmt.Println(calls, "calls instead of", 3*3*3)
	// Output: 7 calls instead of 27
}

func Example_budget() {
	policy := &retry.Policy{
		MaxAttempts: 3,
		Backoff:     retry.Constant(0),
		Budget:      &retry.Budget{Burst: 5, PerSecond: -1}, // and nothing by time, for the example
	}
	calls := 0
	for range 100 { // the peer is down
		_ = retry.Do(context.Background(), policy, func(context.Context) error {
			calls++
			return errors.New("no answer")
		})
	}
	fmt.Println(calls, "calls instead of 300")
	// Output: 105 calls instead of 300
}

func Example_durableStep() {
	policy := &retry.Policy{MaxAttempts: 5, Backoff: retry.Constant(time.Minute)}

	// A job's row says that attempt 3 has just failed with err.
	err := errors.New("no answer")
	wait, reason := policy.Next(3, err)
	if reason == nil {
		fmt.Println("due again in", wait)
	}

	_, reason = policy.Next(5, err)
	fmt.Println(reason)
	// Output:
	// due again in 1m0s
	// retry: all attempts failed
}
