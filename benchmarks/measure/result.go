package measure

import (
	"math"
	"time"

	"golang.org/x/perf/benchmath"
)

// Round is what one operation did in one round.
type Round struct {
	Number  int   // of the round, from 0
	Ops     int64 // operations that were finished
	Elapsed time.Duration
	Allocs  uint64
	Bytes   uint64
}

// perOp is the time for each operation, in seconds. With several callers it is what an
// operation takes of the time of all, not how long one of them waits.
func (r Round) perOp() float64 { return r.Elapsed.Seconds() / float64(r.Ops) }

func (r Round) allocsPerOp() float64 { return float64(r.Allocs) / float64(r.Ops) }

// Result is what was measured of one operation with one number of callers.
type Result struct {
	Suite, Backend, Durability, Op, Bare string

	Callers int
	Rounds  []Round
	// P50 and P99 are percentiles of single operations as their callers see them, over
	// all rounds; zero if there is no such thing.
	P50, P99 time.Duration
	// Ratio is the time per operation, divided by that of the bare one in the same round;
	// Added is the difference, in seconds. nil if there is nothing to compare with.
	Ratio, Added *Estimate
	// Err is why the operation could not be measured, or what it did wrong.
	Err error
}

// Estimate is a median over rounds and how far it can be trusted.
type Estimate struct {
	Median float64
	// Low and High bound the median with the given confidence. A confidence of zero says
	// that there were too few rounds for 95 %: then they are the least and the greatest value.
	Low, High, Confidence float64
}

// estimate leaves values sorted.
func estimate(values []float64) *Estimate {
	if len(values) == 0 {
		return nil
	}
	const confidence = 0.95
	sample := benchmath.NewSample(values, &benchmath.DefaultThresholds)
	s := benchmath.AssumeNothing.Summary(sample, confidence)
	e := &Estimate{Median: s.Center, Low: s.Lo, High: s.Hi, Confidence: s.Confidence}
	if math.IsInf(e.Low, 0) || math.IsInf(e.High, 0) {
		e.Low, e.High, e.Confidence = sample.Values[0], sample.Values[len(sample.Values)-1], 0
	}
	return e
}

// median over the rounds of what f says; zero without rounds.
func (r *Result) median(f func(Round) float64) float64 {
	values := make([]float64, len(r.Rounds))
	for i, round := range r.Rounds {
		values[i] = f(round)
	}
	if e := estimate(values); e != nil {
		return e.Median
	}
	return 0
}

// PerSecond is how many operations finish in a second, all callers together.
func (r *Result) PerSecond() float64 {
	return r.median(func(r Round) float64 { return float64(r.Ops) / r.Elapsed.Seconds() })
}

// PerOp is the time for each operation, in seconds: 1/PerSecond.
func (r *Result) PerOp() float64 { return r.median(Round.perOp) }

// ID names the measurement as [Group.ID] does.
func (r *Result) ID() string { return id(r.Suite, r.Backend, r.Durability, r.Op, r.Callers) }

// AllocsPerOp is how many allocations an operation makes.
func (r *Result) AllocsPerOp() float64 {
	return r.median(Round.allocsPerOp)
}

// Allocated estimates how many allocations an operation makes; nil without rounds.
func (r *Result) Allocated() *Estimate {
	values := make([]float64, len(r.Rounds))
	for i, round := range r.Rounds {
		values[i] = round.allocsPerOp()
	}
	return estimate(values)
}

// BytesPerOp is how much memory an operation allocates.
func (r *Result) BytesPerOp() float64 {
	return r.median(func(r Round) float64 { return float64(r.Bytes) / float64(r.Ops) })
}

// compare sets r.Ratio and r.Added.
func (r *Result) compare(bare *Result) {
	c := Compare(r, bare)
	r.Ratio, r.Added = c.Ratio, c.Added
}

// Comparison says how an operation differs from another one. The estimates are nil if there
// is no round that both have.
type Comparison struct {
	Ratio  *Estimate // of the times per operation
	Added  *Estimate // time per operation, in seconds
	Allocs *Estimate // allocations per operation that are added
}

// Compare compares two results of one block. Rounds are paired: what disturbs the machine for
// a while then disturbs both sides of each fraction.
func Compare(r, bare *Result) Comparison {
	of := make(map[int]Round, len(bare.Rounds))
	for _, round := range bare.Rounds {
		of[round.Number] = round
	}
	var ratios, added, allocs []float64
	for _, round := range r.Rounds {
		b, ok := of[round.Number]
		if !ok {
			continue
		}
		ratios = append(ratios, round.perOp()/b.perOp())
		added = append(added, round.perOp()-b.perOp())
		allocs = append(allocs, round.allocsPerOp()-b.allocsPerOp())
	}
	return Comparison{estimate(ratios), estimate(added), estimate(allocs)}
}
