package idem_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/idem"
	"example.com/once/idem/internal/model"
)

// workflow is a function of four steps that counts how often each ran. It fails before the
// step that fail names.
type workflow struct {
	ran  map[string]int
	fail string
}

func (w *workflow) run(ctx context.Context) (string, error) {
	var all []string
	for _, name := range []string{"charge", "label", "mail", "note"} {
		if w.fail == name {
			return "", errBroken
		}
		got, err := idem.Step(ctx, name, func(ctx context.Context) (string, error) {
			w.ran[name]++
			a, _ := idem.Current(ctx)
			return fmt.Sprintf("%s of attempt %d", name, a.Number), nil
		})
		if err != nil {
			return "", err
		}
		all = append(all, got)
	}
	return strings.Join(all, ", "), nil
}

func (w *workflow) want(t *testing.T, ran string) {
	t.Helper()
	if got := fmt.Sprint(w.ran); got != "map["+ran+"]" {
		t.Errorf("steps ran %s, want %s", got, ran)
	}
}

func TestFinishedStepsAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		g := newGuard(t, m, idem.Config{})
		w := &workflow{ran: map[string]int{}, fail: "mail"}
		_, err := idem.DoValue(t.Context(), g, "k", w.run)
		want(t, "first attempt", err, errBroken)
		w.want(t, "charge:1 label:1")
		rec, err := g.Inspect(t.Context(), "k")
		if err != nil || rec.State != idem.Released || string(rec.Progress.Data) != "charge\nlabel" {
			t.Errorf("Inspect: %v %q, %v", rec.State, rec.Progress.Data, err)
		}
		w.fail = "note"
		_, err = idem.DoValue(t.Context(), newGuard(t, m, idem.Config{}), "k", w.run) // another process
		want(t, "second attempt", err, errBroken)
		w.want(t, "charge:1 label:1 mail:1")
		w.fail = ""
		for range 2 {
			got, err := idem.DoValue(t.Context(), g, "k", w.run)
			if err != nil || got != "charge of attempt 1, label of attempt 1, mail of attempt 2, note of attempt 3" {
				t.Errorf("got %q, %v", got, err)
			}
		}
		w.want(t, "charge:1 label:1 mail:1 note:1")
	})
}

// A caller who leaves while a result is being kept loses nothing.
func TestAStepIsKeptWhenTheCallerHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, &faulty{inner: &idem.Memory{}, renew: slowly}, idem.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		ran := 0
		step := func(ctx context.Context) error {
			_, err := idem.Step(ctx, "s", func(context.Context) (int, error) { ran++; cancel(); return 1, nil })
			return err
		}
		err := idem.Do(ctx, g, "k", func(ctx context.Context) error {
			if err := step(ctx); err != nil {
				t.Error(err)
			}
			return errBroken
		})
		want(t, "first attempt", err, errBroken)
		if err := idem.Do(t.Context(), g, "k", step); err != nil || ran != 1 {
			t.Errorf("second attempt: %v, %d runs", err, ran)
		}
	})
}

func TestStepsSurviveACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		never := make(chan struct{})
		dies := newGuard(t, &faulty{inner: m, release: until(never)}, idem.Config{Lease: time.Second, Settle: time.Second})
		first := &workflow{ran: map[string]int{}}
		go leave(func() {
			_ = idem.Do(t.Context(), dies, "k", func(ctx context.Context) error {
				first.fail = "mail"
				_, _ = first.run(ctx)
				panic("the process dies") // and its release never reaches the store
			})
		})
		time.Sleep(time.Minute)
		second := &workflow{ran: map[string]int{}}
		got, err := idem.DoValue(t.Context(), newGuard(t, m, idem.Config{}), "k", second.run)
		if err != nil || got != "charge of attempt 1, label of attempt 1, mail of attempt 2, note of attempt 2" {
			t.Errorf("got %q, %v", got, err)
		}
		second.want(t, "mail:1 note:1")
		close(never)
		time.Sleep(time.Minute)
	})
}

