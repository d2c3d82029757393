package retry_test

import (
	"context"
	"math"
	"sync"
	"testing"
	"time"

	"example.com/once/retry"
)

// spend makes failing calls until one of them is not repeated, and returns the number of repeats.
func spend(t *testing.T, b *retry.Budget) (repeats int) {
	t.Helper()
	p := &retry.Policy{MaxAttempts: 2, Budget: b, Backoff: retry.Constant(0)}
	for range 100_000 {
		op, calls := failing(always, errFlaky)
		_ = retry.Do(t.Context(), p, op)
		if *calls == 1 {
			return repeats
		}
		repeats++
	}
	t.Fatal("the budget has no end")
	return 0
}

func succeed(t *testing.T, b *retry.Budget, n int) {
	t.Helper()
	op, _ := failing(0, nil)
	p := &retry.Policy{Budget: b}
	for i := range n { // in whatever form
		var err error
		switch i % 3 {
		case 0:
			err = retry.Do(t.Context(), p, op)
		case 1:
			_, err = retry.DoValue(t.Context(), p, func(ctx context.Context) (int, error) { return 0, op(ctx) })
		case 2:
			for range p.Attempts(t.Context(), &err) {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestBudgetStartsFullAndEarns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := &retry.Budget{}
		if b.Tokens() != 100 {
			t.Errorf("starts with %v", b.Tokens())
		}
		if n := spend(t, b); n != 100 {
			t.Errorf("%d repeats, want 100", n)
		}
		succeed(t, b, 49) // a tenth of a token each
		if n := spend(t, b); n != 4 {
			t.Errorf("%d repeats after 49 successes, want 4", n)
		}
		time.Sleep(3 * time.Second) // ten a second
		if n := spend(t, b); n != 30 {
			t.Errorf("%d repeats after 3 s, want 30", n)
		}
		time.Sleep(time.Hour)
		if b.Tokens() != 100 {
			t.Errorf("%v tokens after an hour", b.Tokens())
		}
		succeed(t, b, 1000)
		if n := spend(t, b); n != 100 {
			t.Errorf("%d repeats: more than the burst", n)
		}
	})
}

func TestBudgetFieldsMeanWhatTheySay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := &retry.Budget{Burst: 5, Ratio: 0.5, PerSecond: 2}
		if n := spend(t, b); n != 5 {
			t.Errorf("%d repeats", n)
		}
		succeed(t, b, 4)
		if n := spend(t, b); n != 2 {
			t.Errorf("%d repeats after 4 successes", n)
		}
		time.Sleep(1500 * time.Millisecond)
		if n := spend(t, b); n != 3 {
			t.Errorf("%d repeats after 1.5 s", n)
		}
		none := &retry.Budget{Burst: -1}
		succeed(t, none, 100)
		time.Sleep(time.Hour)
		if n := spend(t, none); n != 0 {
			t.Errorf("%d repeats of a budget without a burst", n)
		}
		quiet := &retry.Budget{Burst: 1, Ratio: -1, PerSecond: -1}
		if n := spend(t, quiet); n != 1 {
			t.Errorf("%d repeats", n)
		}
		succeed(t, quiet, 1000)
		time.Sleep(time.Hour)
		if n := spend(t, quiet); n != 0 {
			t.Errorf("%d repeats of a budget that earns nothing", n)
		}
	})
}

// aws-sdk-go-v2#1665, failsafe-go#106: a budget made of the share of traffic starves whoever is quiet.
func TestQuietClientMayStillRepeat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := &retry.Budget{}
		spend(t, b)
		for range 100 {
			time.Sleep(time.Second)
			op, calls := failing(2, errFlaky)
			if err := retry.Do(t.Context(), &retry.Policy{Budget: b}, op); err != nil || *calls != 3 {
				t.Fatalf("%d calls: %v", *calls, err)
			}
		}
	})
}

