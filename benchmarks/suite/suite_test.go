package suite_test

import (
	"context"
	"flag"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/once/benchmarks/backend"
	"example.com/once/benchmarks/measure"
	"example.com/once/benchmarks/suite"
	"example.com/once/idem"
)

func usable(t *testing.T) []backend.Backend {
	t.Helper()
	backends, skipped := backend.Usable(t.Context(), backend.All(), t.TempDir())
	for _, s := range skipped {
		t.Errorf("%s (%s): %v", s.Name, s.Durability, s.Reason)
	}
	return backends
}

// Each operation does what its name says, and its check would notice if it did not.
func TestOperationsDoWhatTheirNamesSay(t *testing.T) {
	const callers, calls = 3, 5
	benchtime := flag.Lookup("test.benchtime")
	before := benchtime.Value.String()
	if err := benchtime.Value.Set("20x"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = benchtime.Value.Set(before) }()
	for _, g := range suite.All(usable(t), t.TempDir()) {
		for _, op := range g.Ops {
			t.Run(g.Suite+"/"+g.Backend+"/"+g.Durability+"/"+op.Name, func(t *testing.T) {
				if op.Loop != nil {
					b := testing.Benchmark(func(b *testing.B) {
						if err := op.Loop(b); err != nil {
							t.Error(err)
						}
					})
					if b.N == 0 {
						t.Error("nothing was measured")
					}
					return
				}
				job := mustOpen(t, op, callers)
				var callersDone sync.WaitGroup
				for caller := range callers {
					callersDone.Go(func() {
						for range calls {
							if err := job.Call(t.Context(), caller); err != nil {
								t.Error(err)
							}
						}
					})
				}
				callersDone.Wait()
				if err := job.Check(t.Context(), callers*calls); err != nil {
					t.Error(err)
				}
				if countsCalls(op) {
					if job.Check(t.Context(), callers*calls+1) == nil {
						t.Error("a call too few was not noticed")
					}
					if job.Check(t.Context(), callers*calls-1) == nil {
						t.Error("a call too many was not noticed")
					}
				}
			})
		}
	}
}

// countsCalls says whether each call of op leaves something that can be counted. A replay
// and an answer in flight leave nothing, and their checks see to that.
func countsCalls(op measure.Op) bool {
	return !strings.Contains(op.Name, "replay") && !slices.Contains([]string{"raw-read", "in-flight"}, op.Name)
}

func mustOpen(t *testing.T, op measure.Op, callers int) *measure.Job {
	t.Helper()
	job, err := op.Open(t.Context(), callers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if job.Close != nil {
			if err := job.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return job
}

// broken is a memory store with one thing wrong.
type broken struct {
	*idem.Memory

	forgets bool // a completion is not recorded
	runs    bool // a key that is done is handed out again
	leaks   bool // a key in flight is handed out again
	skips   bool // a new key is done at once
}

func (s *broken) Claim(ctx context.Context, c idem.Claim) (idem.Record, error) {
	rec, err := s.Memory.Claim(ctx, c)
	if s.runs && rec.State == idem.Done || s.leaks && rec.State == idem.InFlight {
		rec.State, rec.Lease.Token = idem.Acquired, c.Token
	}
	if s.skips && rec.State == idem.Acquired {
		return s.Memory.Complete(ctx, rec.Lease, []byte("\x00"), c.Keep)
	}
	return rec, err
}

func (s *broken) Complete(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (idem.Record, error) {
	if s.forgets {
		return idem.Record{State: idem.Done, Lease: l}, nil
	}
	return s.Memory.Complete(ctx, l, result, keep)
}

func TestAStoreThatDoesSomethingElseIsNoticed(t *testing.T) {
	for _, test := range []struct {
		op    string
		store broken
	}{
		{"claim+complete", broken{forgets: true}},
		{"DoValue", broken{forgets: true}},
		{"DoValue", broken{skips: true}},
		{"replay", broken{runs: true}},
		{"DoValue-replay", broken{runs: true}},
		{"in-flight", broken{leaks: true}},
	} {
		test.store.Memory = &idem.Memory{}
		b := backend.Backend{Name: "broken", Durability: "none", Transient: true, Open: func(context.Context, string) (*backend.Store, error) {
			return &backend.Store{Idem: &test.store, Close: func() error { return nil }}, nil
		}}
		g := suite.Store(b, t.TempDir())
		i := slices.IndexFunc(g.Ops, func(op measure.Op) bool { return op.Name == test.op })
		op := g.Ops[i]
		op.Bare = ""
		g.Ops = []measure.Op{op}
		o, err := measure.Run(t.Context(), []measure.Group{g}, measure.Config{Callers: []int{2}, Rounds: 1, Time: 100 * time.Millisecond, Limit: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Results) != 1 || o.Results[0].Err == nil {
			t.Errorf("%s: nobody noticed", test.op)
		}
	}
}

// The names are part of what benchstat compares and --run selects.
func TestNamesAreUniqueAndWithoutSpaces(t *testing.T) {
	ids := measure.IDs(suite.All(backend.All(), t.TempDir()), []int{1, 8, 64}, func(string) bool { return true })
	seen := make(map[string]bool)
	for _, id := range ids {
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		if strings.ContainsAny(id, " \t") {
			t.Errorf("%q has a space", id)
		}
	}
	if len(ids) < 100 {
		t.Errorf("only %d operations", len(ids))
	}
}

func TestEveryComparisonIsWithSomethingInTheGroup(t *testing.T) {
	for _, g := range suite.All(backend.All(), t.TempDir()) {
		for _, op := range g.Ops {
			if op.Bare == "" {
				continue
			}
			bare := slices.IndexFunc(g.Ops, func(o measure.Op) bool { return o.Name == op.Bare })
			if bare < 0 || g.Ops[bare].Bare != "" {
				t.Errorf("%s %s: compared with %s, which is not in the group or is itself compared", g.Suite, op.Name, op.Bare)
			}
		}
	}
}
