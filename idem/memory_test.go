package idem_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"example.com/once/idem"
	"example.com/once/idem/idemtest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	idemtest.Run(t, func(testing.TB) idem.Store { return &idem.Memory{} }, idemtest.Virtual())
}

func BenchmarkMemory(b *testing.B) {
	idemtest.Bench(b, func(testing.TB) idem.Store { return &idem.Memory{MaxEntries: -1, MaxBytes: -1} })
}

func claim(t testing.TB, m *idem.Memory, k idem.Key, keep time.Duration) (idem.Record, error) {
	t.Helper()
	return m.Claim(t.Context(), idem.Claim{Key: k, Token: uuid.New(), Lease: min(keep, time.Minute), Keep: keep})
}

func TestAFullMemoryRefusesNewKeysOnly(t *testing.T) {
	for name, m := range map[string]*idem.Memory{
		"entries": {MaxEntries: 100},
		"bytes":   {MaxBytes: 100 * 330},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const keep = time.Hour
				var kept []idem.Lease
				for i := range 1000 {
					rec, err := claim(t, m, idem.NewKey("k", fmt.Sprintf("%04d", i)), keep)
					switch {
					case err == nil && rec.State == idem.Acquired:
						kept = append(kept, rec.Lease)
					case !errors.Is(err, idem.ErrFull):
						t.Fatalf("claim %d: %v, %v", i, rec.State, err)
					case len(kept) != i && i < 90:
						t.Fatalf("full after %d keys", len(kept))
					}
				}
				if len(kept) < 90 || len(kept) > 100 {
					t.Fatalf("%d keys fit, want about 100", len(kept))
				}
				// Whoever is in stays in, and can do all there is to do.
				for i, l := range kept {
					if rec, err := claim(t, m, l.Key, keep); err != nil || rec.State != idem.InFlight {
						t.Fatalf("key %d: %v, %v; want in flight", i, rec.State, err)
					}
					if err := m.Renew(t.Context(), l, time.Minute, nil); err != nil {
						t.Fatalf("key %d: renew: %v", i, err)
					}
					if _, err := m.Complete(t.Context(), l, nil, keep); err != nil {
						t.Fatalf("key %d: complete: %v", i, err)
					}
				}
				time.Sleep(keep - time.Nanosecond)
				for i, l := range kept {
					if rec, err := claim(t, m, l.Key, keep); err != nil || rec.State != idem.Done {
						t.Fatalf("key %d just before its time: %v, %v; want done", i, rec.State, err)
					}
				}
				if _, err := claim(t, m, "new", keep); !errors.Is(err, idem.ErrFull) {
					t.Errorf("a new key: %v, want ErrFull", err)
				}
				time.Sleep(time.Nanosecond)
				for i := range 90 { // without a sweep
					if _, err := claim(t, m, idem.NewKey("n", fmt.Sprintf("%04d", i)), keep); err != nil {
						t.Fatalf("new key %d after the retention of the old ones: %v", i, err)
					}
				}
			})
		})
	}
}

func TestAFullMemoryFailsTheCallAndRunsNothing(t *testing.T) {
	g := newGuard(t, &idem.Memory{MaxEntries: 1}, idem.Config{Wait: time.Minute})
	if err := run(t, g, "k"); err != nil {
		t.Fatal(err)
	}
	want(t, "a new key", run(t, g, "l"), idem.ErrFull)
	if err := run(t, g, "k"); err != nil {
		t.Errorf("replay: %v", err)
	}
}

