package app

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"example.com/once/monitoring/domain"
)

// Waits between tries of a unit of work that failed.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 5 * time.Second
)

// Run walks the grid of every rule until ctx ends, and returns nil then. In each slot
// it fetches the targets and evaluates the grid's rules, one after another. It starts
// with the first slot after the call: what lay before cannot be fetched any more, and
// is recorded as skipped if nobody else evaluates it.
//
// Fetching and evaluating go on side by side, so that a database that is slow or away
// does not stop the walk. What is left to evaluate then is a matter of [Config].Missed.
func (m *Monitor) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, g := range m.grids {
		b := newBacklog(m.c.Backlog)
		wg.Go(func() { m.walk(ctx, g, b) })
		wg.Go(func() { m.work(ctx, g, b) })
	}
	wg.Wait()
	return nil
}

// walk fetches in every slot and puts what it gets into the backlog.
func (m *Monitor) walk(ctx context.Context, g grid, b *backlog) {
	last := g.At(time.Now())
	for {
		slot := g.At(time.Now())
		if !slot.After(last) {
			// The wait is bounded, so that a wall clock that is set back and then right
			// again is noticed within an interval.
			wait := min(time.Until(g.Next(last)), g.Interval)
			if !sleep(ctx, max(wait, time.Microsecond)) {
				return
			}
			continue
		}
		if first, _, n := g.Missed(last, slot); n > 0 {
			m.log.WarnContext(ctx, "slots were not fetched", "first", first, "count", n)
		}
		last = slot
		m.count.slots.Add(1)
		m.count.lastSlot.Store(slot.UnixNano())
		snap := m.fetchOnce(ctx, slot)
		if ctx.Err() != nil {
			return
		}
		if dropped := b.push(snap); dropped > 0 {
			m.log.WarnContext(ctx, "evaluation is behind; slots are given up", "count", dropped, "newest", slot)
		}
		m.recordTargets(ctx, snap)
	}
}

// recordTargets keeps what the fetch came to. The page can live without it, so a
// failure is logged and not repeated.
func (m *Monitor) recordTargets(ctx context.Context, snap Snapshot) {
	if m.c.TargetLog == nil || len(snap.Statuses) == 0 {
		return
	}
	if err := m.c.TargetLog.RecordTargets(ctx, snap.Statuses); err != nil && ctx.Err() == nil {
		m.log.WarnContext(ctx, "target status is not recorded", "slot", snap.Slot, "err", err)
	}
}

// work evaluates what is in the backlog, in order.
func (m *Monitor) work(ctx context.Context, g grid, b *backlog) {
	for {
		snap, ok := b.pop(ctx)
		if !ok {
			return
		}
		m.evaluateAll(ctx, g, b, snap)
	}
}

// evaluateAll evaluates the grid's rules in one slot. Rules whose unit of work fails
// are tried again; a later slot must not overtake this one, or its transitions would be
// lost. Under SkipMissed a newer slot that is waiting ends the tries.
func (m *Monitor) evaluateAll(ctx context.Context, g grid, b *backlog, snap Snapshot) {
	todo := g.rules
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		var failed []*domain.Rule
		for _, r := range todo {
			if ctx.Err() != nil {
				return
			}
			_, _, err := m.EvaluateSlot(ctx, r, snap)
			if err != nil {
				failed = append(failed, r)
				m.log.WarnContext(ctx, "unit of work failed; it is repeated", "rule", r.ID, "slot", snap.Slot, "err", err)
			}
		}
		if len(failed) == 0 {
			return
		}
		todo = failed
		if !sleep(ctx, wait/2+rand.N(wait/2)) {
			return
		}
		if m.c.Missed == SkipMissed && b.waiting() {
			m.log.WarnContext(ctx, "slot is given up for a newer one", "slot", snap.Slot, "rules", len(failed))
			return
		}
	}
}

// sleep waits and says whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// backlog holds snapshots that wait to be evaluated, at most limit of them.
type backlog struct {
	limit int
	wake  chan struct{} // holds a token if something is new
	mu    sync.Mutex
	snaps []Snapshot // oldest first, guarded by mu
}

func newBacklog(limit int) *backlog { return &backlog{limit: limit, wake: make(chan struct{}, 1)} }

// push adds a snapshot and says how many older ones had to give way.
func (b *backlog) push(s Snapshot) (dropped int) {
	b.mu.Lock()
	b.snaps = append(b.snaps, s)
	if dropped = max(len(b.snaps)-b.limit, 0); dropped > 0 {
		b.snaps = append(b.snaps[:0], b.snaps[dropped:]...)
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return dropped
}

// pop waits for the oldest snapshot; false says that ctx is over.
func (b *backlog) pop(ctx context.Context) (Snapshot, bool) {
	for {
		b.mu.Lock()
		if len(b.snaps) > 0 {
			s := b.snaps[0]
			b.snaps = append(b.snaps[:0], b.snaps[1:]...)
			b.mu.Unlock()
			return s, true
		}
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return Snapshot{}, false
		case <-b.wake:
		}
	}
}

func (b *backlog) waiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.snaps) > 0
}