// In a full outage a busy client's load grows by what the second earns, not by a factor.
func TestOutageCostsThePeerLittleMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := &retry.Budget{}
		p := &retry.Policy{Budget: b, Backoff: retry.Constant(0)}
		calls, attempts := 0, 0
		load := func(d time.Duration) { // 1000 calls a second
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
				op, n := failing(always, errFlaky)
				_ = retry.Do(t.Context(), p, op)
				calls++
				attempts += *n
			}
		}
		load(time.Second) // the burst is spent
		calls, attempts = 0, 0
		load(time.Minute)
		if share := float64(attempts) / float64(calls); share > 1.1 {
			t.Errorf("%d attempts for %d calls: %.3f", attempts, calls, share)
		}
	})
}

// Never more repeats than the burst, what successes earned and what time earned, however many take at once.
func TestBudgetIsNeverOverdrawn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const workers, rounds = 8, 2000
		b := &retry.Budget{Burst: 10, Ratio: 0.25, PerSecond: 5}
		var mu sync.Mutex
		repeats, successes := 0, 0
		start := time.Now()
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				for i := range rounds {
					fails := (i*7 + w) % 3
					op, calls := failing(fails, errFlaky)
					err := retry.Do(t.Context(), &retry.Policy{Budget: b, Backoff: retry.Constant(0)}, op)
					mu.Lock()
					repeats += *calls - 1
					if err == nil {
						successes++
					}
					earned := 10 + 0.25*float64(successes+workers) + 5*time.Since(start).Seconds()
					if float64(repeats-workers) > earned { // the others may be between two steps
						t.Errorf("%d repeats, earned %v", repeats, earned)
					}
					mu.Unlock()
					if i%10 == 0 {
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		all.Wait()
		earned := 10 + 0.25*float64(successes) + 5*time.Since(start).Seconds()
		if float64(repeats) > earned || b.Tokens() < 0 || float64(repeats)+b.Tokens() > earned+1e-6 {
			t.Errorf("%d repeats and %v tokens of %v", repeats, b.Tokens(), earned)
		}
		if repeats < 1000 {
			t.Errorf("only %d repeats: the test shows nothing", repeats)
		}
	})
}

// The bucket's level and clock are one word; extreme fields must not break its arithmetic.
func TestBudgetWithExtremeFields(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, b := range []*retry.Budget{
			{PerSecond: math.MaxFloat64}, {PerSecond: math.Inf(1)}, {Ratio: math.Inf(1)}, {Burst: math.MaxInt}, {PerSecond: 1e-300}, {Ratio: 1e-300},
		} {
			p := &retry.Policy{Budget: b}
			for range 3 {
				op, calls := failing(2, errFlaky)
				if err := retry.Do(t.Context(), p, op); err != nil || *calls != 3 {
					t.Errorf("%v tokens: %d calls, %v", b.Tokens(), *calls, err)
				}
				time.Sleep(time.Hour)
			}
			if n := b.Tokens(); math.IsNaN(n) || n < 0 {
				t.Errorf("%v tokens", n)
			}
		}
	})
}

// A million calls that share one policy, for the race detector.
func TestSharedPolicy(t *testing.T) {
	t.Parallel()
	n := 125_000
	if testing.Short() {
		n = 10_000
	}
	p := &retry.Policy{Budget: &retry.Budget{}, Backoff: retry.Constant(0), Breaker: &lockedBreaker{}}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range n {
				op, _ := failing(i%2, errFlaky)
				_ = retry.Do(t.Context(), p, op)
			}
		})
	}
	all.Wait()
	if got := p.Budget.Tokens(); got < 0 || got > 100 {
		t.Errorf("%v tokens", got)
	}
}

type lockedBreaker struct {
	mu   sync.Mutex
	open int
}

func (b *lockedBreaker) Allow() (func(error), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open++
	return func(error) { b.mu.Lock(); defer b.mu.Unlock(); b.open-- }, nil
}
