package retry_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"

	"example.com/once/retry"
)

// recovers asserts that good calls close a half-open breaker, once a probe's time has passed.
func recovers(t *testing.T, b *retry.Circuit) {
	t.Helper()
	for range 8 {
		time.Sleep(31 * time.Second)
		_ = once(t, b, succeeds)
	}
	if b.State() != gobreaker.StateClosed {
		t.Errorf("wedged: %v, %+v", b.State(), b.Counts())
	}
}

// failsafe-go and gobreaker refuse for ever after one of these in half-open.
func TestBreakerCannotWedge(t *testing.T) {
	t.Parallel()
	for name, probe := range map[string]func(t *testing.T, b *retry.Circuit){
		"panic": func(t *testing.T, b *retry.Circuit) {
			t.Helper()
			defer func() { _ = recover() }()
			_ = once(t, b, func(context.Context) error { panic("boom") })
		},
		"Goexit": func(t *testing.T, b *retry.Circuit) {
			t.Helper()
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = once(t, b, func(context.Context) error { runtime.Goexit(); return nil })
			}()
			<-done
		},
		"panic in a loop body": func(t *testing.T, b *retry.Circuit) {
			t.Helper()
			defer func() { _ = recover() }()
			var err error
			for range (&retry.Policy{Breaker: b}).Attempts(t.Context(), &err) {
				panic("boom")
			}
		},
		"panic in a hedged attempt": func(t *testing.T, b *retry.Circuit) {
			t.Helper()
			defer func() { _ = recover() }()
			_, _ = retry.Hedge(t.Context(), &retry.Policy{Breaker: b}, time.Hour, func(context.Context) (int, error) { panic("boom") })
		},
		"a probe that hangs": func(t *testing.T, b *retry.Circuit) {
			t.Helper()
			release := make(chan struct{})
			t.Cleanup(func() { close(release) })
			go func() { _ = once(t, b, func(context.Context) error { <-release; return nil }) }()
		},
		"a probe that ignores its time-out": func(t *testing.T, b *retry.Circuit) {
			t.Helper()
			release := make(chan struct{})
			t.Cleanup(func() { close(release) })
			p := &retry.Policy{MaxAttempts: 1, AttemptTimeout: time.Second, Breaker: b}
			go func() { _ = retry.Do(t.Context(), p, func(context.Context) error { <-release; return nil }) }()
		},
		"a probe that is cancelled": func(t *testing.T, b *retry.Circuit) {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			_ = retry.Do(ctx, &retry.Policy{Breaker: b}, func(ctx context.Context) error { cancel(); return ctx.Err() })
		},
		"a probe that is cancelled an hour later": func(t *testing.T, b *retry.Circuit) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_ = retry.Do(ctx, &retry.Policy{Breaker: b}, func(ctx context.Context) error { <-ctx.Done(); return context.Canceled })
		},
		"a probe whose answer is permanent": func(t *testing.T, b *retry.Circuit) {
			t.Helper()
			_ = once(t, b, func(context.Context) error { return retry.Stop(errFlaky) })
		},
		"a panicking observer": func(t *testing.T, b *retry.Circuit) {
			t.Helper()
			defer func() { _ = recover() }()
			p := &retry.Policy{Breaker: b, Observe: func(context.Context, retry.Event) { panic("boom") }}
			_ = retry.Do(t.Context(), p, fails)
		},
		"a panicking classifier": func(t *testing.T, b *retry.Circuit) {
			t.Helper()
			defer func() { _ = recover() }()
			p := &retry.Policy{Breaker: b, Classify: func(error) retry.Verdict { panic("boom") }}
			_ = retry.Do(t.Context(), p, fails)
		},
		"a permit that is never returned": func(t *testing.T, b *retry.Circuit) {
			t.Helper()
			if _, err := b.Allow(); err != nil {
				t.Error(err)
			}
		},
	} {
		for _, probes := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d probes", name, probes), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := half(t, retry.BreakerConfig{Probes: probes})
					probe(t, b)
					recovers(t, b)
				})
			})
		}
	}
}

// A probe that comes back after it was given up changes nothing any more.
func TestLateProbeChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := half(t, retry.BreakerConfig{})
		late, err := b.Allow()
		if err != nil {
			t.Fatal(err)
		}
		recovers(t, b)
		for range 20 {
			late(errFlaky)
		}
		if b.State() != gobreaker.StateClosed || b.Counts().TotalFailures != 0 {
			t.Errorf("%v, %+v", b.State(), b.Counts())
		}
	})
}

// A breaker that panics is not told twice.
func TestDoneIsCalledExactlyOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		told := 0
		b := breakerFunc(func() (func(error), error) {
			return func(error) { told++; panic("breaker") }, nil
		})
		func() {
			defer func() { _ = recover() }()
			_ = once(t, b, succeeds)
		}()
		if told != 1 {
			t.Errorf("told %d times", told)
		}
		told = 0
		start := time.Now()
		p := &retry.Policy{MaxAttempts: 1, AttemptTimeout: time.Second, Breaker: breakerFunc(func() (func(error), error) {
			return func(err error) {
				if told++; time.Since(start) != time.Second || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("told %v after %v", err, time.Since(start))
				}
			}, nil
		})}
		_ = retry.Do(t.Context(), p, func(context.Context) error { time.Sleep(time.Hour); return nil })
		if told != 1 {
			t.Errorf("told %d times of an attempt that outlived its time", told)
		}
	})
}

type breakerFunc func() (func(error), error)

func (f breakerFunc) Allow() (func(error), error) { return f() }
