package idem_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/idem"
	"example.com/once/idem/internal/model"
)

// lossy is a transactional store whose claims outside transactions can be made to fail.
type lossy struct {
	*model.Store

	fail func() error
}

func (s *lossy) Claim(ctx context.Context, c idem.Claim) (idem.Record, error) {
	if s.fail != nil {
		if err := s.fail(); err != nil {
			return idem.Record{}, err
		}
	}
	return s.Store.Claim(ctx, c)
}

func newTxGuard(t testing.TB, s idem.TxStore[*model.Tx], c idem.Config) *idem.TxGuard[*model.Tx] {
	t.Helper()
	g, err := idem.NewTx(s, c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// effects counts what functions wrote in transactions that were committed: each writes a key
// of its own.
type effects struct {
	s idem.TxStore[*model.Tx]
	n int
}

func (e *effects) write(t testing.TB, tx *model.Tx) {
	t.Helper()
	e.n++
	rec, err := e.s.With(tx).Claim(context.Background(), idem.Claim{Key: idem.NewKey("effect", strconv.Itoa(e.n)), Token: [16]byte{1}, Lease: time.Hour, Keep: time.Hour})
	if err != nil || rec.State != idem.Acquired {
		t.Errorf("effect %d: %v, %v", e.n, rec.State, err)
	}
}

func (e *effects) committed(t testing.TB) int {
	t.Helper()
	recs, err := e.s.(idem.Inspector).List(context.Background(), idem.Query{Limit: 1000, After: idem.NewKey("effect")})
	if err != nil {
		t.Error(err)
	}
	n := 0
	for _, rec := range recs {
		if strings.HasPrefix(string(rec.Lease.Key), string(idem.NewKey("effect"))) {
			n++
		}
	}
	return n
}

// charge is a function with an effect. Its result says which run it was.
func (e *effects) charge(t testing.TB) func(context.Context, *model.Tx) (string, error) {
	t.Helper()
	return func(_ context.Context, tx *model.Tx) (string, error) {
		e.write(t, tx)
		return fmt.Sprint("run ", e.n), nil
	}
}

func TestALostCommitIsSettledByItsRecord(t *testing.T) {
	unknown := fmt.Errorf("%w: connection lost at commit", idem.ErrUnknown)
	for _, c := range []struct {
		name    string
		applied bool
		effects int // in the end
	}{{"applied", true, 1}, {"not applied", false, 1}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ev events
				m := model.New(model.None)
				s := &lossy{Store: m}
				e := &effects{s: m}
				g := newTxGuard(t, s, idem.Config{Hooks: ev.hooks()})
				failures := 3 // of the connection, after the commit
				s.fail = func() error {
					if failures--; failures >= 0 {
						return errLost
					}
					return nil
				}
				m.OnCommit = func() (bool, error) { m.OnCommit = nil; return c.applied, unknown }
				var info idem.Info
				got, err := idem.DoTx(t.Context(), g, "k", e.charge(t), idem.Report(&info))
				switch {
				case c.applied && (got != "run 1" || err != nil || info.Replayed || info.Attempt != 1):
					t.Errorf("call: %q, %v, %+v; want its own result", got, err, info)
				case !c.applied:
					if err == nil || errors.Is(err, idem.ErrUnknown) || got != "" {
						t.Errorf("call: %q, %v; want an error that does not say unknown", got, err)
					}
					if sure, ok := errors.AsType[interface {
						error
						NoEffect() bool
					}](err); !ok || !sure.NoEffect() {
						t.Errorf("call: %v, which does not say that nothing happened", err)
					}
				}
				got, err = idem.DoTx(t.Context(), g, "k", e.charge(t), idem.Report(&info))
				if want := fmt.Sprint("run ", e.n); got != want || err != nil || info.Replayed != c.applied || info.Attempt != 1 {
					t.Errorf("later call: %q, %v, %+v; want %q", got, err, info, want)
				}
				if n := e.committed(t); n != c.effects {
					t.Errorf("%d effects, want %d", n, c.effects)
				}
				if c.applied {
					ev.want(t, "started k 1", "finished k 1: <nil>", "replayed k")
				}
			})
		})
	}
}

func TestACommitThatCannotBeSettledIsUnknown(t *testing.T) {
	for _, applied := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m := model.New(model.None)
			s := &lossy{Store: m, fail: func() error { return errLost }}
			e := &effects{s: m}
			g := newTxGuard(t, s, idem.Config{Settle: 3 * time.Second})
			m.OnCommit = func() (bool, error) { m.OnCommit = nil; return applied, fmt.Errorf("%w: gone", idem.ErrUnknown) }
			start := time.Now()
			got, err := idem.DoTx(t.Context(), g, "k", e.charge(t))
			want(t, "call", err, idem.ErrUnknown)
			if d := time.Since(start); got != "run 1" || d < 2*time.Second || d > 4*time.Second {
				t.Errorf("%q after %v; want the result beside the error, after about 3s", got, d)
			}
			s.fail = nil
			var info idem.Info
			if _, err = idem.DoTx(t.Context(), g, "k", e.charge(t), idem.Report(&info)); err != nil || info.Replayed != applied {
				t.Errorf("applied %v: later call: %v, %+v", applied, err, info)
			}
			if n := e.committed(t); n != 1 {
				t.Errorf("applied %v: %d effects, want 1", applied, n)
			}
		})
	}
}

