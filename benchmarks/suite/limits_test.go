package suite_test

import (
	"errors"
	"testing"
	"time"

	"example.com/once/benchmarks/backend"
	"example.com/once/benchmarks/measure"
	"example.com/once/benchmarks/suite"
)

// ran is a result of so much time and so many allocations an operation, by round.
func ran(op string, allocs uint64, each ...time.Duration) measure.Result {
	r := measure.Result{Suite: "s", Backend: "b", Durability: "none", Op: op, Callers: 1}
	for n, d := range each {
		r.Rounds = append(r.Rounds, measure.Round{Number: n, Ops: 1000, Elapsed: 1000 * d, Allocs: 1000 * allocs})
	}
	return r
}

func TestJudge(t *testing.T) {
	const ns = time.Nanosecond
	results := []measure.Result{
		ran("ours", 7, 110*ns, 240*ns, 130*ns),
		ran("bare", 3, 100*ns, 200*ns, 100*ns),    // 1.1, 1.2, 1.3
		ran("slow", 9, 1000*ns, 1000*ns, 1000*ns), // 0.11, 0.24, 0.13
		ran("even", 7, 110*ns, 240*ns, 130*ns),
	}
	limit := func(most float64, against ...string) suite.Limit {
		return suite.Limit{Suite: "s", Backend: "b", Op: "ours", Most: most, Against: against}
	}
	below, allocs, added := limit(1, "even"), limit(7), limit(4, "bare")
	below.Below, allocs.Unit, added.Unit = true, suite.Allocs, suite.Allocs
	fewer, fewerAdded := allocs, added
	fewer.Most, fewerAdded.Most = 6, 3
	for name, test := range map[string]struct {
		limit  suite.Limit
		median float64
		rival  string
		kept   bool
		clear  bool
	}{
		"within":               {limit(1.25, "bare"), 1.2, "bare", true, false},
		"over":                 {limit(1.15, "bare"), 1.2, "bare", false, false},
		"the worst counts":     {limit(1.15, "slow", "bare", "even"), 1.2, "bare", false, false},
		"far within":           {limit(1.4, "bare"), 1.2, "bare", true, true},
		"far over":             {limit(1.05, "bare"), 1.2, "bare", false, true},
		"equal is within":      {limit(1, "even"), 1, "even", true, true},
		"equal is not below":   {below, 1, "even", false, true},
		"allocations":          {allocs, 7, "", true, true},
		"too many allocations": {fewer, 7, "", false, true},
		"added allocations":    {added, 4, "bare", true, true},
		"too many are added":   {fewerAdded, 4, "bare", false, true},
	} {
		got := suite.Judge([]suite.Limit{test.limit}, results)
		if len(got) != 1 || got[0].Measured == nil {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		v := got[0]
		if m := v.Measured.Median; m < test.median-1e-9 || m > test.median+1e-9 || v.Rival != test.rival || v.Kept() != test.kept || v.Clear() != test.clear {
			t.Errorf("%s: median %v against %q, kept: %v, clear: %v; want %v, %q, %v, %v", name, m, v.Rival, v.Kept(), v.Clear(), test.median, test.rival, test.kept, test.clear)
		}
	}
}

// A missing or broken rival might have been the one that counts.
func TestNoVerdictWithoutEverythingItNeeds(t *testing.T) {
	broken := ran("broken", 0, time.Second)
	broken.Err = errors.New("broken")
	ours, elsewhere := ran("ours", 0, time.Second), ran("elsewhere", 0, time.Second)
	elsewhere.Backend = "another"
	results := []measure.Result{ours, broken, elsewhere, ran("empty", 0), ran("bare", 0, time.Second)}
	for _, l := range []suite.Limit{
		{Suite: "s", Backend: "b", Op: "ours", Against: []string{"bare", "broken"}},
		{Suite: "s", Backend: "b", Op: "ours", Against: []string{"bare", "elsewhere"}},
		{Suite: "s", Backend: "b", Op: "ours", Against: []string{"empty"}},
		{Suite: "s", Backend: "b", Op: "broken", Unit: suite.Allocs},
		{Suite: "s", Backend: "b", Op: "empty", Unit: suite.Allocs},
		{Suite: "s", Backend: "b", Op: "nothing", Unit: suite.Allocs},
	} {
		if got := suite.Judge([]suite.Limit{l}, results); len(got) > 0 {
			t.Errorf("%s against %v: %+v", l.Op, l.Against, got[0])
		}
	}
}

func TestEveryLimitIsOnSomethingThatIsMeasured(t *testing.T) {
	there := make(map[string]bool)
	for _, g := range suite.All(backend.All(), t.TempDir()) {
		for _, op := range g.Ops {
			there[g.Suite+"/"+g.Backend+"/"+op.Name] = true
		}
	}
	for _, l := range suite.Limits() {
		for _, op := range append([]string{l.Op}, l.Against...) {
			if id := l.Suite + "/" + l.Backend + "/" + op; !there[id] {
				t.Errorf("%s: there is no %s", l.What, id)
			}
		}
	}
}
