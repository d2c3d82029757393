package idem_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/idem"
	"example.com/once/idem/internal/model"
)

const cacheSize = 1 << 20

// asked says how often a store was asked to claim while f ran.
func asked(s *faulty, f func()) int64 {
	before := s.claims.Load()
	f()
	return s.claims.Load() - before
}

func TestACachedReplayDoesNotAskTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ev events
		m := &idem.Memory{}
		s := &faulty{inner: m}
		here, there := newGuard(t, s, idem.Config{Cache: cacheSize, Hooks: ev.hooks()}), newGuard(t, m, idem.Config{})
		replay := func(k idem.Key, outcome string, target error) {
			t.Helper()
			var info idem.Info
			got, err := idem.DoValue(t.Context(), here, k, func(context.Context) (string, error) { t.Errorf("%q ran", k); return "", nil }, idem.Report(&info))
			if got != outcome || !errors.Is(err, target) || !info.Replayed || info.Attempt != 1 || info.Fence <= 0 {
				t.Errorf("%q: %q, %v, %+v; want a replay of %q, %v", k, got, err, info, outcome, target)
			}
		}
		value := func(context.Context) (string, error) { return "r", nil }
		// What ran here, and what was replayed here once.
		_, _ = idem.DoValue(t.Context(), here, "ran here", value)
		_, _ = idem.DoValue(t.Context(), there, "ran there", value)
		replay("ran there", "r", nil)
		_ = idem.Do(t.Context(), here, "failed", failing(idem.Final(errBroken)))
		_, _ = idem.DoValue(t.Context(), newGuard(t, m, idem.Config{MaxResult: 1}), "no result", func(context.Context) (string, error) { return "long", nil })
		replay("no result", "", idem.ErrNoResult)
		ev.all = nil
		n := asked(s, func() {
			replay("ran here", "r", nil)
			replay("ran there", "r", nil)
			replay("failed", "", idem.ErrRecorded)
			replay("no result", "", idem.ErrNoResult)
		})
		if n != 0 {
			t.Errorf("the store was asked %d times", n)
		}
		ev.want(t, "replayed ran here", "replayed ran there", "replayed failed", "replayed no result")
		// What is not done is nobody's to remember.
		_ = idem.Do(t.Context(), here, "released", failing(errBroken))
		if n := asked(s, func() { _ = run(t, here, "released") }); n != 1 {
			t.Errorf("a released key: the store was asked %d times, want once", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		want(t, "a call whose caller has left", run2(ctx, here, "ran here"), context.Canceled)
	})
}

func TestACachedEntryIsBoundToItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty{inner: &idem.Memory{}}
		g := newGuard(t, s, idem.Config{Cache: cacheSize})
		mine, yours := idem.WithFingerprint([]byte("mine")), idem.WithFingerprint([]byte("yours"))
		_ = run(t, g, "bound", mine)
		_ = run(t, g, "free")
		n := asked(s, func() {
			want(t, "another request", run(t, g, "bound", yours), idem.ErrMismatch)
			for _, opts := range [][]idem.CallOption{{mine}, {}} {
				if err := run(t, g, "bound", opts...); err != nil {
					t.Error(err)
				}
			}
			if err := run(t, g, "free", yours); err != nil {
				t.Errorf("a key without a fingerprint: %v", err)
			}
		})
		if n != 0 {
			t.Errorf("the store was asked %d times", n)
		}
	})
}

