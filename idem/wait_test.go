package idem_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/idem"
)

// slow runs a function under g, in the background, and returns once it has begun. The
// function returns what end sends it.
func slow(t *testing.T, g *idem.Guard, k idem.Key) (end chan<- error, over <-chan error) {
	t.Helper()
	in, out, began := make(chan error, 1), make(chan error, 1), make(chan struct{})
	go func() {
		out <- idem.Do(context.Background(), g, k, func(context.Context) error {
			close(began)
			return <-in
		})
	}()
	<-began
	return in, out
}

func TestWithoutWaitACallForAKeyInFlightFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, &idem.Memory{}, idem.Config{Lease: 20 * time.Second})
		end, over := slow(t, g, "k")
		start := time.Now()
		var info idem.Info
		err := run(t, g, "k", idem.Report(&info))
		want(t, "call", err, idem.ErrInFlight)
		f, ok := errors.AsType[*idem.InFlightError](err)
		if !ok || f.RetryAfter <= 0 || f.RetryAfter > time.Second {
			t.Errorf("%+v: want a short hint when to come back", f)
		}
		if info.Replayed || info.Attempt != 1 || info.Fence <= 0 {
			t.Errorf("info %+v, want the holder's attempt and fence", info)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("it took %v", d)
		}
		end <- nil
		<-over
	})
}

func TestTheHintIsNeverLongerThanTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, &idem.Memory{}, idem.Config{Lease: 300 * time.Millisecond})
		end, over := slow(t, g, "k")
		time.Sleep(50 * time.Millisecond)
		f, ok := errors.AsType[*idem.InFlightError](run(t, g, "k"))
		if !ok || f.RetryAfter != 250*time.Millisecond {
			t.Errorf("hint %+v, want what is left of the lease", f)
		}
		end <- nil
		<-over
	})
}

// A store is polled no more than a few times a second, so a waiter who is answered in the
// instant of the completion was woken.
func TestLocalWaitersAreWokenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const waiters = 50
		s := &faulty{inner: &idem.Memory{}}
		g := newGuard(t, s, idem.Config{Wait: time.Minute})
		end, over := slow(t, g, "k")
		start := time.Now()
		var wg sync.WaitGroup
		for range waiters {
			wg.Go(func() {
				if err := run(t, g, "k"); err != nil {
					t.Error(err)
				}
				if d := time.Since(start); d != 10*time.Second {
					t.Errorf("answered after %v, want 10s", d)
				}
			})
		}
		time.Sleep(10 * time.Second)
		// However many wait, one polls.
		if n := s.claims.Load(); n > 1+waiters+10*8 {
			t.Errorf("%d claims while %d wait 10 seconds", n, waiters)
		}
		end <- nil
		wg.Wait()
		<-over
	})
}

func TestOneWaiterInheritsWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, &idem.Memory{}, idem.Config{Wait: time.Minute})
		end, over := slow(t, g, "k")
		start := time.Now()
		var runs atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				got, err := idem.DoValue(t.Context(), g, "k", func(ctx context.Context) (int, error) {
					runs.Add(1)
					a, _ := idem.Current(ctx)
					return a.Number, nil
				})
				if got != 2 || err != nil {
					t.Errorf("got %d, %v; want the result of attempt 2", got, err)
				}
			})
		}
		time.Sleep(time.Second)
		end <- errBroken
		wg.Wait()
		want(t, "the first call", <-over, errBroken)
		if runs.Load() != 1 || time.Since(start) != time.Second {
			t.Errorf("%d runs after %v, want 1 at once", runs.Load(), time.Since(start))
		}
	})
}

// A run that panics gives its key up first and wakes the others then.
func TestAWaiterInheritsWhatPanicked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty{inner: &idem.Memory{}, release: slowly}
		g := newGuard(t, s, idem.Config{Wait: time.Minute})
		began, end := make(chan struct{}), make(chan struct{})
		go leave(func() {
			_ = idem.Do(t.Context(), g, "k", func(context.Context) error { close(began); <-end; panic("boom") })
		})
		<-began
		waited := make(chan error)
		go func() { waited <- run(t, g, "k") }()
		time.Sleep(time.Minute / 2)
		start := time.Now()
		close(end)
		if err := <-waited; err != nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v, want as soon as the release is done, after 1s", err, time.Since(start))
		}
	})
}

