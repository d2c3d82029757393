package idem_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/google/uuid"

	"example.com/once/idem"
)

func stored(t testing.TB, m *idem.Memory, k idem.Key) []byte {
	t.Helper()
	rec, err := m.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Result
}

func TestLargeResultsAreCompressed(t *testing.T) {
	noise := make([]byte, 10000)
	_, _ = rand.Read(noise)
	for name, c := range map[string]struct {
		result []byte
		seal   bool
		most   int // bytes stored
		least  int
	}{
		"text":               {bytes.Repeat([]byte("all work and no play "), 500), false, 500, 10},
		"text, sealed":       {bytes.Repeat([]byte("all work and no play "), 500), true, 600, 60},
		"at the threshold":   {make([]byte, 999), false, 100, 5}, // with its tag
		"below it":           {make([]byte, 998), false, 999, 999},
		"what does not gain": {noise, false, 10001, 10001},
	} {
		t.Run(name, func(t *testing.T) {
			m := &idem.Memory{}
			config := idem.Config{Compress: 1000}
			if c.seal {
				config.Seal = keyring(t, "a")
			}
			g := newGuard(t, m, config)
			for range 2 {
				got, err := idem.DoValue(t.Context(), g, "k", func(context.Context) ([]byte, error) { return c.result, nil })
				if err != nil || !bytes.Equal(got, c.result) {
					t.Fatalf("%d bytes, %v; want %d", len(got), err, len(c.result))
				}
			}
			if n := len(stored(t, m, "k")); n > c.most || n < c.least {
				t.Errorf("%d bytes are stored of %d, want %d to %d", n, len(c.result), c.least, c.most)
			}
			if rec, err := g.Inspect(t.Context(), "k"); err != nil || !bytes.Equal(rec.Result, c.result) {
				t.Errorf("Inspect: %d bytes, %v", len(rec.Result), err)
			}
			config.Compress = 0 // is for writing only
			got, err := idem.DoValue(t.Context(), newGuard(t, m, config), "k", func(context.Context) ([]byte, error) { return nil, errBroken })
			if err != nil || !bytes.Equal(got, c.result) {
				t.Errorf("without Compress: %d bytes, %v", len(got), err)
			}
		})
	}
}

// The limit is for what the codec makes, whatever becomes of it in the store.
func TestCompressionDoesNotRaiseTheLimit(t *testing.T) {
	g := newGuard(t, &idem.Memory{}, idem.Config{Compress: 1, MaxResult: 1000})
	fn := func(context.Context) ([]byte, error) { return make([]byte, 1001), nil }
	_, _ = idem.DoValue(t.Context(), g, "k", fn)
	_, err := idem.DoValue(t.Context(), g, "k", fn)
	want(t, "replay", err, idem.ErrNoResult)
}

func TestStepsAreCompressed(t *testing.T) {
	s := &recording{Memory: &idem.Memory{}}
	g := newGuard(t, s, idem.Config{Compress: 100})
	ran := 0
	fn := func(ctx context.Context) error {
		got, err := idem.Step(ctx, "s", func(context.Context) ([]byte, error) { ran++; return make([]byte, 5000), nil })
		if len(got) != 5000 || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if a, _ := idem.Current(ctx); a.Number == 1 {
			return errBroken
		}
		return nil
	}
	want(t, "first attempt", idem.Do(t.Context(), g, "k", fn), errBroken)
	if len(s.seen) > 200 {
		t.Errorf("%d bytes are stored", len(s.seen))
	}
	if err := idem.Do(t.Context(), g, "k", fn); err != nil || ran != 1 {
		t.Errorf("second attempt: %v, %d runs", err, ran)
	}
}

func TestDamagedCompressionIsNoResult(t *testing.T) {
	m := &idem.Memory{}
	g := newGuard(t, m, idem.Config{Compress: 1})
	fn := func(context.Context) ([]byte, error) { return bytes.Repeat([]byte("ab"), 500), nil }
	_, _ = idem.DoValue(t.Context(), g, "k", fn)
	whole := slices.Clone(stored(t, m, "k"))
	for n := 1; n < len(whole); n++ {
		plant(t, m, "k", uuid.New(), whole[:n])
		if got, err := idem.DoValue(t.Context(), g, "k", fn); got != nil || !errors.Is(err, idem.ErrNoResult) {
			t.Errorf("cut after %d of %d bytes: %d bytes, %v", n, len(whole), len(got), err)
		}
	}
	for name, data := range map[string][]byte{
		"trailing":  append(slices.Clone(whole), 0),
		"too small": append([]byte{3, 1}, whole[3:]...),
		"too large": append([]byte{3, 0xff, 0xff, 0xff, 0xff, 0x0f}, whole[3:]...),
		"overflow":  {3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		plant(t, m, "k", uuid.New(), data)
		if got, err := idem.DoValue(t.Context(), g, "k", fn); got != nil || !errors.Is(err, idem.ErrNoResult) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestCompressionUnderConcurrency(t *testing.T) {
	g := newGuard(t, &idem.Memory{}, idem.Config{Compress: 10})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 300 {
				k := idem.NewKey("k", strconv.Itoa(i))
				result := bytes.Repeat([]byte(k), 50)
				got, err := idem.DoValue(t.Context(), g, k, func(context.Context) ([]byte, error) { return result, nil })
				if err != nil && !errors.Is(err, idem.ErrInFlight) || err == nil && !bytes.Equal(got, result) {
					t.Errorf("caller %d, %q: %d bytes, %v", w, k, len(got), err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzInflate(f *testing.F) {
	m := &idem.Memory{}
	g := newGuard(f, m, idem.Config{Compress: 1})
	_, _ = idem.DoValue(f.Context(), g, "k", func(context.Context) ([]byte, error) { return make([]byte, 1000), nil })
	f.Add(stored(f, m, "k"))
	f.Add([]byte("\x03"))
	f.Add([]byte("\x03\x00"))
	f.Add([]byte("\x03\x01\x03\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		plant(t, m, "k", uuid.New(), data)
		got, err := idem.DoValue(t.Context(), g, "k", func(context.Context) ([]byte, error) { return nil, errBroken })
		if err != nil && !errors.Is(err, idem.ErrNoResult) && !errors.Is(err, idem.ErrRecorded) {
			t.Fatal(err)
		}
		if len(got) > 1032*len(data) {
			t.Fatalf("%d bytes of %d", len(got), len(data))
		}
	})
}