func TestAStepIsKeptThoughAcknowledgementsAreLost(t *testing.T) {
	for name, renew := range map[string]fault{"lost before": before(3), "lost after": after(3), "hangs": hang(1)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuard(t, &faulty{inner: &idem.Memory{}, renew: renew}, idem.Config{})
				w := &workflow{ran: map[string]int{}, fail: "label"}
				start := time.Now()
				_, err := idem.DoValue(t.Context(), g, "k", w.run)
				want(t, "first attempt", err, errBroken)
				if d := time.Since(start); d > 7*time.Second {
					t.Errorf("it took %v, want a hanging save to be given up after a fifth of the lease", d)
				}
				w.fail = ""
				if _, err := idem.DoValue(t.Context(), g, "k", w.run); err != nil {
					t.Error(err)
				}
				w.want(t, "charge:1 label:1 mail:1 note:1")
			})
		})
	}
}

func TestAStepThatCannotBeKeptSaysSo(t *testing.T) {
	step := func(ctx context.Context) (string, error) {
		return idem.Step(ctx, "s", func(context.Context) (string, error) { return "r", nil })
	}
	t.Run("store unreachable", func(t *testing.T) {
		for name, renew := range map[string]fault{"fails": before(always), "hangs": hang(always)} {
			synctest.Test(t, func(t *testing.T) {
				g := newGuard(t, &faulty{inner: &idem.Memory{}, renew: renew}, idem.Config{Lease: 30 * time.Second})
				start := time.Now()
				err := idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
					got, err := step(ctx)
					if got != "r" {
						t.Errorf("%s: got %q, want the result beside the error", name, got)
					}
					want(t, "step", err, idem.ErrLeaseLost)
					want(t, "cause", context.Cause(ctx), idem.ErrLeaseLost)
					return err
				})
				want(t, "call", err, idem.ErrLeaseLost)
				if d := time.Since(start); d < 25*time.Second || d > 40*time.Second {
					t.Errorf("%s: it tried for %v, want about as long as the lease lasts", name, d)
				}
			})
		}
	})
	t.Run("taken over", func(t *testing.T) {
		m := &idem.Memory{}
		g := newGuard(t, m, idem.Config{})
		_ = idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
			if err := g.Forget(ctx, "k"); err != nil {
				t.Error(err)
			}
			_, err := step(ctx)
			want(t, "step", err, idem.ErrLeaseLost)
			want(t, "cause", context.Cause(ctx), idem.ErrLeaseLost)
			_, err = idem.Step(ctx, "next", func(context.Context) (string, error) { t.Error("the next step ran"); return "", nil })
			want(t, "next step", err, idem.ErrLeaseLost)
			return nil
		})
	})
	t.Run("no room", func(t *testing.T) {
		g := newGuard(t, &idem.Memory{MaxBytes: 1000}, idem.Config{})
		err := idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
			_, err := idem.Step(ctx, "s", func(context.Context) ([]byte, error) { return make([]byte, 2000), nil })
			want(t, "step", err, idem.ErrTooLarge)
			return context.Cause(ctx)
		})
		if err != nil {
			t.Errorf("the run: %v, want it to go on", err)
		}
	})
	t.Run("codec", func(t *testing.T) {
		g := newGuard(t, &idem.Memory{}, idem.Config{Codec: brittle{marshal: true}})
		_ = idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
			got, err := step(ctx)
			want(t, "step", err, errBroken)
			if got != "r" {
				t.Errorf("got %q", got)
			}
			return nil
		})
	})
}

func TestStepsThatFailAreNotKept(t *testing.T) {
	g := newGuard(t, &idem.Memory{}, idem.Config{})
	ran := 0
	fail := errBroken
	call := func(ctx context.Context) error {
		_, err := idem.Step(ctx, "s", func(context.Context) (int, error) { ran++; return ran, fail })
		return err
	}
	want(t, "first attempt", idem.Do(t.Context(), g, "k", call), errBroken)
	leave(func() {
		_ = idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
			func() {
				defer func() { _ = recover() }()
				_, _ = idem.Step(ctx, "s", func(context.Context) (int, error) { ran++; panic("boom") })
			}()
			// The name is free again.
			_, err := idem.Step(ctx, "s", func(context.Context) (int, error) { ran++; return 0, errBroken })
			return err
		})
	})
	fail = nil
	if err := idem.Do(t.Context(), g, "k", call); err != nil || ran != 4 {
		t.Errorf("%v after %d runs of the step, want 4", err, ran)
	}
	_ = idem.Do(t.Context(), g, "final", func(ctx context.Context) error {
		_, err := idem.Step(ctx, "s", func(context.Context) (int, error) { return 0, idem.Final(errBroken) })
		return err
	})
	want(t, "after a Final step", run(t, g, "final"), idem.ErrRecorded)
}

func TestStepsInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const steps = 50
		var inFlight, most, seq atomic.Int64
		s := &faulty{inner: &idem.Memory{}}
		s.renew = func(_ context.Context, _ int, act func() error) error {
			most.Store(max(most.Load(), inFlight.Add(1)))
			defer inFlight.Add(-1)
			time.Sleep(10 * time.Millisecond)
			return act()
		}
		g := newGuard(t, progressive{s, &seq, t}, idem.Config{})
		var ran atomic.Int64
		call := func(ctx context.Context) error {
			var wg sync.WaitGroup
			for i := range 2 * steps { // two of each name
				wg.Go(func() {
					got, err := idem.Step(ctx, strconv.Itoa(i%steps), func(context.Context) (int, error) { ran.Add(1); return i % steps, nil })
					if got != i%steps || err != nil {
						t.Errorf("step %d: %d, %v", i, got, err)
					}
				})
			}
			wg.Wait()
			return errBroken
		}
		for range 2 {
			want(t, "call", idem.Do(t.Context(), g, "k", call), errBroken)
		}
		if ran.Load() != steps {
			t.Errorf("%d runs of %d steps", ran.Load(), steps)
		}
		if most.Load() != 1 || s.renewals.Load() > 5 {
			t.Errorf("%d saves, up to %d at a time; want few, one after the other", s.renewals.Load(), most.Load())
		}
	})
}

// progressive checks that saves come in order.
type progressive struct {
	*faulty

	seq *atomic.Int64
	t   *testing.T
}

func (p progressive) Renew(ctx context.Context, l idem.Lease, d time.Duration, pr *idem.Progress) error {
	if pr != nil && pr.Seq <= p.seq.Swap(pr.Seq) {
		p.t.Errorf("save %d came after a later one", pr.Seq)
	}
	return p.faulty.Renew(ctx, l, d, pr)
}

// A save renews the lease: steps that come often enough need no other renewal.
func TestASaveRenewsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lease = 30 * time.Second
		s := &faulty{inner: &idem.Memory{}}
		g := newGuard(t, s, idem.Config{Lease: lease})
		err := idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
			for i := range 20 {
				if _, err := idem.Step(ctx, strconv.Itoa(i), func(context.Context) (struct{}, error) { return struct{}{}, nil }); err != nil {
					return err
				}
				time.Sleep(lease/3 - time.Second)
			}
			if n := s.renewals.Load(); n != 20 {
				t.Errorf("%d renewals for 20 steps", n)
			}
			time.Sleep(2 * lease) // the usual ones go on
			if n := s.renewals.Load(); n < 25 || n > 27 {
				t.Errorf("%d renewals, want six more in two leases", n)
			}
			return context.Cause(ctx)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// A renewal that hangs does not stop a function whose steps have renewed the lease.
func TestASaveOutdoesARenewalThatHangs(t *testing.T) {
	for name, deafness := range map[string]bool{"listens": false, "is deaf": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const lease = 30 * time.Second
				s := &faulty{inner: &idem.Memory{}}
				var hung atomic.Bool
				g := newGuard(t, selective{s, func(ctx context.Context, p *idem.Progress) bool {
					if p != nil || !hung.CompareAndSwap(false, true) {
						return false
					}
					if deafness {
						time.Sleep(5 * lease)
					} else {
						<-ctx.Done()
					}
					return true
				}}, idem.Config{Lease: lease})
				err := idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
					time.Sleep(lease / 2) // the renewal hangs
					if _, err := idem.Step(ctx, "s", func(context.Context) (int, error) { return 1, nil }); err != nil {
						return err
					}
					time.Sleep(10 * lease)
					return context.Cause(ctx)
				})
				if err != nil {
					t.Errorf("%v, want the run to go on", err)
				}
				if !hung.Load() || s.renewals.Load() < 25 {
					t.Errorf("%d renewals in ten leases", s.renewals.Load())
				}
			})
		})
	}
}

