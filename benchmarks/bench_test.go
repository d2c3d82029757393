package benchmarks_test

import (
	"testing"

	"example.com/once/benchmarks/backend"
	"example.com/once/benchmarks/measure"
	"example.com/once/benchmarks/suite"
	"example.com/once/idem"
	"example.com/once/idem/idemtest"
)

// What cmd/bench compares in rounds, as benchmarks of their own: for profiles, and for
// comparing two versions of the code with benchstat.

func usable(b *testing.B) []backend.Backend {
	b.Helper()
	backends, skipped := backend.Usable(b.Context(), backend.All(), b.TempDir())
	for _, s := range skipped {
		b.Logf("%s (%s) cannot run here: %v", s.Name, s.Durability, s.Reason)
	}
	return backends
}

func BenchmarkStore(b *testing.B) {
	for _, backend := range usable(b) {
		b.Run(backend.Name+"-"+backend.Durability, func(b *testing.B) {
			idemtest.Bench(b, func(tb testing.TB) idem.Store {
				s, err := backend.Open(tb.Context(), tb.TempDir())
				if err != nil {
					tb.Fatal(err)
				}
				tb.Cleanup(func() {
					if err := s.Close(); err != nil {
						tb.Error(err)
					}
				})
				return s.Idem
			})
		})
	}
}

func BenchmarkGuard(b *testing.B) {
	for _, backend := range usable(b) {
		benchmark(b, suite.Store(backend, b.TempDir()), "raw-pair", "DoValue", "raw-read", "DoValue-replay")
	}
}

func BenchmarkTx(b *testing.B) {
	for _, backend := range usable(b) {
		if !backend.Transient {
			benchmark(b, suite.Tx(backend, b.TempDir()))
		}
	}
}

func BenchmarkHTTP(b *testing.B) {
	benchmark(b, suite.HTTP(0))
	benchmark(b, suite.HTTP(1024))
}

func BenchmarkDo(b *testing.B) {
	benchmark(b, suite.RetrySuccess())
	benchmark(b, suite.RetryFailures())
}

func BenchmarkTransport(b *testing.B) { benchmark(b, suite.Client()) }

// benchmark runs the named operations of a group, or all, with one caller.
func benchmark(b *testing.B, g measure.Group, names ...string) {
	b.Helper()
	wanted := make(map[string]bool)
	for _, name := range names {
		wanted[name] = true
	}
	for _, op := range g.Ops {
		if len(names) == 0 || wanted[op.Name] {
			b.Run(g.Backend+"-"+g.Durability+"/"+op.Name, func(b *testing.B) { benchmarkOp(b, op) })
		}
	}
}

func benchmarkOp(b *testing.B, op measure.Op) {
	b.ReportAllocs()
	if op.Loop != nil {
		if err := op.Loop(b); err != nil {
			b.Fatal(err)
		}
		return
	}
	ctx := b.Context()
	job, err := op.Open(ctx, 1)
	if err != nil {
		b.Fatal(err)
	}
	var calls int64
	for b.Loop() {
		if err := job.Call(ctx, 0); err != nil {
			b.Fatal(err)
		}
		calls++
	}
	if err := job.Finish(ctx, calls); err != nil {
		b.Error(err)
	}
}