// Whoever has the key after our commit was lost proves that it did not take place.
func TestALostCommitFindsSomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := model.New(model.None)
		other := newGuard(t, m, idem.Config{})
		e := &effects{s: m}
		var end chan<- error
		s := &lossy{Store: m}
		s.fail = func() error {
			if end == nil {
				s.fail = nil
				end, _ = slow(t, other, "k")
			}
			return nil
		}
		g := newTxGuard(t, s, idem.Config{})
		m.OnCommit = func() (bool, error) { m.OnCommit = nil; return false, fmt.Errorf("%w: gone", idem.ErrUnknown) }
		start := time.Now()
		_, err := idem.DoTx(t.Context(), g, "k", e.charge(t))
		if err == nil || errors.Is(err, idem.ErrUnknown) || time.Since(start) > time.Second {
			t.Errorf("%v after %v; want to know at once that nothing was committed", err, time.Since(start))
		}
		end <- nil
	})
}

func TestDoTxWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := model.New(model.None)
		e := &effects{s: m}
		g := newTxGuard(t, m, idem.Config{Wait: time.Minute})
		end, _ := slow(t, g.Guard, "k")
		start := time.Now()
		got := make(chan error)
		go func() {
			_, err := idem.DoTx(t.Context(), g, "k", e.charge(t))
			got <- err
		}()
		time.Sleep(5 * time.Second)
		end <- errBroken
		if err := <-got; err != nil || time.Since(start) > 5*time.Second+400*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if e.committed(t) != 1 {
			t.Errorf("%d effects", e.committed(t))
		}
		end, _ = slow(t, g.Guard, "l")
		start = time.Now()
		_, err := idem.DoTx(t.Context(), g, "l", e.charge(t), idem.WithWait(2*time.Second))
		want(t, "a wait that is over", err, idem.ErrInFlight)
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("it waited %v", d)
		}
		end <- nil
	})
}

func TestInATransactionThereIsNoUnknownOutcome(t *testing.T) {
	m := model.New(model.None)
	e := &effects{s: m}
	g := newTxGuard(t, m, idem.Config{})
	fail := func(err error) error {
		_, got := idem.DoTx(t.Context(), g, "k", func(_ context.Context, tx *model.Tx) (string, error) { e.write(t, tx); return "", err })
		return got
	}
	held := fail(idem.Hold(errBroken))
	want(t, "Hold", held, errBroken)
	if held == nil || !strings.Contains(held.Error(), "Hold has no meaning") {
		t.Errorf("Hold: %v, want to be told", held)
	}
	want(t, "Forget", fail(idem.Forget(errBroken)), errBroken)
	want(t, "any error", fail(errBroken), errBroken)
	_, err := idem.DoTx(t.Context(), g, "k", e.charge(t), idem.WithMode(idem.AtMostOnce))
	if err == nil || !strings.Contains(err.Error(), "WithMode(AtMostOnce)") {
		t.Errorf("AtMostOnce: %v, want to be told", err)
	}
	if e.committed(t) != 0 {
		t.Errorf("%d effects of runs that failed", e.committed(t))
	}
	var info idem.Info
	if _, err := idem.DoTx(t.Context(), g, "k", e.charge(t), idem.Report(&info)); err != nil || info.Attempt != 1 || e.committed(t) != 1 {
		t.Errorf("after all: %v, %+v, %d effects", err, info, e.committed(t))
	}
}

func TestDoTxThatDoesNotReturn(t *testing.T) {
	for name, away := range map[string]func(){"panic": func() { panic("boom") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			var ev events
			m := model.New(model.None)
			e := &effects{s: m}
			g := newTxGuard(t, m, idem.Config{Hooks: ev.hooks()})
			leave(func() {
				_, _ = idem.DoTx(t.Context(), g, "k", func(_ context.Context, tx *model.Tx) (string, error) { e.write(t, tx); away(); return "", nil })
				t.Error("it returned")
			})
			ev.want(t, "started k 1", "finished k 1: idem: the function panicked or ended its goroutine")
			if got, err := idem.DoTx(t.Context(), g, "k", e.charge(t)); got != "run 2" || err != nil || e.committed(t) != 1 {
				t.Errorf("the next call: %q, %v, %d effects", got, err, e.committed(t))
			}
		})
	}
}

