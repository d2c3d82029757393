package measure

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept to 1 %, up to a minute.
const (
	latencyDigits = 2
	latencyMax    = int64(time.Minute)
)

// timing is how much work lies between two readings of the clock at least: a reading costs
// some 50 ns, which must not show.
const (
	timing    = 4 * time.Microsecond
	maxStride = 256
)

// worker is one caller.
type worker struct {
	latency *hdrhistogram.Histogram // one of stride operations each
	ops     int64
	end     time.Time
	err     error
}

// runner runs slices of one job.
type runner struct {
	job     *Job
	workers []worker
	stride  int   // of how many operations one is timed
	calls   int64 // all that the job was called
}

func newRunner(callers int) *runner {
	r := &runner{workers: make([]worker, callers), stride: 1}
	for i := range r.workers {
		r.workers[i].latency = hdrhistogram.New(1, latencyMax, latencyDigits)
	}
	return r
}

// slice lets the callers work for d, but for at least one operation each.
func (r *runner) slice(ctx context.Context, d time.Duration) (Round, error) {
	begin := make(chan time.Time) // never sent to
	var start time.Time
	var ready, done sync.WaitGroup
	ready.Add(len(r.workers))
	for i := range r.workers {
		done.Go(func() {
			// A context of its own, as requests have: one parent for all would make
			// the callers queue for its lock.
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			ready.Done()
			<-begin
			r.workers[i].work(ctx, r.job, i, start, d, r.stride)
		})
	}
	ready.Wait()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start = time.Now()
	close(begin)
	done.Wait()
	runtime.ReadMemStats(&after)

	round := Round{Allocs: after.Mallocs - before.Mallocs, Bytes: after.TotalAlloc - before.TotalAlloc}
	var errs []error
	for i := range r.workers {
		w := &r.workers[i]
		round.Ops += w.ops
		round.Elapsed = max(round.Elapsed, w.end.Sub(start))
		if w.err != nil {
			errs = append(errs, w.err)
		}
	}
	r.calls += round.Ops
	if ctx.Err() != nil {
		return round, ctx.Err()
	}
	if len(errs) > 0 {
		return round, fmt.Errorf("%d of %d callers failed, the first: %w", len(errs), len(r.workers), errs[0])
	}
	return round, nil
}

func (w *worker) work(ctx context.Context, job *Job, caller int, start time.Time, d time.Duration, stride int) {
	w.ops, w.err = 0, nil
	from := time.Now()
	defer func() { w.end = time.Now() }()
	for {
		if w.err = job.Call(ctx, caller); w.err != nil {
			return
		}
		w.ops++
		to := time.Now()
		if err := w.latency.RecordValue(max(1, min(int64(to.Sub(from)), latencyMax))); err != nil {
			w.err = err
			return
		}
		if to.Sub(start) >= d || ctx.Err() != nil {
			return
		}
		for range stride - 1 {
			if w.err = job.Call(ctx, caller); w.err != nil {
				return
			}
			w.ops++
		}
		from = to
		if stride > 1 {
			from = time.Now()
		}
	}
}

// calibrate sets the stride from a round.
func (r *runner) calibrate(round Round) {
	if round.Ops == 0 {
		return
	}
	busy := round.Elapsed * time.Duration(min(len(r.workers), runtime.GOMAXPROCS(0)))
	each := max(1, busy/time.Duration(round.Ops))
	r.stride = int(min(1+timing/each, maxStride))
}

// reset forgets the latencies recorded so far.
func (r *runner) reset() {
	for i := range r.workers {
		r.workers[i].latency.Reset()
	}
}

// percentiles of the operations timed so far; zero if there were none.
func (r *runner) percentiles() (p50, p99 time.Duration) {
	all := hdrhistogram.New(1, latencyMax, latencyDigits)
	for i := range r.workers {
		all.Merge(r.workers[i].latency)
	}
	if all.TotalCount() == 0 {
		return 0, 0
	}
	return time.Duration(all.ValueAtQuantile(50)), time.Duration(all.ValueAtQuantile(99))
}

// open opens op's job for the runner.
func (r *runner) open(ctx context.Context, op *Op) error {
	job, err := op.Open(ctx, len(r.workers))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	r.job, r.calls = job, 0
	return nil
}

// close checks and closes the runner's job, if it is open.
func (r *runner) close(ctx context.Context) error {
	if r.job == nil {
		return nil
	}
	job, calls := r.job, r.calls
	r.job = nil
	if err := job.Finish(ctx, calls); err != nil && !errors.Is(err, ctx.Err()) {
		return fmt.Errorf("after %d calls: %w", calls, err)
	}
	return nil
}