// Another process cannot wake anybody here: its guard has waiters of its own.
func TestOtherProcessesArePolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		s := &faulty{inner: m}
		there, here := newGuard(t, m, idem.Config{}), newGuard(t, s, idem.Config{Wait: time.Hour})
		end, over := slow(t, there, "k")
		start := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := run(t, here, "k"); err != nil {
					t.Error(err)
				}
				if d := time.Since(start); d < 10*time.Minute || d > 10*time.Minute+400*time.Millisecond {
					t.Errorf("answered after %v, want soon after 10m", d)
				}
			})
		}
		time.Sleep(10 * time.Minute)
		if n := s.claims.Load(); n < 10*60*2 || n > 10*60*8+20 {
			t.Errorf("%d polls in 10 minutes, want about five a second", n)
		}
		end <- nil
		wg.Wait()
		<-over
	})
}

func TestAWaiterInheritsFromADeadProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		if _, err := m.Claim(t.Context(), idem.Claim{Key: "k", Token: [16]byte{1}, Lease: 30 * time.Second, Keep: time.Hour}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var info idem.Info
		if err := run(t, newGuard(t, m, idem.Config{Wait: time.Minute}), "k", idem.Report(&info)); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); info.Attempt != 2 || d < 30*time.Second || d > 30*time.Second+time.Millisecond {
			t.Errorf("attempt %d after %v, want 2 right after 30s", info.Attempt, d)
		}
	})
}

// Of those who wait for another process one polls. When it leaves, the next one does.
func TestPollingIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		there, here := newGuard(t, m, idem.Config{}), newGuard(t, m, idem.Config{Wait: time.Hour})
		end, over := slow(t, there, "k")
		start := time.Now()
		var wg sync.WaitGroup
		for _, patience := range []time.Duration{time.Second, 2 * time.Second} {
			wg.Go(func() { want(t, "an impatient call", run(t, here, "k", idem.WithWait(patience)), idem.ErrInFlight) })
			synctest.Wait()
		}
		wg.Go(func() {
			if err := run(t, here, "k"); err != nil {
				t.Error(err)
			}
			if d := time.Since(start); d > 10*time.Second+400*time.Millisecond {
				t.Errorf("answered after %v, want soon after 10s", d)
			}
		})
		time.Sleep(10 * time.Second)
		end <- nil
		wg.Wait()
		<-over
	})
}

func TestTheWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, &idem.Memory{}, idem.Config{Wait: 10 * time.Second})
		end, over := slow(t, g, "k")
		for _, c := range []struct {
			name string
			opts []idem.CallOption
			want time.Duration
		}{
			{"as configured", nil, 10 * time.Second},
			{"overridden", []idem.CallOption{idem.WithWait(3 * time.Second)}, 3 * time.Second},
			{"switched off", []idem.CallOption{idem.WithWait(0)}, 0},
			{"negative", []idem.CallOption{idem.WithWait(-1)}, 0},
		} {
			start := time.Now()
			want(t, c.name, run(t, g, "k", c.opts...), idem.ErrInFlight)
			if d := time.Since(start); d != c.want {
				t.Errorf("%s: gave up after %v, want %v", c.name, d, c.want)
			}
		}
		end <- nil
		<-over
	})
}

func TestAWaiterWhoseCallerLeavesStopsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, &idem.Memory{}, idem.Config{Wait: time.Minute})
		end, over := slow(t, g, "k")
		for range 2 { // one that polls, one that sits beside it
			go func() { _ = run(t, g, "k") }()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		err := idem.Do(ctx, g, "k", func(context.Context) error { t.Error("it ran"); return nil })
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("stopped after %v, want 3s", d)
		}
		want(t, "error", err, context.DeadlineExceeded)
		want(t, "error", err, idem.ErrInFlight)
		end <- nil
		<-over
	})
}

