package retry_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"

	"example.com/once/retry"
)

// gobreaker's own two-step breaker is a Breaker as it is.
var _ retry.Breaker = (*gobreaker.TwoStepCircuitBreaker[any])(nil)

func circuit(t *testing.T, c retry.BreakerConfig) *retry.Circuit {
	t.Helper()
	b, err := retry.NewBreaker("db", c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// once makes one call through the breaker, without repeats.
func once(t *testing.T, b retry.Breaker, op func(context.Context) error) error {
	t.Helper()
	return retry.Do(t.Context(), &retry.Policy{MaxAttempts: 1, Breaker: b}, op)
}

func fails(context.Context) error    { return errFlaky }
func succeeds(context.Context) error { return nil }

// tripped is an open breaker; half is one that is about to let a probe through.
func tripped(t *testing.T, c retry.BreakerConfig) *retry.Circuit {
	t.Helper()
	b := circuit(t, c)
	for range 10 {
		_ = once(t, b, fails)
	}
	if b.State() != gobreaker.StateOpen {
		t.Fatalf("state %v after 10 failures", b.State())
	}
	return b
}

func half(t *testing.T, c retry.BreakerConfig) *retry.Circuit {
	t.Helper()
	b := tripped(t, c)
	time.Sleep(6 * time.Second)
	return b
}

func TestBreakerOpensByRatioAndCloses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := circuit(t, retry.BreakerConfig{})
		for i := range 40 { // 40 % failures
			_ = once(t, b, map[bool]func(context.Context) error{true: fails, false: succeeds}[i%5 > 2])
		}
		if b.State() != gobreaker.StateClosed {
			t.Fatal("opened below its ratio")
		}
		for b.State() == gobreaker.StateClosed {
			_ = once(t, b, fails)
		}
		calls := 0
		err := once(t, b, func(context.Context) error { calls++; return nil })
		gaveUp(t, err, retry.ErrBreaker, 0)
		if !errors.Is(err, gobreaker.ErrOpenState) || calls != 0 || !strings.Contains(err.Error(), `breaker "db"`) {
			t.Errorf("%d calls, %v", calls, err)
		}
		if v := retry.Classify(err); v.Class != retry.NoEffect {
			t.Errorf("an open breaker's refusal is %v: nothing was sent", v.Class)
		}
		time.Sleep(5*time.Second + time.Millisecond)
		if err := once(t, b, succeeds); err != nil {
			t.Errorf("the probe: %v", err)
		}
		if b.State() != gobreaker.StateClosed || b.Name() != "db" {
			t.Errorf("state %v", b.State())
		}
	})
}

// Too few calls say nothing, however they end.
func TestBreakerWantsALeastVolume(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := circuit(t, retry.BreakerConfig{MinCalls: 20})
		for range 19 {
			_ = once(t, b, fails)
		}
		if b.State() != gobreaker.StateClosed {
			t.Error("opened too early")
		}
		_ = once(t, b, fails)
		if b.State() != gobreaker.StateOpen {
			t.Error("did not open")
		}
	})
}

// gobreaker with a rolling window subtracts old consecutive failures: 100 straight failures 3 s apart never reach
// 5 in a 10 s window. A ratio does not care.
func TestBreakerOpensOnSlowButSteadyFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := circuit(t, retry.BreakerConfig{MinCalls: 3})
		n := 0
		for ; b.State() == gobreaker.StateClosed && n < 100; n++ {
			_ = once(t, b, fails)
			time.Sleep(3 * time.Second)
		}
		if n > 4 {
			t.Errorf("opened after %d failures", n)
		}
	})
}

// What is excluded or still runs must not thin the ratio out.
func TestBreakerDividesByCallsWithAnOutcome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := circuit(t, retry.BreakerConfig{})
		for range 50 {
			ctx, cancel := context.WithCancel(t.Context())
			_ = retry.Do(ctx, &retry.Policy{MaxAttempts: 1, Breaker: b}, func(ctx context.Context) error { cancel(); return ctx.Err() })
		}
		if c := b.Counts(); c.TotalFailures != 0 || c.TotalSuccesses != 0 || c.TotalExclusions != 50 || b.State() != gobreaker.StateClosed {
			t.Errorf("cancelled calls count: %v, %+v", b.State(), c)
		}
		release := make(chan struct{})
		for range 50 {
			go func() { _ = once(t, b, func(context.Context) error { <-release; return nil }) }()
		}
		for range 10 {
			_ = once(t, b, fails)
		}
		if b.State() != gobreaker.StateOpen {
			t.Errorf("%+v: closed after 10 failures of 10", b.Counts())
		}
		close(release)
	})
}

