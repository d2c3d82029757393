package idem_test

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
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

// sweepFor runs the Guard's sweeping for d.
func sweepFor(t *testing.T, g *idem.Guard, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	start := time.Now()
	if err := g.Run(ctx); err != nil || time.Since(start) != d {
		t.Errorf("Run: %v after %v", err, time.Since(start))
	}
}

func TestRunSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sweeps{left: 2500}
		start := time.Duration(time.Now().UnixNano())
		sweepFor(t, newGuard(t, s, idem.Config{}), 100*time.Second)
		if len(s.at) < 3 || s.left != 0 {
			t.Fatalf("%d sweeps, %d records left; want all swept at the first turn", len(s.at), s.left)
		}
		first := s.at[0] - start
		if first < 30*time.Second || first > 90*time.Second || s.at[1] != s.at[0] || s.at[2] != s.at[0] {
			t.Errorf("sweeps at %v; want three at once about a minute after %v", s.at, start)
		}
	})
}

func TestRunSurvivesSweepsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := &sweeps{fail: true}
		sweepFor(t, newGuard(t, s, idem.Config{Logger: logTo(&log), SweepEvery: 10 * time.Minute}), 10*time.Hour)
		if n := len(s.at); n < 45 || n > 100 {
			t.Errorf("%d sweeps, want about 60", n)
		}
		if !strings.Contains(log.String(), "sweep failed") {
			t.Error("nobody was told")
		}
	})
}

func TestRunWithoutSweepingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sweeps{left: 1}
		for _, g := range []*idem.Guard{newGuard(t, s, idem.Config{SweepEvery: -1}), newGuard(t, &faulty{}, idem.Config{})} {
			sweepFor(t, g, time.Hour)
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
		for i := range 3000 {
			if err := run(t, g, idem.NewKey("k", strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
		}
		sweepFor(t, g, 2*time.Hour)
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
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				_ = idem.Do(t.Context(), g, idem.NewKey("k", strconv.Itoa(i%50)), func(ctx context.Context) error {
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
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if bytes.Contains(stacks, []byte("idem.(*heartbeat)")) {
			t.Errorf("a renewal is left:\n%s", stacks)
		}
	})
}
