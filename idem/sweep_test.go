package idem_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/idem"
)

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
