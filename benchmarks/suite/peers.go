package suite

import (
	"context"
	"testing"
	"time"

	avast4 "github.com/avast/retry-go/v4"
	avast5 "github.com/avast/retry-go/v5"
	backoff4 "github.com/cenkalti/backoff/v4"
	backoff5 "github.com/cenkalti/backoff/v5"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	sethvargo "github.com/sethvargo/go-retry"
)

// peers are the other libraries, each as its documentation uses it, with a limit of
// attempts, the caller's context and no wait, and reused as far as it can be.
func peers() []retryCase {
	return []retryCase{
		{name: "backoff-v4", bare: handLoop, loop: func(b *testing.B, c *callee) error {
			ctx := b.Context()
			op := func() error { return c.call(ctx) }
			for b.Loop() {
				policy := backoff4.WithContext(backoff4.WithMaxRetries(backoff4.NewConstantBackOff(0), failures), ctx)
				if err := backoff4.Retry(op, policy); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "backoff-v4-reused", bare: handLoop, loop: func(b *testing.B, c *callee) error {
			ctx := b.Context() // which Retry does not see here, nor a limit of attempts: both need a new policy a call
			op := func() error { return c.call(ctx) }
			policy := &backoff4.ZeroBackOff{}
			for b.Loop() {
				if err := backoff4.Retry(op, policy); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "backoff-v5", bare: handLoop, loop: func(b *testing.B, c *callee) error {
			ctx := b.Context()
			op := func() (int64, error) { return c.get(ctx) }
			policy := backoff5.NewConstantBackOff(0)
			for b.Loop() {
				if _, err := backoff5.Retry(ctx, op, backoff5.WithBackOff(policy), backoff5.WithMaxTries(attempts)); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "avast-v4", bare: handLoop, loop: func(b *testing.B, c *callee) error {
			ctx := b.Context()
			op := func() error { return c.call(ctx) }
			for b.Loop() {
				err := avast4.Do(op, avast4.Context(ctx), avast4.Attempts(attempts), avast4.Delay(0), avast4.DelayType(avast4.FixedDelay))
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "avast-v5", bare: handLoop, loop: func(b *testing.B, c *callee) error {
			ctx := b.Context()
			op := func() error { return c.call(ctx) }
			retrier := avast5.New(avast5.Context(ctx), avast5.Attempts(attempts), avast5.Delay(0), avast5.DelayType(avast5.FixedDelay))
			for b.Loop() {
				if err := retrier.Do(op); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "sethvargo", bare: handLoop, loop: func(b *testing.B, c *callee) error {
			ctx := b.Context()
			op := func(ctx context.Context) error { return sethvargo.RetryableError(c.call(ctx)) }
			for b.Loop() {
				var now sethvargo.BackoffFunc = func() (time.Duration, bool) { return 0, false }
				if err := sethvargo.Do(ctx, sethvargo.WithMaxRetries(failures, now), op); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "failsafe", bare: handLoop, loop: func(b *testing.B, c *callee) error {
			return runFailsafe(b, c, failsafe.With(failsafeRetry()))
		}},
		{name: "failsafe+breaker", bare: breakerLoop, loop: func(b *testing.B, c *callee) error {
			breaker := circuitbreaker.NewBuilder[any]().WithFailureRateThreshold(1, attempts*attempts, breakerRange).Build()
			return runFailsafe(b, c, failsafe.With[any](failsafeRetry(), breaker))
		}},
	}
}

func failsafeRetry() failsafe.Policy[any] {
	return retrypolicy.NewBuilder[any]().WithMaxAttempts(attempts).Build()
}

func runFailsafe(b *testing.B, c *callee, executor failsafe.Executor[any]) error {
	ctx := b.Context()
	executor = executor.WithContext(ctx)
	op := func() error { return c.call(ctx) }
	for b.Loop() {
		if err := executor.Run(op); err != nil {
			return err
		}
	}
	return nil
}
