package idemtest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"example.com/once/idem"
)

// Bench measures the stores that open makes: a cycle (claim of a new key, completion with
// 256 bytes), a replay of one of 1000 results, and a claim of a key in flight, each with one
// caller and with many. Setting up is not measured.
func Bench(b *testing.B, open func(testing.TB) idem.Store) {
	b.Helper()
	result := make([]byte, 256)
	b.Run("cycle", func(b *testing.B) {
		s := open(b)
		var n atomic.Int64
		oneAndMany(b, func(ctx context.Context) error {
			return cycle(ctx, s, idem.Key(fmt.Sprintf("cycle %d", n.Add(1))), result)
		})
	})
	b.Run("replay", func(b *testing.B) {
		const keys = 1000
		s := open(b)
		all := make([]idem.Key, keys)
		for i := range all {
			all[i] = idem.Key(fmt.Sprintf("replay %d", i))
			if err := cycle(b.Context(), s, all[i], result); err != nil {
				b.Fatal(err)
			}
		}
		var n atomic.Int64
		oneAndMany(b, func(ctx context.Context) error {
			return expect(ctx, s, all[n.Add(1)%keys], idem.Done)
		})
	})
	b.Run("in-flight", func(b *testing.B) {
		s := open(b)
		if err := expect(b.Context(), s, "hot", idem.Acquired); err != nil {
			b.Fatal(err)
		}
		oneAndMany(b, func(ctx context.Context) error { return expect(ctx, s, "hot", idem.InFlight) })
	})
}

// oneAndMany runs op with one caller, and with 64 for each processor.
func oneAndMany(b *testing.B, op func(context.Context) error) {
	b.Helper()
	b.Run("callers=1", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := op(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("callers=many", func(b *testing.B) {
		const perProcessor = 64
		b.ReportAllocs()
		b.SetParallelism(perProcessor)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := op(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

func cycle(ctx context.Context, s idem.Store, key idem.Key, result []byte) error {
	rec, err := s.Claim(ctx, claimOf(key))
	if err != nil {
		return err
	}
	if rec.State != idem.Acquired {
		return fmt.Errorf("claim of a new key: %v", rec.State)
	}
	_, err = s.Complete(ctx, rec.Lease, result, longKeep)
	return err
}

func expect(ctx context.Context, s idem.Store, key idem.Key, want idem.State) error {
	rec, err := s.Claim(ctx, claimOf(key))
	if err == nil && rec.State != want {
		err = fmt.Errorf("claim: %v, want %v", rec.State, want)
	}
	return err
}
