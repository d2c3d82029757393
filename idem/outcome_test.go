package idem_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/idem"
)

// coded is an error with a code of its own.
type coded struct{ code, text string }

func (e *coded) Error() string { return e.text }
func (e *coded) Code() string  { return e.code }

func failing(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func TestFinalErrorsAreRecorded(t *testing.T) {
	declined := &coded{"card_declined", "the card was declined"}
	for name, marked := range map[string]error{
		"marked":           idem.Final(declined),
		"wrapped":          fmt.Errorf("charge: %w", idem.Final(declined)),
		"joined":           errors.Join(errBroken, idem.Final(declined)),
		"marked twice":     idem.Final(idem.Hold(declined)),
		"marked and again": idem.Final(fmt.Errorf("x: %w", idem.Forget(declined))),
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuard(t, &idem.Memory{}, idem.Config{})
			first := idem.Do(t.Context(), g, "k", failing(marked))
			if got, ok := errors.AsType[*coded](first); !ok || got != declined || first.Error() != marked.Error() {
				t.Errorf("the run's own caller got %v, want its error", first)
			}
			var info idem.Info
			again := idem.Do(t.Context(), g, "k", failing(errBroken), idem.Report(&info))
			want(t, "replay", again, idem.ErrRecorded)
			rec, ok := errors.AsType[*idem.RecordedError](again)
			if !ok || rec.Code != "card_declined" || rec.Message != marked.Error() || again.Error() != marked.Error() {
				t.Errorf("replay: %+v, want code and text of %v", rec, marked)
			}
			if !info.Replayed {
				t.Error("the replay is not reported as one")
			}
		})
	}
}

func TestForgottenKeysAreFreeForAnotherRequest(t *testing.T) {
	g := newGuard(t, &idem.Memory{}, idem.Config{})
	err := idem.Do(t.Context(), g, "k", failing(fmt.Errorf("x: %w", idem.Forget(errBroken))), idem.WithFingerprint([]byte("mine")))
	want(t, "call", err, errBroken)
	var info idem.Info
	if err := run(t, g, "k", idem.WithFingerprint([]byte("yours")), idem.Report(&info)); err != nil || info.Attempt != 1 {
		t.Errorf("another request: %v, %+v; want a first attempt", err, info)
	}
}

func TestHeldKeysRunAgainWhenResolvedOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, &idem.Memory{}, idem.Config{Wait: time.Minute, Keep: time.Hour})
		want(t, "call", idem.Do(t.Context(), g, "k", failing(idem.Hold(errBroken))), errBroken)
		start := time.Now()
		for range 3 {
			want(t, "later call", run(t, g, "k"), idem.ErrAbandoned)
			time.Sleep(10 * time.Minute)
		}
		if time.Since(start) != 30*time.Minute {
			t.Error("a call waited for a key that nobody holds")
		}
		rec, err := g.Resolve(t.Context(), "k", "found out", nil)
		if err != nil || rec.State != idem.Done || string(rec.Result) != `"found out"` {
			t.Errorf("Resolve: %+v, %v", rec, err)
		}
		got, err := idem.DoValue(t.Context(), g, "k", func(context.Context) (string, error) { return "ran", nil })
		if got != "found out" || err != nil {
			t.Errorf("after Resolve: %q, %v", got, err)
		}
		want(t, "another", idem.Do(t.Context(), g, "k2", failing(idem.Hold(errBroken))), errBroken)
		time.Sleep(time.Hour)
		if err := run(t, g, "k2"); err != nil {
			t.Errorf("after its retention: %v", err)
		}
	})
}

func TestMarksAreForOneGuard(t *testing.T) {
	for name, mark := range map[string]func(error) error{"Final": idem.Final, "Hold": idem.Hold, "Forget": idem.Forget} {
		for _, deep := range []bool{false, true} {
			m := &idem.Memory{}
			g := newGuard(t, m, idem.Config{})
			_ = idem.Do(t.Context(), g, "outer", func(ctx context.Context) error {
				return idem.Do(ctx, g, "inner", func(context.Context) error {
					err := mark(errBroken)
					if deep {
						err = fmt.Errorf("x: %w", err)
					}
					return err
				})
			})
			if rec, err := m.Get(t.Context(), "outer"); err != nil || rec.State != idem.Released {
				t.Errorf("%s, deep %v: the outer key is %v (%v), want released", name, deep, rec.State, err)
			}
		}
	}
	for _, mark := range []func(error) error{idem.Final, idem.Hold, idem.Forget} {
		if mark(nil) != nil {
			t.Error("a marked nil is an error")
		}
		if err := mark(errBroken); !errors.Is(err, errBroken) || err.Error() != errBroken.Error() {
			t.Errorf("a mark hides its error: %v", err)
		}
	}
}

