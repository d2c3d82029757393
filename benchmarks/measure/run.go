package measure

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"
)

// Config says how much to measure.
type Config struct {
	Callers []int         // numbers of concurrent callers to measure
	Rounds  int           // how often each operation has its turn
	Time    time.Duration // what all of it should take: it is spread over the operations
	// Limit is how long it may take if the machine is slower than that: then the rest is
	// not measured. 0 = Time.
	Limit time.Duration
	// Match selects operations by [Group.ID]; nil = all. What a selected one is compared
	// with is measured too.
	Match func(id string) bool
	// Progress is told what is next; nil = nobody is.
	Progress func(Progress)
}

// Progress tells how far a run has come.
type Progress struct {
	Done, All int // measurements
	Next      string
}

// Outcome is what a run has found.
type Outcome struct {
	Results []Result
	Missing int // operations that it did not come to
}

// Run measures. When ctx or the time ends it returns what it has. An operation that fails
// is a Result with Err; an error of Run's own is one of the arguments'.
func Run(ctx context.Context, groups []Group, c Config) (Outcome, error) {
	switch {
	case len(c.Callers) == 0:
		return Outcome{}, errors.New("measure: Config.Callers is empty; give at least one number of callers")
	case c.Rounds < 1:
		return Outcome{}, fmt.Errorf("measure: Config.Rounds is %d; give at least 1", c.Rounds)
	case c.Time <= 0:
		return Outcome{}, fmt.Errorf("measure: Config.Time is %v; give a positive duration", c.Time)
	}
	if c.Limit == 0 {
		c.Limit = c.Time
	}
	if c.Limit < c.Time {
		return Outcome{}, fmt.Errorf("measure: Config.Limit is %v; give at least Config.Time, %v", c.Limit, c.Time)
	}
	for _, n := range c.Callers {
		if n < 1 {
			return Outcome{}, fmt.Errorf("measure: Config.Callers has %d; callers are counted from 1", n)
		}
	}
	if c.Match == nil {
		c.Match = func(string) bool { return true }
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	blocks := plan(groups, c.Callers, c.Match)
	ctx, cancel := context.WithTimeout(ctx, c.Limit)
	defer cancel()
	all := 0
	for _, b := range blocks {
		all += len(b.ops)
	}
	var o Outcome
	p, done := newPacer(c, all), 0
	for _, b := range blocks {
		if ctx.Err() != nil {
			break
		}
		c.Progress(Progress{Done: done, All: all, Next: fmt.Sprintf("%s on %s (%s), callers=%d", b.group.Suite, b.group.Backend, b.group.Durability, b.callers)})
		o.Results = append(o.Results, b.run(ctx, c.Rounds, p)...)
		done += len(b.ops)
	}
	o.Missing = all - len(o.Results)
	return o, nil
}

// run measures a block's operations side by side.
func (b *block) run(ctx context.Context, rounds int, p *pacer) []Result {
	results := make([]Result, len(b.ops))
	lanes := make([]lane, len(b.ops))
	for i, op := range b.ops {
		results[i] = Result{
			Suite: b.group.Suite, Backend: b.group.Backend, Durability: b.group.Durability,
			Op: op.Name, Bare: op.Bare, Callers: b.callers,
		}
		lanes[i] = lane{op: op, result: &results[i], runner: newRunner(b.callers)}
	}
	begin := time.Now()
	slice := p.slice(begin)
	for i := range lanes {
		if ctx.Err() == nil {
			lanes[i].note(ctx, lanes[i].warmUp(ctx, slice))
		}
	}
	p.spent(warmUpTurn*float64(len(lanes)), slice, time.Since(begin))
	for n := range rounds {
		begin, slice = time.Now(), p.slice(time.Now())
		for i := range lanes {
			l := &lanes[(i+n)%len(lanes)] // nobody is always first
			if l.result.Err == nil && ctx.Err() == nil {
				l.note(ctx, l.round(ctx, n, slice))
			}
		}
		p.spent(float64(len(lanes)), slice, time.Since(begin))
	}
	for i := range lanes {
		l := &lanes[i]
		l.note(ctx, l.runner.close(ctx))
		l.result.P50, l.result.P99 = l.runner.percentiles()
	}
	return b.finish(results)
}

// finish compares the results and leaves out those that there is nothing to say of.
func (b *block) finish(results []Result) []Result {
	byName := make(map[string]*Result, len(results))
	for i := range results {
		byName[results[i].Op] = &results[i]
	}
	kept := results[:0:0]
	for i := range results {
		r := &results[i]
		if bare := byName[r.Bare]; bare != nil && r.Err == nil && bare.Err == nil {
			r.compare(bare)
		}
		if len(r.Rounds) > 0 || r.Err != nil {
			kept = append(kept, *r)
		}
	}
	return kept
}

// lane is one operation's way through the rounds.
type lane struct {
	op     *Op
	result *Result
	runner *runner
}

// note keeps the first error, unless it comes from the end of ctx.
func (l *lane) note(ctx context.Context, err error) {
	if err != nil && l.result.Err == nil && ctx.Err() == nil {
		l.result.Err = err
	}
}

// warmUp fills caches and finds out how often the clock can be read.
func (l *lane) warmUp(ctx context.Context, slice time.Duration) error {
	if l.op.Loop != nil {
		_, err := loop(l.op, leastSlice)
		return err
	}
	if err := l.runner.open(ctx, l.op); err != nil {
		return err
	}
	round, err := l.runner.slice(ctx, slice/2)
	if err != nil {
		return err
	}
	l.runner.calibrate(round)
	l.runner.reset()
	if l.op.Fresh {
		return l.runner.close(ctx)
	}
	return nil
}

func (l *lane) round(ctx context.Context, n int, slice time.Duration) error {
	round, err := l.take(ctx, slice)
	if err != nil {
		return err
	}
	round.Number = n
	l.result.Rounds = append(l.result.Rounds, round)
	return nil
}

func (l *lane) take(ctx context.Context, slice time.Duration) (Round, error) {
	if l.op.Loop != nil {
		return loop(l.op, slice)
	}
	if l.op.Fresh {
		if err := l.runner.open(ctx, l.op); err != nil {
			return Round{}, err
		}
	}
	round, err := l.runner.slice(ctx, slice)
	if err == nil && l.op.Fresh {
		err = l.runner.close(ctx)
	}
	return round, err
}

// loop runs an operation that is a benchmark of its own for about d.
func loop(op *Op, d time.Duration) (Round, error) {
	testing.Init() // registers the flag, once
	before := flag.Lookup("test.benchtime").Value.String()
	if err := flag.Set("test.benchtime", d.String()); err != nil {
		return Round{}, fmt.Errorf("set the time of a benchmark: %w", err)
	}
	defer func() { _ = flag.Set("test.benchtime", before) }()
	err := errors.New("the benchmark did not return")
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		if err = op.Loop(b); err != nil {
			b.FailNow()
		}
	})
	if err != nil {
		return Round{}, err
	}
	return Round{Ops: int64(r.N), Elapsed: r.T, Allocs: r.MemAllocs, Bytes: r.MemBytes}, nil
}
