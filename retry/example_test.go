package retry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/cenkalti/backoff/v4"

	"example.com/once/retry"
)

// flaky fails as often as it is told to.
func flaky(times int) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		if times--; times >= 0 {
			return "", errors.New("connection reset")
		}
		return "21.5 °C", nil
	}
}

// A retry in three lines.
func Example() {
	ctx, fetch := context.Background(), flaky(2)

	policy := &retry.Policy{MaxElapsed: 10 * time.Second, Budget: &retry.Budget{}}
	reading, err := retry.DoValue(ctx, policy, fetch)
	fmt.Println(reading, err)
	// Output: 21.5 °C <nil>
}

// Without a policy: three attempts, growing random waits.
func ExampleDo() {
	attempts := 0
	err := retry.Do(context.Background(), nil, func(context.Context) error {
		attempts++
		return errors.New("connection reset")
	})
	fmt.Println(err)
	fmt.Println(attempts, errors.Is(err, retry.ErrAttempts))
	// Output:
	// retry: all attempts failed after 3 attempts: connection reset
	// 3 true
}

// As a loop: return, break and defer mean what they always mean. Note the = in the body.
func ExamplePolicy_Attempts() {
	ctx, fetch := context.Background(), flaky(1)

	var reading string
	var err error
	for n, ctx := range (&retry.Policy{}).Attempts(ctx, &err) {
		reading, err = fetch(ctx)
		fmt.Println("attempt", n, err)
	}
	fmt.Println(reading, err)
	// Output:
	// attempt 1 connection reset
	// attempt 2 <nil>
	// 21.5 °C <nil>
}

// A job in a table: the row says how often it was tried, the policy says when next.
func ExamplePolicy_Next() {
	policy := &retry.Policy{MaxAttempts: 3, Backoff: retry.Constant(time.Minute)}
	for attempt := 1; attempt <= 3; attempt++ {
		wait, reason := policy.Next(attempt, errors.New("mail server is down"))
		if reason != nil {
			fmt.Println("park the row:", reason)
			return
		}
		fmt.Println("try again in", wait)
	}
	// Output:
	// try again in 1m0s
	// try again in 1m0s
	// park the row: retry: all attempts failed
}

// The operation says what it knows of its failure.
func ExampleStop() {
	errNoSuchUser := errors.New("no such user")
	attempts := 0
	err := retry.Do(context.Background(), nil, func(context.Context) error {
		attempts++
		return retry.Stop(errNoSuchUser) // asking again cannot help
	})
	fmt.Println(errors.Is(err, errNoSuchUser), attempts)
	// Output: true 1
}

// A call that must not be made twice is repeated only if it surely did nothing.
func ExampleSafe() {
	policy := &retry.Policy{NonIdempotent: true, Backoff: retry.Constant(0)}
	attempts := 0
	err := retry.Do(context.Background(), policy, func(context.Context) error {
		if attempts++; attempts == 1 {
			return retry.Safe(errors.New("queue is full")) // refused before anything happened
		}
		return errors.New("the answer was lost") // but the work may be done
	})
	fmt.Println(err)
	// Output: retry: may have had its effect and is not idempotent after 2 attempts: the answer was lost
}

// A peer may say when to come back. What is too long to wait for here is handed back.
func ExampleAfter() {
	start := time.Now()
	err := retry.Do(context.Background(), nil, func(context.Context) error {
		return retry.After(errors.New("maintenance"), time.Hour)
	})
	if gaveUp, ok := errors.AsType[*retry.Error](err); ok {
		fmt.Println(gaveUp.Attempts, "attempt; come back in", gaveUp.RetryAt.Sub(start).Round(time.Minute))
	}
	// Output: 1 attempt; come back in 1h0m0s
}

// The default classifier goes by type: what failed to dial sent nothing.
func ExampleClassify() {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	unknown := &net.DNSError{Err: "no such host", Name: "nowhere.example", IsNotFound: true}
	fmt.Println(retry.Classify(refused).Class)
	fmt.Println(retry.Classify(unknown).Class)
	fmt.Println(retry.Classify(context.DeadlineExceeded).Class)
	// Output:
	// no-effect
	// permanent
	// ambiguous
}

// One budget for each destination, whatever the calls and their policies.
func ExampleBudget() {
	budget := &retry.Budget{Burst: 2, Ratio: 0.1, PerSecond: -1}
	policy := &retry.Policy{Budget: budget, Backoff: retry.Constant(0)}
	down := func(context.Context) error { return errors.New("down") }

	fmt.Println(retry.Do(context.Background(), policy, down))
	fmt.Println(retry.Do(context.Background(), policy, down))
	// Output:
	// retry: all attempts failed after 3 attempts: down
	// retry: budget exhausted locally after 1 attempt: down
}

// A breaker stops calling what does not answer.
func ExampleNewBreaker() {
	breaker, err := retry.NewBreaker("prices", retry.BreakerConfig{MinCalls: 4, OpenFor: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	policy := &retry.Policy{MaxAttempts: 10, Breaker: breaker, Backoff: retry.Constant(0)}
	err = retry.Do(context.Background(), policy, func(context.Context) error { return errors.New("down") })
	fmt.Println(err)
	fmt.Println(breaker.State())
	// Output:
	// retry: refused locally by the breaker: retry: breaker "prices": circuit breaker is open after 4 attempts: down
	// open
}

// When one attempt is slow, a second runs beside it, and the first answer counts.
func ExampleHedge() {
	answer, err := retry.Hedge(context.Background(), nil, 10*time.Millisecond, func(ctx context.Context) (string, error) {
		if retry.Attempt(ctx) == 1 {
			<-ctx.Done() // stuck; its context ends when the other has won
			return "", ctx.Err()
		}
		return "from the second", nil
	})
	fmt.Println(answer, err)
	// Output: from the second <nil>
}

// Any schedule of cenkalti/backoff plugs in.
func ExampleBackoff() {
	policy := &retry.Policy{Backoff: func() retry.Schedule {
		return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Millisecond), 1)
	}}
	err := retry.Do(context.Background(), policy, func(context.Context) error { return errors.New("down") })
	fmt.Println(err)
	// Output: retry: the backoff schedule ended after 2 attempts: down
}

// Failures in the log, nothing on success.
func ExampleLog() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	policy := &retry.Policy{Name: "sensor", Backoff: retry.Constant(0), Observe: retry.Log(logger)}
	_, err := retry.DoValue(context.Background(), policy, flaky(1))
	fmt.Println(err)
	// Output:
	// level=INFO msg="retry: attempt failed" policy=sensor attempt=1 class=undecided error="connection reset" wait=0s
	// <nil>
}

// Inside of a retried attempt inner policies make one attempt each; a part that is a call of its own says so.
func ExampleFresh() {
	inner, outer := 0, &retry.Policy{Backoff: retry.Constant(0)}
	run := func(lift func(context.Context) context.Context) {
		inner = 0
		_ = retry.Do(context.Background(), outer, func(ctx context.Context) error {
			return retry.Do(lift(ctx), outer, func(context.Context) error { inner++; return errors.New("down") })
		})
		fmt.Println(inner, "calls")
	}
	run(func(ctx context.Context) context.Context { return ctx })
	run(retry.Fresh)
	// Output:
	// 5 calls
	// 9 calls
}
