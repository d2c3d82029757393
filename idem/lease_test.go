package idem_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/idem"
)

func TestTheLeaseIsRenewedAtAThirdForAsLongAsTheFunctionRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lease = 30 * time.Second
		s := &faulty{inner: &idem.Memory{}}
		at := make(chan time.Duration, 100)
		start := time.Now()
		s.renew = func(_ context.Context, _ int, act func() error) error {
			at <- time.Since(start)
			return act()
		}
		g := newGuard(t, s, idem.Config{Lease: lease})
		err := idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
			time.Sleep(10*lease + time.Second)
			if ctx.Err() != nil {
				t.Errorf("the context ended: %v", context.Cause(ctx))
			}
			want(t, "a call while it runs", run(t, newGuard(t, s, idem.Config{}), "k"), idem.ErrInFlight)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		close(at)
		i := 0
		for d := range at {
			if i++; d != time.Duration(i)*lease/3 {
				t.Errorf("renewal %d after %v, want %v", i, d, time.Duration(i)*lease/3)
			}
		}
		if i != 30 {
			t.Errorf("%d renewals in ten leases, want one every third", i)
		}
		n := s.renewals.Load()
		time.Sleep(10 * lease)
		if s.renewals.Load() != n {
			t.Error("renewals went on after the function's end")
		}
	})
}

func TestAShortRunRenewsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty{inner: &idem.Memory{}}
		g := newGuard(t, s, idem.Config{})
		for range 100 {
			_ = idem.Do(t.Context(), g, "k", func(context.Context) error { time.Sleep(9 * time.Second); return errBroken })
		}
		if s.renewals.Load() != 0 || s.claims.Load() != 100 || s.releases.Load() != 100 {
			t.Errorf("%d renewals, %d claims, %d releases; want 0, 100, 100", s.renewals.Load(), s.claims.Load(), s.releases.Load())
		}
	})
}

// Runs that begin at different times, long and short, all get their renewals from one timer.
func TestManyRunsAreRenewedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lease, runs = 3 * time.Second, 200
		s := &faulty{inner: &idem.Memory{}}
		g := newGuard(t, s, idem.Config{Lease: lease})
		done := make(chan error)
		for i := range runs {
			go func() {
				time.Sleep(time.Duration(i) * 17 * time.Millisecond)
				done <- idem.Do(t.Context(), g, idem.NewKey("k", string(rune(i))), func(ctx context.Context) error {
					time.Sleep(time.Duration(i%20) * time.Second)
					return context.Cause(ctx)
				})
			}()
		}
		for range runs {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// fenced runs a function until its context ends, and returns how long that took and why it
// ended.
func fenced(t *testing.T, g *idem.Guard) (after time.Duration, cause, err error) {
	t.Helper()
	start := time.Now()
	err = idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
		case <-time.After(time.Hour):
			t.Error("the context never ended")
		}
		after, cause = time.Since(start), context.Cause(ctx)
		return errors.New("stopped")
	})
	return after, cause, err
}

func TestTheFunctionIsStoppedBeforeTheStoreHandsOver(t *testing.T) {
	const lease = 30 * time.Second
	for name, renew := range map[string]fault{
		"renewals fail":                   before(always),
		"renewals hang":                   hang(always),
		"renewals hang and do not listen": deaf(always, 10*time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &faulty{inner: &idem.Memory{}, renew: renew}
				after, cause, err := fenced(t, newGuard(t, s, idem.Config{Lease: lease}))
				if after >= lease || after < lease*8/10 {
					t.Errorf("stopped after %v, want shortly before %v", after, lease)
				}
				want(t, "cause", cause, idem.ErrLeaseLost)
				want(t, "the call's error", err, idem.ErrLeaseLost)
				if s.renewals.Load() == 0 {
					t.Error("no renewal was tried")
				}
				time.Sleep(time.Hour) // lets the deaf ones return
			})
		})
	}
}

// The store counts from when it granted the claim, the holder from when it sent it.
func TestASlowClaimShortensTheLeaseForTheHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lease, slow = 30 * time.Second, 6 * time.Second
		s := &faulty{inner: &idem.Memory{}, renew: before(always)}
		s.claim = func(_ context.Context, _ int, act func() error) error {
			err := act()
			time.Sleep(slow) // the answer takes long
			return err
		}
		g := newGuard(t, s, idem.Config{Lease: lease})
		after, _, _ := fenced(t, g)
		if after >= lease {
			t.Errorf("stopped %v after the claim was sent, want before %v", after, lease)
		}
	})
}

