package idem_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/idem"
	"example.com/once/idem/internal/model"
)

func TestConfigErrorsNameTheField(t *testing.T) {
	for _, c := range []struct {
		config idem.Config
		field  string
	}{
		{idem.Config{Lease: -1}, "Lease"},
		{idem.Config{Lease: time.Microsecond}, "Lease"},
		{idem.Config{Keep: -time.Second}, "Keep"},
		{idem.Config{Keep: time.Second}, "Keep"}, // shorter than the default lease
		{idem.Config{Lease: time.Hour, Keep: time.Minute}, "Keep"},
		{idem.Config{Wait: -time.Second}, "Wait"},
		{idem.Config{Settle: -time.Second}, "Settle"},
		{idem.Config{Mode: 7}, "Mode"},
	} {
		_, err := idem.New(&idem.Memory{}, c.config)
		if err == nil || !strings.HasPrefix(err.Error(), "idem: Config."+c.field+" ") {
			t.Errorf("%+v: %v; want an error that names %s", c.config, err, c.field)
		}
		if _, err := idem.NewTx(model.New(model.None), c.config); err == nil || !strings.Contains(err.Error(), "Config."+c.field) {
			t.Errorf("NewTx, %+v: %v; want an error that names %s", c.config, err, c.field)
		}
	}
	for name, err := range map[string]error{
		"no store":                      second(idem.New(nil, idem.Config{})),
		"no transactional store":        second(idem.NewTx[int](nil, idem.Config{})),
		"Config.Mode: AtMostOnce needs": second(idem.New(&faulty{}, idem.Config{Mode: idem.AtMostOnce})),
		"Config.Mode is AtMostOnce":     second(idem.NewTx(model.New(model.None), idem.Config{Mode: idem.AtMostOnce})),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "idem: ") || strings.HasPrefix(name, "Config") && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []idem.Config{
		{}, {Lease: time.Millisecond}, {Lease: 48 * time.Hour}, {Lease: time.Hour, Keep: time.Hour},
		{MaxWaiters: -1, MaxResult: -1, SweepEvery: -1}, {Mode: idem.AtMostOnce},
		{Lease: 1<<63 - 1, Keep: 1<<63 - 1, Wait: 1<<63 - 1, Settle: 1<<63 - 1},
	} {
		g, err := idem.New(&idem.Memory{}, c)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		for range 2 {
			if err := run(t, g, "k"); err != nil {
				t.Errorf("%+v: %v", c, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestCallsAreChecked(t *testing.T) {
	s := &faulty{inner: &idem.Memory{}}
	g := newGuard(t, s, idem.Config{})
	for name, k := range map[string]idem.Key{"empty": "", "long": idem.Key(strings.Repeat("x", idem.MaxKey+1))} {
		want(t, name, run(t, g, k), idem.ErrKey)
	}
	for what, err := range map[string]error{
		"WithMode: unknown mode 9":   run(t, g, "k", idem.WithMode(9)),
		"WithMode: AtMostOnce needs": run(t, g, "k", idem.WithMode(idem.AtMostOnce)),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want an error that says %q", err, what)
		}
	}
	if n := s.claims.Load(); n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
	if err := run(t, g, idem.Key(strings.Repeat("x", idem.MaxKey))); err != nil {
		t.Errorf("the longest key: %v", err)
	}
}

func TestCurrentAndSubKey(t *testing.T) {
	if a, ok := idem.Current(t.Context()); ok {
		t.Errorf("outside a run: %+v", a)
	}
	g := newGuard(t, &idem.Memory{}, idem.Config{})
	type ownKey struct{}
	ctx := context.WithValue(t.Context(), ownKey{}, "own")
	err := idem.Do(ctx, g, "k", func(ctx context.Context) error {
		child, cancel := context.WithCancel(context.WithValue(ctx, ownKey{}, "shadowed"))
		defer cancel()
		for _, ctx := range []context.Context{ctx, child, context.WithoutCancel(child)} {
			if a, ok := idem.Current(ctx); !ok || a.Key != "k" || a.Number != 1 || a.Fence <= 0 {
				t.Errorf("inside: %+v, %v", a, ok)
			}
		}
		if ctx.Value(ownKey{}) != "own" {
			t.Error("the caller's values are hidden")
		}
		return idem.Do(ctx, g, "inner", func(ctx context.Context) error {
			if a, _ := idem.Current(ctx); a.Key != "inner" {
				t.Errorf("innermost: %+v", a)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, k := range []idem.Key{"k", "k1", "l", "1:k"} {
		for _, name := range []string{"", "charge", "1charge", "refund", "k"} {
			sub := idem.Attempt{Key: k, Number: 3, Fence: 9}.SubKey(name)
			if sub != (idem.Attempt{Key: k}).SubKey(name) {
				t.Errorf("%q, %q: it depends on the attempt", k, name)
			}
			if len(sub) != 36 || sub[14] != '5' {
				t.Errorf("%q: not a version 5 UUID", sub)
			}
			if other, ok := seen[sub]; ok {
				t.Errorf("%q and %q share a sub-key", other, fmt.Sprint(k, name))
			}
			seen[sub] = fmt.Sprint(k, name)
		}
	}
	// Sub-keys outlive releases: a service downstream remembers them.
	if got := (idem.Attempt{Key: "k"}).SubKey("charge"); got != "0143f759-ab7c-537c-aba4-c251154c7f78" {
		t.Errorf("the sub-key has changed: %s", got)
	}
}

func TestNestedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		g, same, other := newGuard(t, m, idem.Config{Wait: time.Hour}), newGuard(t, m, idem.Config{Wait: time.Hour}), newGuard(t, &idem.Memory{}, idem.Config{})
		start := time.Now()
		var after context.Context
		err := idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
			want(t, "the same key", run2(ctx, g, "k"), idem.ErrNested)
			want(t, "the same key, another guard over the store", run2(ctx, same, "k"), idem.ErrNested)
			err := idem.Do(ctx, g, "inner", func(ctx context.Context) error {
				want(t, "the outer key, two levels deep", run2(ctx, g, "k"), idem.ErrNested)
				return nil
			})
			after = context.WithoutCancel(ctx)
			return errors.Join(err, run2(ctx, other, "k"))
		})
		if err != nil || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		// What a run has started in the background may outlive it.
		if err := run2(after, g, "k"); err != nil {
			t.Errorf("with the context of a run that is over: %v", err)
		}
	})
}

func run2(ctx context.Context, g *idem.Guard, k idem.Key) error {
	return idem.Do(ctx, g, k, func(context.Context) error { return nil })
}

// events records hooks as text.
type events struct {
	mu  sync.Mutex
	all []string
}

func (e *events) hooks() idem.Hooks {
	note := func(format string, args ...any) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all = append(e.all, fmt.Sprintf(format, args...))
	}
	return idem.Hooks{
		Replayed: func(_ context.Context, k idem.Key) { note("replayed %s", k) },
		Refused:  func(_ context.Context, k idem.Key, err error) { note("refused %s: %v", k, err) },
		Started: func(ctx context.Context, a idem.Attempt) {
			if c, ok := idem.Current(ctx); !ok || c != a {
				note("the context does not know the attempt")
			}
			note("started %s %d", a.Key, a.Number)
		},
		Finished: func(ctx context.Context, a idem.Attempt, err error) {
			if ctx.Err() != nil {
				note("the context has ended")
			}
			note("finished %s %d: %v", a.Key, a.Number, err)
		},
	}
}

func (e *events) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(e.all, want) {
		t.Errorf("hooks told\n\t%s\nwant\n\t%s", strings.Join(e.all, "\n\t"), strings.Join(want, "\n\t"))
	}
	e.all = nil
}

func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		s := &faulty{inner: &idem.Memory{}}
		g := newGuard(t, s, idem.Config{Hooks: e.hooks()})
		ctx, cancel := context.WithCancel(t.Context())
		_ = idem.Do(ctx, g, "k", func(context.Context) error {
			_ = run(t, g, "k")
			cancel()
			return errBroken
		})
		e.want(t, "started k 1", "refused k: idem: key is in flight", "finished k 1: broken")
		_ = run(t, g, "k", idem.WithFingerprint([]byte("f")))
		_ = run(t, g, "k")
		e.want(t, "started k 2", "finished k 2: <nil>", "replayed k")
		_ = run(t, g, "k", idem.WithFingerprint([]byte("g")))
		e.want(t, "refused k: idem: key is bound to another request")
		_ = idem.Do(t.Context(), g, "f", failing(idem.Final(errBroken)))
		_ = run(t, g, "f")
		e.want(t, "started f 1", "finished f 1: <nil>", "replayed f")
		s.claim = before(always)
		_ = run(t, g, "k")
		e.want(t, "refused k: idem: claim: connection lost")
	})
}

