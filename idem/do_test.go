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

func TestDoValueRunsOnceAndReplays(t *testing.T) {
	g := newGuard(t, &idem.Memory{}, idem.Config{})
	runs := 0
	charge := func(context.Context) (string, error) { runs++; return "receipt 1", nil }
	for i := range 3 {
		var info idem.Info
		got, err := idem.DoValue(t.Context(), g, "k", charge, idem.Report(&info))
		if got != "receipt 1" || err != nil {
			t.Fatalf("call %d: %q, %v", i, got, err)
		}
		if info.Replayed != (i > 0) || info.Attempt != 1 || info.Fence <= 0 {
			t.Errorf("call %d: info %+v", i, info)
		}
	}
	if runs != 1 {
		t.Errorf("fn ran %d times, want 1", runs)
	}
}

func TestParallelCallsRunOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, &idem.Memory{}, idem.Config{Wait: time.Minute})
		var runs atomic.Int32
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				got, err := idem.DoValue(t.Context(), g, "k", func(context.Context) (int32, error) {
					time.Sleep(time.Second)
					return runs.Add(1), nil
				})
				if got != 1 || err != nil {
					t.Errorf("got %d, %v", got, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestFailureReleasesTheKey(t *testing.T) {
	g := newGuard(t, &idem.Memory{}, idem.Config{})
	broken := errors.New("broken")
	if err := idem.Do(t.Context(), g, "k", func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Fatalf("got %v, want the function's error", err)
	}
	var info idem.Info
	if err := idem.Do(t.Context(), g, "k", func(context.Context) error { return nil }, idem.Report(&info)); err != nil || info.Attempt != 2 {
		t.Errorf("second call: %v, %+v; want attempt 2", err, info)
	}
}
