package outbox

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// shard is a lease and how far its holder has read. A new epoch makes a new shard.
type shard struct {
	lease Lease // only Shard, Lane and Epoch, which never change

	// Guarded by worker.mu:
	until   time.Time // by the monotonic clock, from before the request
	surplus bool
	gone    bool // held by another now, or by nobody

	// Of the worker alone:
	low  int64 // every message at or below is gone or parked, and none will appear
	seen int64 // the highest message that was read
}

type workerID struct {
	lane uint8
	slot int
}

// keepLeases renews the leases, hands shards to workers, and ends when p.stop has and
// every worker is done.
func (s *session) keepLeases(p phases) {
	ctx := p.stop
	var workers sync.WaitGroup
	defer workers.Wait()
	wait := time.Duration(0)
	for fails := 0; ; {
		sleep(ctx, wait, s.renew, nil)
		if ctx.Err() != nil {
			return
		}
		asked := time.Now()
		leases, err := s.lease(ctx)
		if err != nil {
			s.failed(ctx, "lease", err)
			wait = jitter(doubled(s.config.LeaseTTL/10, fails, min(s.config.LeaseTTL/3, time.Second)), 0.2)
			fails++
			continue
		}
		fails = 0
		lost := s.assign(leases, asked, func(w *worker) { workers.Go(func() { w.run(p) }) })
		if lost > 0 {
			s.config.Logger.LogAttrs(ctx, slog.LevelInfo, "outbox: shards went to another relay", slog.Int("shards", lost))
		}
		if f := s.config.Hooks.Leases; f != nil {
			f(ctx, len(leases))
		}
		wait = jitter(s.config.LeaseTTL/3, 0.1) - time.Since(asked)
	}
}

func (s *session) lease(ctx context.Context) ([]Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.LeaseTTL/3)
	defer cancel()
	skip := s.skip
	for number, l := range s.lanes {
		if l.isStuck() && !slices.Contains(skip, number) {
			skip = append(slices.Clip(skip), number)
		}
	}
	return s.store.Lease(ctx, LeaseRequest{Owner: s.config.Owner, TTL: s.config.LeaseTTL, Skip: skip})
}

// renewNow asks for a renewal ahead of time.
func (s *session) renewNow() {
	select {
	case s.renew <- struct{}{}:
	default:
	}
}

// assign tells the workers what they hold now, starts those that are new, and returns how
// many shards were lost unasked.
func (s *session) assign(leases []Lease, asked time.Time, start func(*worker)) (lost int) {
	byWorker := map[workerID][]Lease{}
	for _, l := range leases {
		id := workerID{lane: l.Lane, slot: l.Shard % s.config.Concurrency}
		byWorker[id] = append(byWorker[id], l)
	}
	var fresh []*worker
	for id := range byWorker {
		if s.workers[id] != nil {
			continue
		}
		if s.lanes[id.lane] == nil {
			s.lanes[id.lane] = newLane(id.lane, s.config.Probe)
		}
		w := newWorker(s, s.lanes[id.lane])
		s.workers[id] = w
		fresh = append(fresh, w)
	}
	for id, w := range s.workers {
		lost += w.hold(byWorker[id], asked)
	}
	for _, w := range fresh {
		start(w)
	}
	return lost
}

// hold replaces what w holds and returns how many shards it lost unasked.
func (w *worker) hold(leases []Lease, asked time.Time) (lost int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := map[int]*shard{}
	gained := false
	for _, l := range leases {
		sh := w.shards[l.Shard]
		if sh == nil || sh.lease.Epoch != l.Epoch {
			if w.over[l.Shard] == l.Epoch {
				continue // given back or lost while this answer was on its way
			}
			sh = &shard{lease: Lease{Shard: l.Shard, Lane: l.Lane, Epoch: l.Epoch}}
			gained = true
		}
		sh.until, sh.surplus = asked.Add(min(l.Left, w.config.LeaseTTL)), l.Surplus
		now[l.Shard] = sh
	}
	for n, sh := range w.shards {
		if now[n] != sh {
			sh.gone = true
			lost++
		}
	}
	w.shards = now
	if gained {
		select {
		case w.gained <- struct{}{}:
		default:
		}
	}
	return lost
}

// mine returns the shards that w may work on now, in a random order, and takes out those
// that another relay is owed.
func (w *worker) mine(now time.Time) []*shard {
	w.mu.Lock()
	defer w.mu.Unlock()
	var work []*shard
	for _, sh := range w.shards { // in random order: no shard is always last
		switch {
		case sh.surplus:
			w.owed = append(w.owed, sh.lease)
			w.end(sh)
		case w.left(sh, now) >= w.config.LeaseTTL/4:
			work = append(work, sh)
		}
	}
	return work
}

// left is the time that a call for sh may take. The caller holds mu.
func (w *worker) left(sh *shard, now time.Time) time.Duration {
	if sh.gone {
		return 0
	}
	return sh.until.Sub(now) - w.config.LeaseTTL/10
}

// end makes sh no business of w's any more, whatever answer about its lease is on its way.
// The caller holds mu.
func (w *worker) end(sh *shard) {
	n := sh.lease.Shard
	if w.shards[n] == sh {
		delete(w.shards, n)
	}
	w.over[n] = sh.lease.Epoch
	sh.gone = true
}

// lose is for a shard that the store says another relay holds.
func (w *worker) lose(sh *shard) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end(sh)
}

// giveBack releases the shards that another relay is owed. It is repeated until it
// succeeds: meanwhile every Lease renews them, and nobody serves them.
func (w *worker) giveBack(stop context.Context) {
	if len(w.owed) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(stop, w.config.LeaseTTL/3)
	defer cancel()
	if err := w.store.Release(ctx, w.config.Owner, w.owed); err != nil {
		w.failed(stop, "release", err)
		return
	}
	w.owed = nil
}