// sweeps is a store that counts sweeps. It has 2500 ended records.
type sweeps struct {
	idem.Memory
	at   []time.Duration
	left int
	fail bool
}

func (s *sweeps) Sweep(_ context.Context, limit int) (int, error) {
	s.at = append(s.at, time.Duration(time.Now().UnixNano()))
	if s.fail {
		return 0, errBroken
	}
	n := min(limit, s.left)
	s.left -= n
	return n, nil
}

func TestRunSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := &sweeps{left: 2500}
		g := newGuard(t, s, idem.Config{Logger: logTo(&log)})
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error)
		start := time.Duration(time.Now().UnixNano())
		go func() { over <- g.Run(ctx) }()
		time.Sleep(2 * time.Minute)
		if len(s.at) < 3 || s.left != 0 {
			t.Fatalf("%d sweeps, %d records left; want all swept at the first turn", len(s.at), s.left)
		}
		first := s.at[0] - start
		if first < 30*time.Second || first > 90*time.Second || s.at[1] != s.at[0] || s.at[2] != s.at[0] {
			t.Errorf("sweeps at %v; want three at once about a minute after %v", s.at, start)
		}
		s.fail = true
		time.Sleep(time.Hour)
		if n := len(s.at); n < 45 || n > 100 {
			t.Errorf("%d sweeps in an hour, want about 60", n)
		}
		if !strings.Contains(log.String(), "sweep failed") {
			t.Error("nobody was told of sweeps that fail")
		}
		cancel()
		if err := <-over; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestRunWithoutSweepingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sweeps{left: 1}
		for _, g := range []*idem.Guard{newGuard(t, s, idem.Config{SweepEvery: -1}), newGuard(t, &faulty{}, idem.Config{})} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			start := time.Now()
			if err := g.Run(ctx); err != nil || time.Since(start) != time.Hour {
				t.Errorf("Run: %v after %v", err, time.Since(start))
			}
			cancel()
		}
		if len(s.at) > 0 {
			t.Error("it swept although it was told not to")
		}
	})
}

func TestRunForgetsWhatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		g := newGuard(t, m, idem.Config{Keep: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = g.Run(ctx) }()
		for i := range 3000 {
			if err := run(t, g, idem.NewKey("k", fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Hour)
		cancel()
		if n, err := m.Sweep(t.Context(), 10000); n != 0 || err != nil {
			t.Errorf("%d records were left (%v)", n, err)
		}
	})
}

// The Guard starts nothing, and nothing of a run outlives it: not even while renewals are in
// flight when it ends. A bubble whose goroutines do not end fails.
func TestNoGoroutineIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty{inner: &idem.Memory{}, renew: hang(always)}
		g := newGuard(t, s, idem.Config{Lease: 30 * time.Second, Wait: time.Second})
		before := runtime.NumGoroutine()
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				_ = idem.Do(t.Context(), g, idem.NewKey("k", fmt.Sprint(i%50)), func(ctx context.Context) error {
					select {
					case <-ctx.Done():
					case <-time.After(time.Duration(i%20) * time.Second):
					}
					return errBroken
				})
			})
		}
		wg.Wait()
		synctest.Wait()
		if s.renewals.Load() == 0 {
			t.Error("no renewal was in flight")
		}
		if n := runtime.NumGoroutine(); n > before {
			t.Errorf("%d goroutines, %d before", n, before)
		}
	})
}