// What is forgotten, by whatever way, gives its room back: the bounds neither creep nor leak.
func TestMemoryAccountsForEveryByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 64 << 10
		m := &idem.Memory{MaxEntries: 100, MaxBytes: limit}
		rng := rand.New(rand.NewPCG(1, 2))
		for round := range 200 {
			var leases []idem.Lease
			for i := range 150 {
				rec, err := m.Claim(t.Context(), idem.Claim{
					Key: idem.NewKey("k", strconv.Itoa(i)), Token: uuid.New(), Lease: time.Minute, Keep: time.Hour, Fingerprint: make([]byte, rng.IntN(100)),
				})
				if err == nil && rec.State == idem.Acquired {
					leases = append(leases, rec.Lease)
				}
			}
			if len(leases) < 60 {
				t.Fatalf("round %d: room for %d keys only", round, len(leases))
			}
			for _, l := range leases {
				_ = m.Renew(t.Context(), l, time.Minute, &idem.Progress{Seq: 1, Data: make([]byte, rng.IntN(2000))})
				switch rng.IntN(4) {
				case 0:
					_ = m.Release(t.Context(), l, idem.DispositionForget)
				case 1:
					_ = m.Release(t.Context(), l, idem.DispositionRetry)
				case 2:
					_, _ = m.Complete(t.Context(), l, make([]byte, rng.IntN(2000)), time.Hour)
				default:
				}
			}
			switch rng.IntN(3) {
			case 0:
				time.Sleep(2 * time.Hour)
			case 1:
				time.Sleep(2 * time.Hour)
				for {
					if n, err := m.Sweep(t.Context(), 7); n == 0 || err != nil {
						break
					}
				}
			default:
				recs, err := m.List(t.Context(), idem.Query{Limit: 1000})
				if err != nil {
					t.Fatal(err)
				}
				for _, rec := range recs {
					_ = m.Delete(t.Context(), rec.Lease.Key)
				}
			}
		}
	})
}

// What has ended makes room for what comes, without a sweep and without being full.
func TestMemoryDoesNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{MaxEntries: -1, MaxBytes: -1}
		for i := range 20000 {
			if _, err := claim(t, m, idem.NewKey("k", strconv.Itoa(i)), time.Second); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		if n, err := m.Sweep(t.Context(), 1<<20); err != nil || n > 2000 {
			t.Errorf("%d ended records were kept (%v), about 1000 lived at a time", n, err)
		}
	})
}

func TestMemoryBoundsHoldUnderConcurrency(t *testing.T) {
	const limit = 500
	m := &idem.Memory{MaxEntries: limit}
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 2000 {
				keep := time.Millisecond
				if i%2 == 0 {
					keep = time.Hour
				}
				rec, err := claim(t, m, idem.NewKey("k", strconv.Itoa(w), strconv.Itoa(i)), keep)
				if err != nil && !errors.Is(err, idem.ErrFull) {
					t.Error(err)
				}
				if err == nil && i%4 == 0 {
					if err := m.Release(t.Context(), rec.Lease, idem.DispositionForget); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	recs, err := m.List(t.Context(), idem.Query{Limit: 1 << 20})
	if err != nil || len(recs) > limit {
		t.Errorf("%d records (%v), the limit is %d", len(recs), err, limit)
	}
	// The longest-lived have filled it, and nothing but them.
	if _, err := claim(t, m, "one more", time.Hour); !errors.Is(err, idem.ErrFull) && len(recs) == limit {
		t.Errorf("a claim beyond the limit: %v", err)
	}
}

func TestMemoryChecksItsArguments(t *testing.T) {
	m := &idem.Memory{}
	ctx := t.Context()
	good := idem.Claim{Key: "k", Token: uuid.New(), Lease: time.Minute, Keep: time.Hour}
	for name, change := range map[string]func(*idem.Claim){
		"no key":   func(c *idem.Claim) { c.Key = "" },
		"no token": func(c *idem.Claim) { c.Token = uuid.Nil },
		"no lease": func(c *idem.Claim) { c.Lease = 0 },
	} {
		c := good
		change(&c)
		if rec, err := m.Claim(ctx, c); err == nil {
			t.Errorf("%s: %+v", name, rec)
		}
	}
	rec, err := m.Claim(ctx, good)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Renew(ctx, rec.Lease, 0, nil); err == nil {
		t.Error("a renewal for no time succeeded")
	}
	if err := m.Release(ctx, rec.Lease, 9); err == nil {
		t.Error("an unknown disposition was taken")
	}
	if rec, err := m.Claim(ctx, good); err != nil || rec.State != idem.Acquired {
		t.Errorf("after all: %v, %v; want the holder's claim again", rec.State, err)
	}
}
