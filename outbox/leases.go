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
	lease Lease
	until time.Time // by the monotonic clock, from before the request; guarded by worker.mu
	gone  bool      // held by another now; guarded by worker.mu

	// Of the worker alone:
	low, after int64     // every message at or below is gone or parked: surely, and as far as was seen
	rescanned  time.Time // when it was last read from low
}

type workerID struct {
	lane uint8
	slot int
}

// keepLeases renews the leases, hands shards to workers, and ends when ctx has and every
// worker is done.
func (s *session) keepLeases(ctx context.Context, p phases) {
	var workers sync.WaitGroup
	defer workers.Wait()
	wait := time.Duration(0)
	for fails := 0; ; {
		sleep(ctx, wait, s.renew)
		if ctx.Err() != nil {
			return
		}
		asked := time.Now()
		leases, err := s.lease(ctx)
		if err != nil {
			s.failed(ctx, "lease", err)
			wait = jitter(min(s.config.LeaseTTL/10<<min(fails, 4), s.config.LeaseTTL/3, time.Second), 0.2)
			fails++
			continue
		}
		fails = 0
		s.assign(leases, asked, func(w *worker) { workers.Go(func() { w.run(p) }) })
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

// assign tells the workers what they hold now, and starts those that are new.
func (s *session) assign(leases []Lease, asked time.Time, start func(*worker)) {
	byWorker := map[workerID][]Lease{}
	for _, l := range leases {
		id := workerID{lane: l.Lane, slot: l.Shard % s.config.Concurrency}
		byWorker[id] = append(byWorker[id], l)
	}
	for id := range byWorker {
		if s.workers[id] != nil {
			continue
		}
		if s.lanes[id.lane] == nil {
			s.lanes[id.lane] = newLane(id.lane, s.config.Probe)
		}
		w := newWorker(s, s.lanes[id.lane])
		s.workers[id] = w
		start(w)
	}
	for id, w := range s.workers {
		if lost := w.hold(byWorker[id], asked); lost > 0 {
			s.config.Logger.Info("outbox: shards went to another relay", slog.Int("shards", lost), slog.Int("lane", int(id.lane)))
		}
	}
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
			if w.released[l.Shard] == l.Epoch {
				continue // given back while this answer was on its way
			}
			sh = &shard{}
			gained = true
		}
		sh.lease, sh.until = l, asked.Add(min(l.Left, w.config.LeaseTTL))
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
func (w *worker) mine(now time.Time) (work []*shard, owed []Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, sh := range w.shards { // in random order: no shard is always last
		switch {
		case sh.lease.Surplus:
			owed = append(owed, sh.lease)
			w.released[n] = sh.lease.Epoch
			sh.gone = true
			delete(w.shards, n)
		case w.left(sh, now) >= w.config.LeaseTTL/4:
			work = append(work, sh)
		}
	}
	return work, owed
}

// left is the time that a call for sh may take. The caller holds mu.
func (w *worker) left(sh *shard, now time.Time) time.Duration {
	if sh.gone {
		return 0
	}
	return sh.until.Sub(now) - w.config.LeaseTTL/10
}

// giveBack releases the shards that another relay is owed. It is repeated until it
// succeeds: meanwhile every Lease renews them, and nobody serves them.
func (w *worker) giveBack(ctx context.Context, owed []Lease) {
	w.mu.Lock()
	w.owed = append(w.owed, owed...)
	owed = slices.Clone(w.owed)
	w.mu.Unlock()
	if len(owed) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.config.LeaseTTL/3)
	defer cancel()
	if err := w.store.Release(ctx, w.config.Owner, owed); err != nil {
		w.failed(ctx, "release", err)
		return
	}
	w.mu.Lock()
	w.owed = nil
	w.mu.Unlock()
}