// gobreaker v1: a cancelled call must count as a success or a failure.
func TestBreakerHearsVerdicts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		notFound := retry.Stop(errors.New("not found"))
		for _, c := range []struct {
			name string
			op   func(context.Context, context.CancelFunc) error
			want string
		}{
			{"success", func(context.Context, context.CancelFunc) error { return nil }, "<nil>"},
			{"permanent: the peer answered", func(context.Context, context.CancelFunc) error { return notFound }, "<nil>"},
			{"failure", func(context.Context, context.CancelFunc) error { return errFlaky }, "flaky"},
			{"the caller cancelled", func(_ context.Context, cancel context.CancelFunc) error { cancel(); return errFlaky }, "context canceled"},
			{"somebody cancelled", func(context.Context, context.CancelFunc) error { return fmt.Errorf("x: %w", context.Canceled) }, "context canceled"},
			{"attempt timed out", func(ctx context.Context, _ context.CancelFunc) error { <-ctx.Done(); return ctx.Err() }, "context deadline exceeded"},
		} {
			b := &recordingBreaker{}
			ctx, cancel := context.WithCancel(t.Context())
			p := &retry.Policy{MaxAttempts: 1, AttemptTimeout: time.Second, Breaker: b}
			_ = retry.Do(ctx, p, func(ctx context.Context) error { return c.op(ctx, cancel) })
			cancel()
			if b.String() != "["+c.want+"]" || b.open != 0 {
				t.Errorf("%s: the breaker heard %v", c.name, b)
			}
		}
	})
}

// open-bank-oss#3267: only "circuit open" was ever logged.
func TestOpenBreakerEndsTheLoopAndKeepsTheRealError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := circuit(t, retry.BreakerConfig{MinCalls: 2})
		budget := &retry.Budget{PerSecond: -1, Ratio: -1}
		op, calls := failing(always, errFlaky)
		err := retry.Do(t.Context(), &retry.Policy{MaxAttempts: 10, Breaker: b, Budget: budget}, op)
		gaveUp(t, err, retry.ErrBreaker, 2)
		if *calls != 2 || !errors.Is(err, errFlaky) || !errors.Is(err, gobreaker.ErrOpenState) {
			t.Errorf("%d calls, %v", *calls, err)
		}
		if budget.Tokens() != 99 { // one repeat was made; the token of the refused one came back
			t.Errorf("%v tokens", budget.Tokens())
		}
	})
}

// While a probe runs within its time others are refused, and may say so.
func TestBreakerLetsOneProbeThrough(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := half(t, retry.BreakerConfig{})
		release := make(chan struct{})
		started := make(chan struct{})
		go func() { _ = once(t, b, func(context.Context) error { close(started); <-release; return nil }) }()
		<-started
		err := once(t, b, succeeds)
		if !errors.Is(err, retry.ErrBreaker) || !errors.Is(err, gobreaker.ErrTooManyRequests) || retry.Classify(err).Class != retry.NoEffect {
			t.Errorf("got %v", err)
		}
		close(release)
		time.Sleep(time.Second)
		if b.State() != gobreaker.StateClosed {
			t.Errorf("state %v", b.State())
		}
	})
}

// gobreaker calls its hooks under its lock: one that asks for the state deadlocks.
func TestOnChangeIsCalledInOrderAndWithoutALock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen []string
		var b *retry.Circuit
		b = circuit(t, retry.BreakerConfig{OnChange: func(name string, from, to gobreaker.State) {
			seen = append(seen, fmt.Sprintf("%s %v>%v", name, from, to))
			_ = b.State()
			_ = b.Counts()
			_ = once(t, b, succeeds) // even a call
		}})
		for range 10 {
			_ = once(t, b, fails)
		}
		time.Sleep(6 * time.Second)
		_ = once(t, b, fails)
		time.Sleep(6 * time.Second)
		_ = b.State()
		_ = once(t, b, succeeds)
		// The call in the hook is itself the probe.
		for i, s := range seen {
			if !strings.HasPrefix(s, "db ") {
				t.Errorf("change %d: %s", i, s)
			}
			from, _, _ := strings.Cut(strings.TrimPrefix(s, "db "), ">")
			if i > 0 && !strings.HasSuffix(seen[i-1], ">"+from) {
				t.Errorf("out of order: %v", seen)
			}
		}
		if len(seen) < 3 || b.State() != gobreaker.StateClosed {
			t.Errorf("changes %v, state %v", seen, b.State())
		}
	})
}

func TestPanickingHookDoesNotSilenceTheNext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := 0
		b := circuit(t, retry.BreakerConfig{OnChange: func(string, gobreaker.State, gobreaker.State) {
			if n++; n == 1 {
				panic("boom")
			}
		}})
		func() {
			defer func() {
				if recover() != "boom" {
					t.Error("the panic did not pass")
				}
			}()
			for range 10 {
				_ = once(t, b, fails)
			}
		}()
		recovers(t, b)
		if n < 3 {
			t.Errorf("%d changes were told", n)
		}
	})
}

func TestBreakerConfigMistakesNameTheirField(t *testing.T) {
	t.Parallel()
	for field, c := range map[string]retry.BreakerConfig{
		"Ratio":        {Ratio: 1.5},
		"Ratio is -":   {Ratio: -0.1},
		"Ratio is NaN": {Ratio: math.NaN()},
		"MinCalls":     {MinCalls: -1},
		"Window":       {Window: -1},
		"Window is 1":  {Window: time.Millisecond},
		"OpenFor":      {OpenFor: -1},
		"Probes":       {Probes: -1},
		"ProbeTimeout": {ProbeTimeout: -1},
	} {
		if b, err := retry.NewBreaker("x", c); err == nil || b != nil || !strings.Contains(err.Error(), "BreakerConfig."+field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
	if _, err := retry.NewBreaker("", retry.BreakerConfig{Ratio: 1, MinCalls: 1, Window: 10 * time.Millisecond, OpenFor: 1, Probes: math.MaxInt, ProbeTimeout: 1}); err != nil {
		t.Error(err)
	}
}