func TestAMarkOnTheSurfaceIsTakenOff(t *testing.T) {
	g := newGuard(t, &idem.Memory{}, idem.Config{})
	if err := idem.Do(t.Context(), g, "k", failing(idem.Final(idem.Hold(errBroken)))); err != errBroken { //nolint:errorlint // exactly this
		t.Errorf("got %#v, want the error itself", err)
	}
}

func TestAnotherFingerprintIsAMismatchWhateverBecameOfTheFirst(t *testing.T) {
	mine, yours := idem.WithFingerprint([]byte("mine")), idem.WithFingerprint([]byte("yours"))
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		g := newGuard(t, m, idem.Config{Wait: time.Minute})
		mismatch := func(when string, k idem.Key) {
			t.Helper()
			got, err := idem.DoValue(t.Context(), g, k, func(context.Context) (string, error) { t.Error("it ran " + when); return "", nil }, yours)
			want(t, when, err, idem.ErrMismatch)
			if got != "" {
				t.Errorf("%s: it was told %q", when, got)
			}
		}
		_, err := idem.DoValue(t.Context(), g, "done", func(context.Context) (string, error) {
			mismatch("in flight", "done")
			return "secret", nil
		}, mine)
		if err != nil {
			t.Fatal(err)
		}
		mismatch("done", "done")
		_ = idem.Do(t.Context(), g, "released", failing(errBroken), mine)
		mismatch("released", "released")
		_ = idem.Do(t.Context(), g, "held", failing(idem.Hold(errBroken)), mine)
		mismatch("held", "held")
		crash(t, m, "crashed", []byte("mine"))
		mismatch("crashed", "crashed")
		if err := run(t, g, "crashed", mine); err != nil {
			t.Errorf("the same request after a crash: %v", err)
		}
		mismatch("taken over", "crashed")
		if err := run(t, g, "done"); err != nil {
			t.Errorf("a call without a fingerprint: %v, want the replay", err)
		}
	})
}

// crash leaves a key as a holder does that dies, and waits for the end of its lease.
func crash(t *testing.T, s idem.Store, k idem.Key, fingerprint []byte) {
	t.Helper()
	rec, err := s.Claim(t.Context(), idem.Claim{Key: k, Token: [16]byte{1}, Fingerprint: fingerprint, Lease: time.Second, Keep: time.Hour})
	if err != nil || rec.State != idem.Acquired {
		t.Fatalf("claim: %v, %v", rec.State, err)
	}
	time.Sleep(time.Second)
}

func TestACrashedRunIsRepeatedWithTheSameSubKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		g := newGuard(t, m, idem.Config{})
		var after idem.Attempt
		first := make(chan idem.Attempt, 1)
		never := make(chan struct{})
		dies := newGuard(t, &faulty{inner: m, renew: deaf(always, time.Hour), release: until(never)}, idem.Config{Lease: time.Second})
		go func() {
			_ = idem.Do(t.Context(), dies, "k", func(ctx context.Context) error {
				a, _ := idem.Current(ctx)
				first <- a
				<-never
				return errBroken
			})
		}()
		time.Sleep(2 * time.Second)
		if err := idem.Do(t.Context(), g, "k", func(ctx context.Context) error { after, _ = idem.Current(ctx); return nil }); err != nil {
			t.Fatal(err)
		}
		before := <-first
		if before.Number != 1 || after.Number != 2 || after.Fence <= before.Fence || before.Key != "k" || after.Key != "k" {
			t.Errorf("attempts %+v and %+v; want 1 and 2, and a higher fence", before, after)
		}
		if before.SubKey("charge") != after.SubKey("charge") {
			t.Error("the sub-keys differ")
		}
		close(never)
		time.Sleep(2 * time.Hour)
	})
}