func TestWaitersAreLimited(t *testing.T) {
	for limit, refused := range map[int]int64{3: 7, 1: 9, 0: 0, -1: 0} {
		synctest.Test(t, func(t *testing.T) {
			g := newGuard(t, &idem.Memory{}, idem.Config{Wait: time.Minute, MaxWaiters: limit})
			end, over := slow(t, g, "k")
			var inFlight, ok atomic.Int64
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					if err := run(t, g, "k"); errors.Is(err, idem.ErrInFlight) {
						inFlight.Add(1)
					} else if err == nil {
						ok.Add(1)
					}
				})
			}
			synctest.Wait()
			if inFlight.Load() != refused {
				t.Errorf("limit %d: %d were refused at once, want %d", limit, inFlight.Load(), refused)
			}
			end <- nil
			wg.Wait()
			if ok.Load() != 10-refused {
				t.Errorf("limit %d: %d were answered, want %d", limit, ok.Load(), 10-refused)
			}
			<-over
			// The places are free again.
			end, over = slow(t, g, "again")
			waited := make(chan error)
			go func() { waited <- run(t, g, "again") }()
			synctest.Wait()
			end <- nil
			if err := <-waited; err != nil {
				t.Errorf("limit %d: a waiter after the others: %v", limit, err)
			}
			<-over
		})
	}
}

// The wake-up may come in any instant between a waiter's claim and its sleep.
func TestNoWakeUpIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		for i := range 300 {
			d := time.Duration(i%20) * time.Microsecond
			s := &faulty{inner: m, claim: func(_ context.Context, _ int, act func() error) error {
				err := act()
				time.Sleep(10 * time.Microsecond) // the answer is on its way while the key is completed
				return err
			}}
			g := newGuard(t, s, idem.Config{Wait: time.Hour})
			k := idem.NewKey("k", string(rune(i)))
			began := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				_ = idem.Do(t.Context(), g, k, func(context.Context) error { close(began); time.Sleep(d); return nil })
			})
			<-began
			start := time.Now()
			wg.Go(func() {
				if err := run(t, g, k); err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
			if took := time.Since(start); took > time.Millisecond {
				t.Fatalf("round %d: the waiter was answered after %v", i, took)
			}
		}
	})
}

func TestAStormOnOneKeyRunsOnce(t *testing.T) {
	const callers, rounds = 64, 200
	g := newGuard(t, &idem.Memory{}, idem.Config{Wait: time.Minute})
	for round := range rounds {
		k := idem.NewKey("storm", string(rune(round)))
		runs := 0 // not atomic: the race detector sees a second run
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				got, err := idem.DoValue(t.Context(), g, k, func(context.Context) (int, error) { runs++; return runs, nil })
				if got != 1 || err != nil {
					t.Errorf("got %d, %v", got, err)
				}
			})
		}
		wg.Wait()
		if runs != 1 {
			t.Fatalf("round %d: %d runs", round, runs)
		}
	}
}

// Every run but the last fails, so that the key changes hands all the time.
func TestAStormOfFailuresRunsOneAtATime(t *testing.T) {
	const callers, failures = 32, 100
	g := newGuard(t, &idem.Memory{}, idem.Config{Wait: time.Minute})
	runs := 0
	var fence int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for {
				err := idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
					a, _ := idem.Current(ctx)
					if runs++; a.Number != runs || a.Fence <= fence {
						t.Errorf("run %d is attempt %d with fence %d after %d", runs, a.Number, a.Fence, fence)
					}
					if fence = a.Fence; runs <= failures {
						return errBroken
					}
					return nil
				})
				if err == nil {
					return
				}
				if !errors.Is(err, errBroken) {
					t.Errorf("call: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	if runs != failures+1 {
		t.Errorf("%d runs, want %d", runs, failures+1)
	}
}