// An entry never outlives the retention, nor is it believed for longer than a minute.
func TestCachedEntriesEnd(t *testing.T) {
	for name, c := range map[string]struct{ keep, wait time.Duration }{
		"a short retention": {40 * time.Second, 40 * time.Second}, "a long one": {24 * time.Hour, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// Answers take a second, which counts from before they were asked for.
				s := &faulty{inner: &idem.Memory{}, complete: slowAnswer, claim: slowAnswer}
				g := newGuard(t, s, idem.Config{Cache: cacheSize, Keep: c.keep})
				for range 2 { // by a run, and by a replay or another run
					if err := run(t, g, "k"); err != nil {
						t.Fatal(err)
					}
					asked0 := time.Now().Add(-time.Second)
					time.Sleep(c.wait - time.Since(asked0) - time.Nanosecond)
					if n := asked(s, func() { _ = run(t, g, "k") }); n != 0 {
						t.Error("an entry ended early")
					}
					time.Sleep(time.Nanosecond)
					start := time.Now()
					var info idem.Info
					if n := asked(s, func() { _ = run(t, g, "k", idem.Report(&info)) }); n != 1 {
						t.Errorf("an entry was believed after %v", c.wait)
					}
					if info.Replayed != (c.keep > time.Hour) {
						t.Errorf("%+v after %v", info, time.Since(start))
					}
				}
			})
		})
	}
}

// slowAnswer acts at once and answers a second later.
func slowAnswer(_ context.Context, _ int, act func() error) error {
	err := act()
	time.Sleep(time.Second)
	return err
}

func TestForgettingAKeyForgetsItsEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		here, there := newGuard(t, m, idem.Config{Cache: cacheSize}), newGuard(t, m, idem.Config{})
		attempts := func() (info idem.Info) {
			if err := run(t, here, "k", idem.Report(&info)); err != nil {
				t.Error(err)
			}
			return info
		}
		attempts()
		if err := here.Forget(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if info := attempts(); info.Replayed {
			t.Error("a key that was forgotten here is replayed")
		}
		if err := there.Forget(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if info := attempts(); info.Replayed {
			t.Error("a key that was forgotten elsewhere is replayed after a minute")
		}
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	s := &faulty{inner: &idem.Memory{}}
	g := newGuard(t, s, idem.Config{Cache: 64 << 10})
	value := func(context.Context) ([]byte, error) { return make([]byte, 500), nil }
	const keys = 1000
	all := func() int64 {
		return asked(s, func() {
			for i := range keys {
				if _, err := idem.DoValue(t.Context(), g, idem.NewKey("k", strconv.Itoa(i)), value); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	all()
	kept := 0
	for i := range keys {
		if asked(s, func() { _, _ = idem.DoValue(t.Context(), g, idem.NewKey("k", strconv.Itoa(keys-1-i)), value) }) == 0 {
			kept++
		}
	}
	if kept < 30 || kept > 64<<10/500 {
		t.Errorf("%d of 64 KiB fit, with 500 bytes and their bookkeeping each", kept)
	}
	// A key in use stays.
	_ = run(t, g, "hot")
	n := asked(s, func() {
		for i := range keys {
			_, _ = idem.DoValue(t.Context(), g, idem.NewKey("l", strconv.Itoa(i)), value)
			_ = run(t, g, "hot")
		}
	})
	if n != keys {
		t.Errorf("the store was asked %d times for %d new keys and one in use", n, keys)
	}
	// What does not fit is not kept, and pushes nothing out.
	large := func(context.Context) ([]byte, error) { return make([]byte, 64<<10), nil }
	_, _ = idem.DoValue(t.Context(), g, "large", large)
	if n := asked(s, func() { _, _ = idem.DoValue(t.Context(), g, "large", large) }); n != 1 {
		t.Errorf("an entry as large as the cache: the store was asked %d times", n)
	}
	for _, size := range []int64{-1, 1, 64<<10 - 1} {
		if _, err := idem.New(&idem.Memory{}, idem.Config{Cache: size}); err == nil {
			t.Errorf("a cache of %d bytes was accepted", size)
		}
	}
}

// Those who waited in this process are answered without asking the store again.
func TestWaitersAreAnsweredFromTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const waiters = 50
		s := &faulty{inner: &idem.Memory{}}
		g := newGuard(t, s, idem.Config{Cache: cacheSize, Wait: time.Minute})
		end, over := slow(t, g, "k")
		var wg sync.WaitGroup
		for range waiters {
			wg.Go(func() {
				if err := run(t, g, "k"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		n := asked(s, func() {
			end <- nil
			wg.Wait()
		})
		if n > 1 { // of the one that was polling
			t.Errorf("the store was asked %d times by %d waiters", n, waiters)
		}
		<-over
	})
}

// counting counts transactions.
type counting struct {
	*model.Store

	n int
}

func (s *counting) InTx(ctx context.Context, fn func(*model.Tx) error) error {
	s.n++
	return s.Store.InTx(ctx, fn)
}

func TestTransactionsAndTheCache(t *testing.T) {
	m := &counting{Store: model.New(model.None)}
	e := &effects{s: m}
	g := newTxGuard(t, m, idem.Config{Cache: cacheSize})
	for range 3 {
		if got, err := idem.DoTx(t.Context(), g, "k", e.charge(t)); got != "run 1" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if m.n != 1 {
		t.Errorf("%d transactions for one run and two replays", m.n)
	}
	join := func(end error) (info idem.Info) {
		_ = m.InTx(t.Context(), func(tx *model.Tx) error {
			for range 2 { // the second sees the first, which is not committed
				if _, err := idem.JoinTx(t.Context(), g, tx, "joined", func(context.Context) (string, error) { return "r", nil }, idem.Report(&info)); err != nil {
					t.Error(err)
				}
			}
			return end
		})
		_, err := idem.DoTx(t.Context(), g, "joined", func(context.Context, *model.Tx) (string, error) { return "after", errBroken }, idem.Report(&info))
		if end == nil && err != nil || end != nil && !errors.Is(err, errBroken) {
			t.Errorf("after JoinTx that ended with %v: %v", end, err)
		}
		return info
	}
	if info := join(errBroken); info.Replayed {
		t.Error("a record that was rolled back is replayed")
	}
	if info := join(nil); !info.Replayed {
		t.Error("a record that was committed is not replayed")
	}
	// A failed commit is nothing to remember.
	m.OnCommit = func() (bool, error) { return false, errBroken }
	_, err := idem.DoTx(t.Context(), g, "failed", e.charge(t))
	want(t, "a commit that failed", err, errBroken)
	m.OnCommit = nil
	var info idem.Info
	if _, err := idem.DoTx(t.Context(), g, "failed", e.charge(t), idem.Report(&info)); err != nil || info.Replayed {
		t.Errorf("after it: %v, %+v", err, info)
	}
	// JoinTx may be answered from what is known to be committed.
	_ = m.InTx(t.Context(), func(tx *model.Tx) error {
		got, err := idem.JoinTx(t.Context(), g, tx, "k", func(context.Context) (string, error) { return "ran", nil })
		if got != "run 1" || err != nil {
			t.Errorf("JoinTx: %q, %v", got, err)
		}
		return nil
	})
}

func TestTheCacheUnderConcurrency(t *testing.T) {
	g := newGuard(t, &idem.Memory{}, idem.Config{Cache: 64 << 10, Wait: time.Minute})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 3000 {
				k := idem.NewKey("k", strconv.Itoa((i*7+w)%300))
				got, err := idem.DoValue(t.Context(), g, k, func(context.Context) ([]byte, error) { return []byte(k), nil })
				if string(got) != string(k) || err != nil {
					t.Errorf("%q: %q, %v", k, got, err)
				}
				if i%50 == 0 {
					if err := g.Forget(t.Context(), k); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkReplay(b *testing.B) {
	for name, size := range map[string]int64{"cached": cacheSize, "memory": 0} {
		b.Run(name, func(b *testing.B) {
			g := newGuard(b, &idem.Memory{}, idem.Config{Cache: size})
			fn := func(context.Context) ([]byte, error) { return make([]byte, 256), nil }
			b.ReportAllocs()
			for b.Loop() {
				if _, err := idem.DoValue(b.Context(), g, "k", fn); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
