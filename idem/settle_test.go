package idem_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/idem"
)

func TestALostAcknowledgementIsMadeUpFor(t *testing.T) {
	for name, s := range map[string]*faulty{
		"claim lost before":    {claim: before(2)},
		"claim lost after":     {claim: after(2)},
		"complete lost before": {complete: before(5)},
		"complete lost after":  {complete: after(5)},
		"complete hangs":       {complete: hang(1)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s.inner = &idem.Memory{}
				g := newGuard(t, s, idem.Config{})
				runs := 0
				for i := range 2 {
					var info idem.Info
					got, err := idem.DoValue(t.Context(), g, "k", func(context.Context) (string, error) { runs++; return "r", nil }, idem.Report(&info))
					if got != "r" || err != nil || info.Replayed != (i > 0) || info.Attempt != 1 {
						t.Fatalf("call %d: %q, %v, %+v", i, got, err, info)
					}
				}
				if runs != 1 {
					t.Errorf("%d runs", runs)
				}
			})
		})
	}
}

func TestAStoreThatFailsRunsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty{inner: &idem.Memory{}, claim: before(always)}
		g := newGuard(t, s, idem.Config{Wait: time.Minute})
		err := idem.Do(t.Context(), g, "k", func(context.Context) error { t.Error("it ran"); return nil })
		want(t, "call", err, errLost)
		if s.claims.Load() != 3 {
			t.Errorf("%d tries, want 3", s.claims.Load())
		}
		s.claim = nil
		if err := run(t, g, "k"); err != nil {
			t.Errorf("after the store has come back: %v", err)
		}
	})
}

// What the caller sees when the store does not confirm a completion, and what a later call
// finds.
func TestUnknownCompletion(t *testing.T) {
	type later struct {
		at       time.Duration // after the first call
		inFlight bool
		got      int // which run's result
		replayed bool
	}
	const lease, settle = 30 * time.Second, 5 * time.Second
	for _, c := range []struct {
		name     string
		complete fault
		later    []later
	}{
		{"lost before", before(always), []later{{0, true, 0, false}, {lease, false, 2, false}, {lease, false, 2, true}}},
		{"lost after", after(always), []later{{0, false, 1, true}, {lease, false, 1, true}}},
		{"hangs", hang(always), []later{{0, true, 0, false}, {lease, false, 2, false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &faulty{inner: &idem.Memory{}, complete: c.complete}
				var finished []error
				g := newGuard(t, s, idem.Config{Lease: lease, Settle: settle, Hooks: idem.Hooks{
					Finished: func(_ context.Context, _ idem.Attempt, err error) { finished = append(finished, err) },
				}})
				runs := 0
				call := func(info *idem.Info) (int, error) {
					return idem.DoValue(t.Context(), g, "k", func(context.Context) (int, error) { runs++; return runs, nil }, idem.Report(info))
				}
				start := time.Now()
				got, err := call(nil)
				want(t, "first call", err, idem.ErrUnknown)
				if got != 1 {
					t.Errorf("got %d, want the result beside the error", got)
				}
				if took := time.Since(start); took < settle*8/10 || took > settle+time.Second {
					t.Errorf("it took %v, want about %v", took, settle)
				}
				if len(finished) != 1 || !errors.Is(finished[0], idem.ErrUnknown) {
					t.Errorf("hooks were told %v", finished)
				}
				s.complete = nil
				for i, l := range c.later {
					time.Sleep(l.at)
					var info idem.Info
					got, err := call(&info)
					if l.inFlight {
						want(t, "later call", err, idem.ErrInFlight)
						continue
					}
					if got != l.got || err != nil || info.Replayed != l.replayed {
						t.Errorf("later call %d: %d, %v, %+v; want %+v", i, got, err, info, l)
					}
				}
			})
		})
	}
}

func TestUnknownCompletionOfAFinalError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, &faulty{inner: &idem.Memory{}, complete: after(always)}, idem.Config{})
		err := idem.Do(t.Context(), g, "k", func(context.Context) error { return idem.Final(errBroken) })
		want(t, "call", err, idem.ErrUnknown)
		want(t, "call", err, errBroken)
		want(t, "later call", run(t, g, "k"), idem.ErrRecorded)
	})
}

// A hold that is not confirmed would end with the lease, and the key would run again.
func TestUnconfirmedHoldSaysSo(t *testing.T) {
	hold := func(context.Context) error { return idem.Hold(errBroken) }
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, &faulty{inner: &idem.Memory{}, release: before(always)}, idem.Config{})
		err := idem.Do(t.Context(), g, "k", hold)
		want(t, "call", err, idem.ErrUnknown)
		want(t, "call", err, errBroken)

		g = newGuard(t, &faulty{inner: &idem.Memory{}, release: after(3)}, idem.Config{})
		if err := idem.Do(t.Context(), g, "k", hold); errors.Is(err, idem.ErrUnknown) || !errors.Is(err, errBroken) {
			t.Errorf("a hold that was confirmed in the end: %v", err)
		}
		want(t, "later call", run(t, g, "k"), idem.ErrAbandoned)
	})
}

