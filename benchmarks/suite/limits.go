package suite

import "example.com/once/benchmarks/measure"

// Limit is a bound that an operation promises to keep, measured against others of its block.
// A run tells whether it did; it fails no test, since machines are not equally quiet.
type Limit struct {
	What string // the promise, for people
	Unit Unit
	Most float64
	// Below says that Most itself is too much already.
	Below bool
	// Suite, Backend and Op name the operation.
	Suite, Backend, Op string
	// Against names what it is compared with: the one of them that it does worst against
	// counts. Allocations need none.
	Against []string
}

// Unit is what a limit is on.
type Unit int

const (
	Times  Unit = iota // time per operation, divided by that of another operation
	Allocs             // allocations per operation; those added, if there is another operation
)

// Limits are the promises that the operations of [All] make.
func Limits() []Limit {
	return []Limit{
		{
			What: "Do with a budget allocates nothing", Unit: Allocs, Most: 0,
			Suite: retrySuite, Backend: succeeds, Op: doBudget,
		},
		{
			What: "Do with a budget beside the loop by hand", Most: 1.3,
			Suite: retrySuite, Backend: succeeds, Op: doBudget, Against: []string{handLoop},
		},
		{
			What: "Do with a budget beside every other library", Most: 1, Below: true,
			Suite: retrySuite, Backend: succeeds, Op: doBudget, Against: rivals(),
		},
		{
			What: "Do with a breaker beside gobreaker in the loop by hand", Most: 1.3,
			Suite: retrySuite, Backend: succeeds, Op: doBreaker, Against: []string{breakerLoop},
		},
		{
			What: "three failures and a success: allocations", Unit: Allocs, Most: 5,
			Suite: retrySuite, Backend: failsFirst, Op: doBudget,
		},
		{
			What: "three failures and a success beside every other library", Most: 1, Below: true,
			Suite: retrySuite, Backend: failsFirst, Op: doBudget, Against: rivals(),
		},
		{
			What: "Transport: a GET that succeeds", Most: 1.03,
			Suite: clientSuite, Backend: loopback, Op: transportGET, Against: []string{clientGET},
		},
		{
			What: "Transport: allocations added to a GET", Unit: Allocs, Most: 4,
			Suite: clientSuite, Backend: loopback, Op: transportGET, Against: []string{clientGET},
		},
	}
}

// rivals are the other libraries' retries without a breaker.
func rivals() []string {
	var names []string
	for _, p := range peers() {
		if p.bare == handLoop {
			names = append(names, p.name)
		}
	}
	return names
}

// Verdict is how a limit was kept.
type Verdict struct {
	Limit

	Callers  int
	Rival    string            // the one of Against that counted; "" = none
	Measured *measure.Estimate // nil = it was not measured
}

// Kept says whether the median is within the limit.
func (v *Verdict) Kept() bool {
	switch {
	case v.Measured == nil:
		return false
	case v.Below:
		return v.Measured.Median < v.Most
	case v.Unit == Allocs:
		// What the runtime allocates on the side is shared by thousands of operations.
		const others = 0.1
		return v.Measured.Median <= v.Most+others
	}
	return v.Measured.Median <= v.Most
}

// Clear says whether the measurement is good enough to tell: the limit is not within its spread.
func (v *Verdict) Clear() bool {
	return v.Measured != nil && (v.Most <= v.Measured.Low || v.Most >= v.Measured.High)
}

// Judge says how the limits were kept, of those whose operations were measured.
func Judge(limits []Limit, results []measure.Result) []Verdict {
	var all []Verdict
	for _, l := range limits {
		for i := range results {
			r := &results[i]
			if r.Suite == l.Suite && r.Backend == l.Backend && r.Op == l.Op && r.Err == nil {
				if v := judge(l, r, results); v.Measured != nil {
					all = append(all, v)
				}
			}
		}
	}
	return all
}

// judge measures one limit. If one of those to compare with is missing there is no verdict: it
// might have been the one that counts.
func judge(l Limit, r *measure.Result, results []measure.Result) Verdict {
	v := Verdict{Limit: l, Callers: r.Callers}
	if len(l.Against) == 0 {
		v.Measured = r.Allocated()
		return v
	}
	for _, name := range l.Against {
		other := find(results, r, name)
		if other == nil || other.Err != nil {
			return Verdict{Limit: l, Callers: r.Callers}
		}
		c := measure.Compare(r, other)
		e := c.Ratio
		if l.Unit == Allocs {
			e = c.Allocs
		}
		if e == nil {
			return Verdict{Limit: l, Callers: r.Callers}
		}
		if v.Measured == nil || e.Median > v.Measured.Median {
			v.Measured, v.Rival = e, name
		}
	}
	return v
}

// find returns the named operation of r's block.
func find(results []measure.Result, r *measure.Result, name string) *measure.Result {
	for i := range results {
		if o := &results[i]; o.Suite == r.Suite && o.Backend == r.Backend && o.Durability == r.Durability && o.Callers == r.Callers && o.Op == name {
			return o
		}
	}
	return nil
}