func TestDoTxWithoutAResultToKeep(t *testing.T) {
	for name, c := range map[string]struct {
		config idem.Config
		max    int // of the store
		lack   error
	}{
		"too large for the Guard": {config: idem.Config{MaxResult: 3}, lack: idem.ErrTooLarge},
		"too large for the store": {max: 3, lack: idem.ErrTooLarge},
		"not encodable":           {config: idem.Config{Codec: brittle{marshal: true}}, lack: errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			m := model.New(model.None)
			m.MaxResult = c.max
			e := &effects{s: m}
			var finished error
			c.config.Hooks.Finished = func(_ context.Context, _ idem.Attempt, err error) { finished = err }
			// The kit's model limits results outside transactions only.
			g := newTxGuard(t, limited{m, c.max}, c.config)
			if got, err := idem.DoTx(t.Context(), g, "k", e.charge(t)); got != "run 1" || err != nil {
				t.Errorf("call: %q, %v; want its own result", got, err)
			}
			want(t, "hooks were told", finished, c.lack)
			_, err := idem.DoTx(t.Context(), g, "k", e.charge(t))
			want(t, "replay", err, idem.ErrNoResult)
			if e.committed(t) != 1 {
				t.Errorf("%d effects", e.committed(t))
			}
		})
	}
}

// limited limits results inside transactions.
type limited struct {
	*model.Store

	max int
}

func (s limited) With(tx *model.Tx) idem.Store {
	return limitedTx{s.Store.With(tx).(savepointStore), s.max}
}

type savepointStore interface {
	idem.Store
	idem.Savepointer
}

type limitedTx struct {
	savepointStore

	max int
}

func (s limitedTx) Complete(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (idem.Record, error) {
	if s.max > 0 && len(result) > s.max {
		return idem.Record{}, idem.ErrTooLarge
	}
	return s.savepointStore.Complete(ctx, l, result, keep)
}

func TestJoinTxIsTheCallersToCommit(t *testing.T) {
	var ev events
	m := model.New(model.None)
	e := &effects{s: m}
	g := newTxGuard(t, m, idem.Config{Wait: time.Hour, Hooks: ev.hooks()})
	join := func(end error, fnErr error) (got string, info idem.Info, err error) {
		txErr := m.InTx(t.Context(), func(tx *model.Tx) error {
			got, err = idem.JoinTx(t.Context(), g, tx, "k", func(ctx context.Context) (string, error) {
				if a, ok := idem.Current(ctx); !ok || a.Key != "k" || a.Number != 1 {
					t.Errorf("attempt %+v, %v", a, ok)
				}
				e.write(t, tx)
				want(t, "a call on the store inside", run2(ctx, g.Guard, "other"), idem.ErrNested)
				return "joined", fnErr
			}, idem.Report(&info))
			return end
		})
		if !errors.Is(txErr, end) {
			t.Errorf("InTx: %v", txErr)
		}
		return got, info, err
	}
	if got, _, err := join(errBroken, nil); got != "joined" || err != nil || e.committed(t) != 0 {
		t.Errorf("rolled back: %q, %v, %d effects", got, err, e.committed(t))
	}
	if got, _, err := join(nil, errBroken); got != "" || !errors.Is(err, errBroken) || e.committed(t) != 0 {
		t.Errorf("failed and committed: %q, %v, %d effects", got, err, e.committed(t))
	}
	if got, info, err := join(nil, nil); got != "joined" || err != nil || info.Replayed || e.committed(t) != 1 {
		t.Errorf("committed: %q, %v, %+v, %d effects", got, err, info, e.committed(t))
	}
	if got, info, err := join(nil, nil); got != "joined" || err != nil || !info.Replayed || e.committed(t) != 1 {
		t.Errorf("again: %q, %v, %+v, %d effects", got, err, info, e.committed(t))
	}
	ev.want(t,
		"started k 1", "refused other: idem: call inside the function it would wait for: a transaction on the same store is open; use JoinTx with it", "finished k 1: <nil>",
		"started k 1", "refused other: idem: call inside the function it would wait for: a transaction on the same store is open; use JoinTx with it", "finished k 1: broken",
		"started k 1", "refused other: idem: call inside the function it would wait for: a transaction on the same store is open; use JoinTx with it", "finished k 1: <nil>",
		"replayed k")
}

func TestJoinTxNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := model.New(model.None)
		g := newTxGuard(t, m, idem.Config{Wait: time.Hour})
		end, _ := slow(t, g.Guard, "k")
		start := time.Now()
		err := m.InTx(t.Context(), func(tx *model.Tx) error {
			_, err := idem.JoinTx(t.Context(), g, tx, "k", func(context.Context) (string, error) { t.Error("it ran"); return "", nil }, idem.WithWait(time.Hour))
			return err
		})
		want(t, "JoinTx of a key in flight", err, idem.ErrInFlight)
		if time.Since(start) != 0 {
			t.Errorf("it waited %v inside a transaction", time.Since(start))
		}
		end <- nil
	})
}

func TestParallelDoTxHasOneEffect(t *testing.T) {
	m := model.New(model.None)
	e := &effects{s: m} // not locked: transactions come one after the other
	g := newTxGuard(t, m, idem.Config{})
	for round := range 50 {
		k := idem.NewKey("k", strconv.Itoa(round))
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if got, err := idem.DoTx(t.Context(), g, k, e.charge(t)); err != nil || got != fmt.Sprint("run ", round+1) {
					t.Errorf("round %d: %q, %v", round, got, err)
				}
			})
		}
		wg.Wait()
	}
	if e.committed(t) != 50 || e.n != 50 {
		t.Errorf("%d runs, %d effects; want 50", e.n, e.committed(t))
	}
}