// until lets nothing through until gone is closed.
func until(gone <-chan struct{}) fault {
	return func(context.Context, int, func() error) error { <-gone; return errLost }
}

func TestAtMostOnceNeverRunsAgain(t *testing.T) {
	for name, fn := range map[string]func(context.Context) error{
		"error":  failing(errBroken),
		"held":   failing(idem.Hold(errBroken)),
		"panic":  func(context.Context) error { panic("boom") },
		"goexit": func(context.Context) error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuard(t, &idem.Memory{}, idem.Config{Mode: idem.AtMostOnce})
				leave(func() { _ = idem.Do(t.Context(), g, "k", fn) })
				for range 3 {
					want(t, "later call", run(t, g, "k"), idem.ErrAbandoned)
					want(t, "later call in another mode", run(t, g, "k", idem.WithMode(idem.AtLeastOnce)), idem.ErrAbandoned)
					time.Sleep(time.Hour)
				}
			})
		})
	}
	t.Run("crash", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &idem.Memory{}
			g := newGuard(t, m, idem.Config{Mode: idem.AtMostOnce})
			crash(t, m, "k", nil)
			want(t, "later call", run(t, g, "k"), idem.ErrAbandoned)
			if _, err := g.Resolve(t.Context(), "k", nil, errBroken); !errors.Is(err, idem.ErrRecorded) {
				t.Errorf("Resolve with an error: %v, want the error as a replay gives it", err)
			}
			want(t, "after Resolve", run(t, g, "k"), idem.ErrRecorded)

			crash(t, m, "nothing happened", nil)
			want(t, "later call", run(t, g, "nothing happened"), idem.ErrAbandoned)
			if err := g.Forget(t.Context(), "nothing happened"); err != nil {
				t.Fatal(err)
			}
			if err := run(t, g, "nothing happened"); err != nil {
				t.Errorf("after Forget: %v", err)
			}
		})
	})
	t.Run("what settles it", func(t *testing.T) {
		g := newGuard(t, &idem.Memory{}, idem.Config{Mode: idem.AtMostOnce})
		_ = idem.Do(t.Context(), g, "final", failing(idem.Final(errBroken)))
		want(t, "after Final", run(t, g, "final"), idem.ErrRecorded)
		_ = idem.Do(t.Context(), g, "forget", failing(idem.Forget(errBroken)))
		if err := run(t, g, "forget"); err != nil {
			t.Errorf("after Forget: %v", err)
		}
		if err := run(t, g, "forget"); err != nil {
			t.Errorf("after success: %v", err)
		}
	})
}

// leave runs f to its end, however that comes.
func leave(f func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() { _ = recover() }()
		f()
	})
	wg.Wait()
}

func TestPanicAndGoexitReleaseTheKeyAndGoOn(t *testing.T) {
	for name, fn := range map[string]func(context.Context) error{
		"panic":  func(context.Context) error { panic("boom") },
		"goexit": func(context.Context) error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &faulty{inner: &idem.Memory{}}
				var finished []error
				g := newGuard(t, s, idem.Config{Wait: time.Minute, Hooks: idem.Hooks{
					Finished: func(_ context.Context, _ idem.Attempt, err error) { finished = append(finished, err) },
				}})
				returned := false
				var passed any
				leave(func() {
					defer func() {
						if passed = recover(); passed != nil {
							panic(passed)
						}
					}()
					_ = idem.Do(t.Context(), g, "k", fn)
					returned = true
				})
				if returned || name == "panic" && passed != "boom" {
					t.Errorf("returned %v, panicked with %v", returned, passed)
				}
				if len(finished) != 1 || finished[0] == nil {
					t.Errorf("hooks were told %v", finished)
				}
				var info idem.Info
				if err := run(t, g, "k", idem.Report(&info)); err != nil || info.Attempt != 2 {
					t.Errorf("the next call: %v, %+v; want attempt 2", err, info)
				}
				time.Sleep(time.Hour)
				if s.renewals.Load() != 0 {
					t.Errorf("%d renewals of a key nobody holds", s.renewals.Load())
				}
			})
		})
	}
}