func TestAReleaseThatFailsLeavesTheKeyToItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := &faulty{inner: &idem.Memory{}, release: before(always)}
		g := newGuard(t, s, idem.Config{Logger: logTo(&log)})
		err := idem.Do(t.Context(), g, "k", func(context.Context) error { return errBroken })
		if !errors.Is(err, errBroken) || errors.Is(err, idem.ErrUnknown) {
			t.Errorf("call: %v, want the function's error alone", err)
		}
		if !strings.Contains(log.String(), "not released") {
			t.Errorf("nobody was told: %q", log.String())
		}
		want(t, "at once", run(t, g, "k"), idem.ErrInFlight)
		time.Sleep(30 * time.Second)
		var info idem.Info
		if err := run(t, g, "k", idem.Report(&info)); err != nil || info.Attempt != 2 {
			t.Errorf("after the lease: %v, %+v; want attempt 2", err, info)
		}
	})
}

// A caller who leaves loses nothing: neither the record of a run that was under way, nor the
// key of one that failed.
func TestTheOutcomeIsSettledWhenTheCallerHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty{inner: &idem.Memory{}, complete: slowly, release: slowly}
		g := newGuard(t, s, idem.Config{})
		for _, c := range []struct {
			key     idem.Key
			outcome error
			attempt int
		}{{"done", nil, 1}, {"failed", errBroken, 2}} {
			ctx, cancel := context.WithCancel(t.Context())
			err := idem.Do(ctx, g, c.key, func(fn context.Context) error {
				cancel()
				if fn.Err() == nil {
					t.Error("the function is not told that its caller has left")
				}
				return c.outcome
			})
			if !errors.Is(err, c.outcome) {
				t.Errorf("call: %v, want %v", err, c.outcome)
			}
			var info idem.Info
			if err := run(t, g, c.key, idem.Report(&info)); err != nil || info.Attempt != c.attempt || info.Replayed != (c.outcome == nil) {
				t.Errorf("later call: %v, %+v", err, info)
			}
		}
	})
}

// slowly acts after a while, if its context allows.
func slowly(ctx context.Context, _ int, act func() error) error {
	select {
	case <-time.After(time.Second):
		return act()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A claim that was granted although its caller had left must not keep others out.
func TestACancelledClaimIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, mode := range []idem.Mode{idem.AtLeastOnce, idem.AtMostOnce} {
			m := &idem.Memory{}
			s := &inspectable{faulty: faulty{inner: m}, Inspector: m}
			ctx, cancel := context.WithCancel(t.Context())
			s.claim = func(ctx context.Context, n int, act func() error) error {
				err := act()
				if n == 1 {
					cancel()
					return ctx.Err()
				}
				return err
			}
			g := newGuard(t, s, idem.Config{Mode: mode})
			err := idem.Do(ctx, g, "k", func(context.Context) error { t.Error("it ran"); return nil })
			want(t, "call", err, context.Canceled)
			var info idem.Info
			if err := run(t, g, "k", idem.Report(&info)); err != nil || info.Attempt != 1 {
				t.Errorf("mode %d: the next call: %v, %+v; want a first attempt", mode, err, info)
			}
		}
	})
}

// Giving up a claim that took over from a crashed run leaves what that run has left.
func TestACancelledTakeoverForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		crash(t, m, "k", []byte("mine"))
		ctx, cancel := context.WithCancel(t.Context())
		s := &faulty{inner: m, claim: func(ctx context.Context, n int, act func() error) error {
			err := act()
			if n == 1 {
				cancel()
				return ctx.Err()
			}
			return err
		}}
		g := newGuard(t, s, idem.Config{})
		want(t, "call", run2(ctx, g, "k"), context.Canceled)
		want(t, "another request", run(t, g, "k", idem.WithFingerprint([]byte("yours"))), idem.ErrMismatch)
		var info idem.Info
		if err := run(t, g, "k", idem.Report(&info)); err != nil || info.Attempt != 3 {
			t.Errorf("the next call: %v, %+v; want attempt 3", err, info)
		}
	})
}

// A store that panics must not leave a key that is renewed for ever, nor a waiter that is
// counted for ever.
func TestAStoreThatPanicsLeavesNothingBehind(t *testing.T) {
	boom := func(context.Context, int, func() error) error { panic("store") }
	synctest.Test(t, func(t *testing.T) {
		s := &faulty{inner: &idem.Memory{}, complete: boom, release: boom}
		g := newGuard(t, s, idem.Config{Wait: time.Minute, MaxWaiters: 1})
		leave(func() { _ = run(t, g, "k") })
		leave(func() { _ = idem.Do(t.Context(), g, "l", func(context.Context) error { panic("too") }) })
		time.Sleep(time.Hour)
		if s.renewals.Load() != 0 {
			t.Errorf("%d renewals", s.renewals.Load())
		}
		s.complete, s.release = nil, nil
		end, over := slow(t, g, "k")
		s.claim = func(_ context.Context, n int, act func() error) error {
			if err := act(); err != nil || n%2 == 1 {
				return err
			}
			panic("store")
		}
		for range 3 {
			leave(func() { _ = run(t, g, "k") })
		}
		s.claim = nil
		waited := make(chan error)
		go func() { waited <- run(t, g, "k") }()
		synctest.Wait()
		end <- nil
		if err := <-waited; err != nil {
			t.Errorf("a waiter after the panics: %v", err)
		}
		<-over
	})
}

// inspectable is faulty for stores that are Inspectors.
type inspectable struct {
	faulty
	idem.Inspector
}

func TestACallWithACancelledContextDoesNothing(t *testing.T) {
	s := &faulty{inner: &idem.Memory{}}
	g := newGuard(t, s, idem.Config{Wait: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, "call", idem.Do(ctx, g, "k", func(context.Context) error { t.Error("it ran"); return nil }), context.Canceled)
	if s.claims.Load() != 0 {
		t.Errorf("the store was asked %d times", s.claims.Load())
	}
}
