package backend_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/google/uuid"

	"example.com/once/benchmarks/backend"
	"example.com/once/idem"
)

func TestTheRawStoresGuardWhatTheyDo(t *testing.T) {
	for _, b := range backend.All() {
		t.Run(b.Name+"-"+b.Durability, func(t *testing.T) {
			s, err := b.Open(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			ctx := t.Context()
			if err := s.Raw.Pair(ctx, "k", uuid.New(), []byte("first")); err != nil {
				t.Fatal(err)
			}
			if err := s.Raw.Pair(ctx, "k", uuid.New(), []byte("second")); err == nil {
				t.Error("a key was taken twice")
			}
			if got, err := s.Raw.Read(ctx, "k"); string(got) != "first" || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
			if _, err := s.Raw.Read(ctx, "unknown"); err == nil {
				t.Error("an unknown key has a result")
			}
			if err := s.Raw.Fill(ctx, []idem.Key{"a", "b"}, []byte("x")); err != nil {
				t.Error(err)
			}
			if n, err := s.Raw.Count(ctx); n != 3 || err != nil {
				t.Errorf("%d keys with a result, %v; want 3", n, err)
			}
			if err := s.Fill(ctx, []idem.Key{"a", "b"}, []byte("x")); err != nil {
				t.Error(err)
			}
			rec, err := s.Idem.Claim(ctx, idem.Claim{Key: "b", Token: uuid.New(), Lease: 1e9, Keep: 1e9})
			if rec.State != idem.Done || string(rec.Result) != "x" || err != nil {
				t.Errorf("a filled key: %+v, %v", rec, err)
			}
		})
	}
}

// The setting that the table names is the one that the database has.
func TestDurabilityIsWhatTheDatabaseHas(t *testing.T) {
	levels := map[string]int{"normal": 1, "full": 2}
	for _, b := range backend.All() {
		want, durable := levels[b.Durability]
		if !durable {
			continue
		}
		s, err := b.Open(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		var synchronous int
		var journal string
		if err := s.Tx.DB.QueryRowContext(t.Context(), `PRAGMA synchronous`).Scan(&synchronous); err != nil {
			t.Error(err)
		}
		if err := s.Tx.DB.QueryRowContext(t.Context(), `PRAGMA journal_mode`).Scan(&journal); err != nil {
			t.Error(err)
		}
		if synchronous != want || journal != "wal" {
			t.Errorf("%s (%s): synchronous is %d, journal_mode %s; want %d and wal", b.Name, b.Durability, synchronous, journal, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestBackendsThatCannotRunAreSkippedWithTheReason(t *testing.T) {
	away := errors.New("no server")
	forgetful := backend.Backend{Name: "forgetful", Open: func(context.Context, string) (*backend.Store, error) {
		return &backend.Store{Idem: full{}, Close: func() error { return nil }}, nil
	}}
	absent := backend.Backend{Name: "absent", Open: func(context.Context, string) (*backend.Store, error) { return nil, away }}
	dir := t.TempDir()
	usable, skipped := backend.Usable(t.Context(), append(backend.All()[:1:1], absent, forgetful), dir)
	if len(usable) != 1 || usable[0].Name != "memory" {
		t.Errorf("usable: %v", usable)
	}
	if len(skipped) != 2 || !errors.Is(skipped[0].Reason, away) || !errors.Is(skipped[1].Reason, idem.ErrFull) {
		t.Errorf("skipped: %v", skipped)
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

// full is a store that takes nothing.
type full struct{ idem.Store }

func (full) Claim(context.Context, idem.Claim) (idem.Record, error) {
	return idem.Record{}, idem.ErrFull
}