// A hook that panics must not leave a key that is renewed for ever.
func TestAHookThatPanicsLeavesTheKeyFree(t *testing.T) {
	boom := func() { panic("hook") }
	for name, hooks := range map[string]idem.Hooks{
		"Started":  {Started: func(context.Context, idem.Attempt) { boom() }},
		"Finished": {Finished: func(context.Context, idem.Attempt, error) { boom() }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &idem.Memory{}
				s := &inspectable{faulty: faulty{inner: m}, Inspector: m}
				g := newGuard(t, s, idem.Config{Hooks: hooks, Mode: idem.AtMostOnce})
				leave(func() { _ = run(t, g, "k") })
				var info idem.Info
				if err := run(t, newGuard(t, m, idem.Config{}), "k", idem.Report(&info)); err != nil || info.Attempt != 1 {
					t.Errorf("the next call: %v, %+v", err, info)
				}
				if info.Replayed != (name == "Finished") {
					t.Errorf("the next call: %+v", info)
				}
				time.Sleep(time.Hour)
				if s.renewals.Load() != 0 {
					t.Errorf("%d renewals of a key nobody holds", s.renewals.Load())
				}
			})
		})
	}
}

func TestInspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		g := newGuard(t, m, idem.Config{})
		ctx := t.Context()
		state := func(k idem.Key, state idem.State, result string, target error) {
			t.Helper()
			rec, err := g.Inspect(ctx, k)
			if rec.State != state || string(rec.Result) != result || !errors.Is(err, target) {
				t.Errorf("Inspect %q: %v %q, %v; want %v %q, %v", k, rec.State, rec.Result, err, state, result, target)
			}
		}
		state("unknown", 0, "", nil)
		_ = idem.Do(ctx, g, "k", func(context.Context) error { state("k", idem.InFlight, "", nil); return errBroken })
		state("k", idem.Released, "", nil)
		_, _ = idem.DoValue(ctx, g, "k", func(context.Context) ([]byte, error) { return []byte("raw"), nil })
		state("k", idem.Done, "raw", nil)
		_ = idem.Do(ctx, g, "final", failing(idem.Final(errBroken)))
		state("final", idem.Done, "", idem.ErrRecorded)
		small := newGuard(t, m, idem.Config{MaxResult: 1})
		_, _ = idem.DoValue(ctx, small, "large", func(context.Context) (string, error) { return "too large", nil })
		state("large", idem.Done, "", idem.ErrNoResult)
		want(t, "an invalid key", func() error { _, err := g.Inspect(ctx, ""); return err }(), idem.ErrKey)
	})
}

func TestResolveLeavesWhatStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		g := newGuard(t, m, idem.Config{Wait: time.Minute})
		ctx := t.Context()
		err := idem.Do(ctx, g, "k", func(context.Context) error {
			_, err := g.Resolve(ctx, "k", "r", nil)
			want(t, "Resolve in flight", err, idem.ErrInFlight)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if rec, err := g.Resolve(ctx, "k", "another", nil); err != nil || rec.State != idem.Done || len(rec.Result) != 0 {
			t.Errorf("Resolve of a key that is done: %+v, %v; want what stands", rec, err)
		}
		if rec, err := g.Resolve(ctx, "unknown", "r", nil); err != nil || rec.State != 0 {
			t.Errorf("Resolve of an unknown key: %+v, %v", rec, err)
		}
		_, err = newGuard(t, m, idem.Config{MaxResult: 1}).Resolve(ctx, "k", "long", nil)
		want(t, "Resolve with too much", err, idem.ErrTooLarge)
		_, err = newGuard(t, m, idem.Config{Codec: brittle{marshal: true}}).Resolve(ctx, "k", "r", nil)
		want(t, "Resolve with what cannot be encoded", err, errBroken)

		// Nothing that the function returns is recorded as nothing.
		crash(t, m, "bare", nil)
		if _, err := g.Resolve(ctx, "bare", nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := run(t, g, "bare"); err != nil {
			t.Errorf("after Resolve without a result: %v", err)
		}
		bare := newGuard(t, &faulty{inner: m}, idem.Config{})
		if _, err := bare.Resolve(ctx, "k", nil, nil); err == nil {
			t.Error("Resolve over a store that is no Inspector succeeded")
		}
		if err := bare.Forget(ctx, "k"); err == nil {
			t.Error("Forget over a store that is no Inspector succeeded")
		}
	})
}
