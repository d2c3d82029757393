package idem_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/idem"
)

func TestResultsThatAreTooLargeAreDoneWithoutThem(t *testing.T) {
	value := func(n int) func(context.Context) ([]byte, error) {
		return func(context.Context) ([]byte, error) { return make([]byte, n), nil }
	}
	for _, c := range []struct {
		name  string
		store idem.Store
		max   int
		size  int
		kept  bool
	}{
		{"default, fits", &idem.Memory{}, 0, 1 << 20, true},
		{"default, one too many", &idem.Memory{}, 0, 1<<20 + 1, false},
		{"limit, fits", &idem.Memory{}, 10, 10, true},
		{"limit, one too many", &idem.Memory{}, 10, 11, false},
		{"no limit", &idem.Memory{}, -1, 2 << 20, true},
		{"the greatest limit", &idem.Memory{}, int(^uint(0) >> 1), 2 << 20, true},
		{"the store has no room", &idem.Memory{MaxBytes: 2000}, 0, 3000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var finished error
			var log strings.Builder
			g := newGuard(t, c.store, idem.Config{MaxResult: c.max, Logger: logTo(&log), Hooks: idem.Hooks{
				Finished: func(_ context.Context, _ idem.Attempt, err error) { finished = err },
			}})
			got, err := idem.DoValue(t.Context(), g, "k", value(c.size))
			if err != nil || len(got) != c.size {
				t.Fatalf("call: %d bytes, %v; want its own result", len(got), err)
			}
			if (finished == nil) != c.kept || !c.kept && !errors.Is(finished, idem.ErrTooLarge) {
				t.Errorf("hooks were told %v", finished)
			}
			if told := strings.Contains(log.String(), "not kept"); told == c.kept {
				t.Errorf("log: %q", log.String())
			}
			var info idem.Info
			got, err = idem.DoValue(t.Context(), g, "k", value(0), idem.Report(&info))
			if !info.Replayed {
				t.Error("it ran again")
			}
			if c.kept && (err != nil || len(got) != c.size) || !c.kept && !errors.Is(err, idem.ErrNoResult) {
				t.Errorf("replay: %d bytes, %v", len(got), err)
			}
		})
	}
}

// brittle fails at what it is told to.
type brittle struct {
	marshal, unmarshal bool
	panics             bool
}

func (b brittle) fail(does bool) error {
	if does && b.panics {
		panic("brittle")
	}
	if does {
		return errBroken
	}
	return nil
}

func (b brittle) Marshal(any) ([]byte, error) { return []byte("data"), b.fail(b.marshal) }
func (b brittle) Unmarshal(_ []byte, v any) error {
	*v.(*string) = "decoded"
	return b.fail(b.unmarshal)
}

func TestAResultThatCannotBeEncodedIsDoneWithoutIt(t *testing.T) {
	var finished error
	g := newGuard(t, &idem.Memory{}, idem.Config{Codec: brittle{marshal: true}, Hooks: idem.Hooks{
		Finished: func(_ context.Context, _ idem.Attempt, err error) { finished = err },
	}})
	got, err := idem.DoValue(t.Context(), g, "k", func(context.Context) (string, error) { return "r", nil })
	if got != "r" || err != nil {
		t.Errorf("call: %q, %v; want its own result", got, err)
	}
	want(t, "hooks were told", finished, errBroken)
	got, err = idem.DoValue(t.Context(), g, "k", func(context.Context) (string, error) { t.Error("it ran again"); return "", nil })
	if got != "" {
		t.Errorf("replay: %q", got)
	}
	want(t, "replay", err, idem.ErrNoResult)
}

func TestAResultThatCannotBeDecodedIsNoResult(t *testing.T) {
	m := &idem.Memory{}
	g := newGuard(t, m, idem.Config{Codec: brittle{unmarshal: true}})
	one := func(context.Context) (string, error) { return "r", nil }
	if _, err := idem.DoValue(t.Context(), g, "k", one); err != nil {
		t.Fatal(err)
	}
	got, err := idem.DoValue(t.Context(), g, "k", one)
	if got != "" {
		t.Errorf("replay: %q, want nothing that a failed codec has left", got)
	}
	want(t, "replay", err, idem.ErrNoResult)
	want(t, "replay", err, errBroken)
	if _, err := idem.DoValue(t.Context(), newGuard(t, m, idem.Config{}), "k", func(context.Context) (int, error) { return 0, nil }); !errors.Is(err, idem.ErrNoResult) {
		t.Errorf("replay as another type: %v, want ErrNoResult", err)
	}
}

// A codec that panics has seen the result of a run that is done.
func TestACodecThatPanicsLeavesTheKeyDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &faulty{inner: &idem.Memory{}}
		g := newGuard(t, s, idem.Config{Codec: brittle{marshal: true, panics: true}})
		runs := 0
		func() {
			defer func() {
				if p := recover(); p != "brittle" {
					t.Errorf("recovered %v", p)
				}
			}()
			_, _ = idem.DoValue(t.Context(), g, "k", func(context.Context) (string, error) { runs++; return "r", nil })
		}()
		_, err := idem.DoValue(t.Context(), g, "k", func(context.Context) (string, error) { runs++; return "r", nil })
		want(t, "later call", err, idem.ErrNoResult)
		time.Sleep(time.Hour)
		if runs != 1 || s.renewals.Load() != 0 {
			t.Errorf("%d runs, %d renewals; want 1 and none", runs, s.renewals.Load())
		}
	})
}

func TestResultsOfEveryKind(t *testing.T) {
	type receipt struct {
		ID    string
		Lines []int
	}
	g := newGuard(t, &idem.Memory{}, idem.Config{})
	replays(t, g, "struct", receipt{"r", []int{1, 2}}, func(a, b receipt) bool { return a.ID == b.ID && slices.Equal(a.Lines, b.Lines) })
	replays(t, g, "pointer", &receipt{ID: "r"}, func(a, b *receipt) bool { return a.ID == b.ID })
	replays(t, g, "nil pointer", (*receipt)(nil), func(_, b *receipt) bool { return b == nil })
	replays(t, g, "bytes", []byte{0, 255}, slices.Equal[[]byte])
	replays(t, g, "no bytes", []byte(nil), func(_, b []byte) bool { return len(b) == 0 })
	replays(t, g, "nothing", struct{}{}, func(_, _ struct{}) bool { return true })
	replays(t, g, "any", any("x"), func(a, b any) bool { return a == b })
	replays(t, g, "nil any", any(nil), func(_, b any) bool { return b == nil })
	replays(t, g, "zero", 0, func(a, b int) bool { return a == b })
}

func replays[T any](t *testing.T, g *idem.Guard, name string, v T, same func(a, b T) bool) {
	t.Helper()
	var runs atomic.Int32
	for i := range 3 {
		got, err := idem.DoValue(t.Context(), g, idem.NewKey(name), func(context.Context) (T, error) { runs.Add(1); return v, nil })
		if err != nil || !same(v, got) {
			t.Errorf("%s, call %d: %v, %v; want %v", name, i, got, err, v)
		}
	}
	if runs.Load() != 1 {
		t.Errorf("%s: %d runs", name, runs.Load())
	}
}