// A claim that took longer than its lease may be somebody else's already.
func TestAClaimThatOutlivesItsLeaseIsLostAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty{inner: &idem.Memory{}, renew: hang(always)}
		s.claim = func(_ context.Context, _ int, act func() error) error {
			err := act()
			time.Sleep(time.Minute)
			return err
		}
		start := time.Now()
		after, cause, _ := fenced(t, newGuard(t, s, idem.Config{Lease: 30 * time.Second}))
		want(t, "cause", cause, idem.ErrLeaseLost)
		if after != time.Since(start) || after > time.Minute+time.Second {
			t.Errorf("stopped after %v, want as soon as the claim was answered", after)
		}
	})
}

func TestOneLostRenewalIsMadeUpFor(t *testing.T) {
	const lease = 30 * time.Second
	for name, renew := range map[string]fault{"lost before": before(3), "lost after": after(3), "hangs": hang(1)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuard(t, &faulty{inner: &idem.Memory{}, renew: renew}, idem.Config{Lease: lease})
				err := idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
					time.Sleep(3 * lease)
					return context.Cause(ctx)
				})
				if err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestAHolderThatWasReplacedIsStoppedAtItsNextRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lease = 30 * time.Second
		m := &idem.Memory{}
		g := newGuard(t, m, idem.Config{Lease: lease})
		start := time.Now()
		err := idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
			if err := g.Forget(ctx, "k"); err != nil { // what an operator may do
				t.Error(err)
			}
			<-ctx.Done()
			want(t, "cause", context.Cause(ctx), idem.ErrLeaseLost)
			return nil
		})
		if took := time.Since(start); took != lease/3 {
			t.Errorf("stopped after %v, want at the first renewal", took)
		}
		want(t, "the call's error", err, idem.ErrLeaseLost)
	})
}

// freeze lets a holder sleep through its lease, as a stopped process does, and returns what
// became of it. meanwhile happens after the lease is over.
func freeze(t *testing.T, m *idem.Memory, meanwhile func()) (string, idem.Info, error) {
	t.Helper()
	g := newGuard(t, &faulty{inner: m, renew: before(always)}, idem.Config{Lease: time.Second})
	var info idem.Info
	got, err := idem.DoValue(t.Context(), g, "k", func(context.Context) (string, error) {
		time.Sleep(time.Minute)
		meanwhile()
		return "late", nil
	}, idem.Report(&info))
	return got, info, err
}

func TestALateCompletionCountsIfNobodyTookOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		got, info, err := freeze(t, m, func() {})
		if got != "late" || err != nil || info.Replayed {
			t.Errorf("%q, %v, %+v; want the late result", got, err, info)
		}
	})
}

func TestOvertakenHoldersGetTheOutcomeThatStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		other := newGuard(t, m, idem.Config{})
		got, info, err := freeze(t, m, func() {
			now, err := idem.DoValue(t.Context(), other, "k", func(ctx context.Context) (string, error) {
				if a, _ := idem.Current(ctx); a.Number != 2 {
					t.Errorf("attempt %d, want 2", a.Number)
				}
				return "in time", nil
			})
			if now != "in time" || err != nil {
				t.Errorf("the new holder: %q, %v", now, err)
			}
		})
		if got != "in time" || err != nil || !info.Replayed || info.Attempt != 2 {
			t.Errorf("%q, %v, %+v; want the new holder's outcome as a replay", got, err, info)
		}
	})
}

func TestOvertakenHoldersAreToldIfTheOtherStillRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		other := newGuard(t, m, idem.Config{})
		release := make(chan struct{})
		got, _, err := freeze(t, m, func() {
			go func() {
				_ = idem.Do(t.Context(), other, "k", func(context.Context) error { <-release; return nil })
			}()
			synctest.Wait()
		})
		if got != "" {
			t.Errorf("result %q of a run that does not count", got)
		}
		want(t, "the call's error", err, idem.ErrLeaseLost)
		close(release)
	})
}