// selective loses the renewals that lose says.
type selective struct {
	*faulty

	lose func(context.Context, *idem.Progress) bool
}

func (s selective) Renew(ctx context.Context, l idem.Lease, d time.Duration, p *idem.Progress) error {
	if s.lose(ctx, p) {
		return errLost
	}
	return s.faulty.Renew(ctx, l, d, p)
}

func TestStepsWhereThereIsNothingToKeep(t *testing.T) {
	step := func(ctx context.Context) (int, error) {
		return idem.Step(ctx, "s", func(context.Context) (int, error) { return 1, nil })
	}
	if got, err := step(t.Context()); got != 0 || err == nil || !strings.Contains(err.Error(), "no run") {
		t.Errorf("outside of a run: %d, %v", got, err)
	}
	m := model.New(model.None)
	g := newTxGuard(t, m, idem.Config{})
	later := make(chan context.Context, 1)
	for range 2 {
		got, err := idem.DoTx(t.Context(), g, "k", func(ctx context.Context, _ *model.Tx) (int, error) {
			later <- ctx
			return step(ctx)
		})
		if got != 1 || err != nil {
			t.Errorf("in a transaction: %d, %v", got, err)
		}
	}
	if _, err := step(<-later); err == nil {
		t.Error("after the transaction's end it ran")
	}
	_ = idem.Do(t.Context(), g.Guard, "do", func(ctx context.Context) error { later <- context.WithoutCancel(ctx); return nil })
	if _, err := step(<-later); err == nil {
		t.Error("after the run's end it ran")
	}
}

func TestStepWaitsForItsNamesakeAsLongAsItsContextAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, &idem.Memory{}, idem.Config{})
		err := idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
			end, over := make(chan struct{}), make(chan error)
			go func() {
				_, err := idem.Step(ctx, "s", func(context.Context) (int, error) { <-end; return 1, nil })
				over <- err
			}()
			synctest.Wait()
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := idem.Step(short, "s", func(context.Context) (int, error) { t.Error("it ran twice"); return 0, nil })
			want(t, "the impatient one", err, context.DeadlineExceeded)
			close(end)
			return <-over
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// Steps of an earlier attempt that cannot be read must not run again as if they never had.
func TestDamagedProgressStopsTheSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		for name, data := range map[string]string{"another release": "\x07", "cut": "\x01\x05ab", "twice": "\x01\x01a\x02\x010\x01a\x02\x010"} {
			k := idem.Key(name)
			rec, err := m.Claim(t.Context(), idem.Claim{Key: k, Token: [16]byte{1}, Lease: time.Hour, Keep: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Renew(t.Context(), rec.Lease, time.Second, &idem.Progress{Seq: 1, Data: []byte(data)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			g := newGuard(t, m, idem.Config{})
			if _, err := g.Inspect(t.Context(), k); err == nil {
				t.Errorf("%s: Inspect shows it", name)
			}
			err = idem.Do(t.Context(), g, k, func(ctx context.Context) error {
				_, err := idem.Step(ctx, "s", func(context.Context) (int, error) { t.Errorf("%s: the step ran", name); return 0, nil })
				return err
			})
			if err == nil || !strings.Contains(err.Error(), "cannot be read") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A step inside itself would wait for its own end.
func TestStepInsideItselfIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, &idem.Memory{}, idem.Config{})
		step := idem.Step[int]
		one := func(context.Context) (int, error) { return 1, nil }
		for _, name := range []string{"a", "b", "c"} {
			_, err := idem.DoValue(t.Context(), g, idem.NewKey("nested", name), func(ctx context.Context) (int, error) {
				return step(ctx, "a", func(ctx context.Context) (int, error) {
					return step(ctx, "b", func(ctx context.Context) (int, error) { return step(ctx, name, one) })
				})
			})
			if name == "c" {
				want(t, "another name", err, nil)
			} else {
				want(t, "the name of a step around it", err, idem.ErrNested)
			}
		}
	})
}
