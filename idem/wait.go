package idem

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// rooms is where calls wait for keys in flight. The zero value works.
//
// The calls of one process that wait for one key share a room. One of them at a time looks
// at the store, so that a hot key costs the store one poll at a time however many wait; the
// end of a run in this process opens the room at once.
type rooms struct {
	mu      sync.Mutex
	open    map[Key]*room
	waiting atomic.Int64
}

type room struct {
	changed chan struct{} // closed when the key is worth another claim
	poll    chan struct{} // holds the right to look at the store, unless somebody has it
	inside  int
}

func (rs *rooms) enter(k Key) *room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rm := rs.open[k]
	if rm == nil {
		if rs.open == nil {
			rs.open = make(map[Key]*room)
		}
		rm = &room{changed: make(chan struct{}), poll: make(chan struct{}, 1)}
		rm.poll <- struct{}{}
		rs.open[k] = rm
	}
	rm.inside++
	return rm
}

func (rs *rooms) leave(k Key, rm *room) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rm.inside--; rm.inside == 0 && rs.open[k] == rm {
		delete(rs.open, k)
	}
}

// wake lets everybody who waits for k claim again. Whoever begins to wait later polls at
// once, so nobody misses it.
func (rs *rooms) wake(k Key) {
	if rs.waiting.Load() == 0 {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rm := rs.open[k]; rm != nil {
		close(rm.changed)
		delete(rs.open, k)
	}
}

// claimer claims a call's key once more. It says when it sent the claim that was answered.
type claimer func() (rec Record, sent time.Time, err error)

// acquire claims a key, and waits for it if the call may.
func (g *Guard) acquire(ctx context.Context, c *call) (Record, time.Time, error) {
	if rec, ok := g.recall(ctx, c); ok {
		return rec, time.Time{}, nil
	}
	claim := g.newClaim(c)
	rec, sent, err := g.claim(ctx, claim)
	if err != nil || rec.State != InFlight || c.wait <= 0 {
		return rec, sent, err
	}
	return g.await(ctx, c, rec, func() (Record, time.Time, error) { return g.claim(ctx, claim) })
}

// recall is the answer to a call of a finished key that is known without asking the store.
func (g *Guard) recall(ctx context.Context, c *call) (Record, bool) {
	if g.cache == nil || ctx.Err() != nil {
		return Record{}, false
	}
	return g.cache.answer(c.key, c.fingerprint)
}

// await claims again whenever it may help, until the key is not in flight any more or the
// wait is over.
func (g *Guard) await(ctx context.Context, c *call, rec Record, claim claimer) (_ Record, sent time.Time, err error) {
	limit := int64(g.config.MaxWaiters)
	defer g.rooms.waiting.Add(-1)
	if g.rooms.waiting.Add(1) > limit && limit >= 0 {
		return rec, time.Time{}, nil
	}
	over := time.NewTimer(c.wait)
	defer over.Stop()
	for again := true; again; {
		if rec, sent, again, err = g.visit(ctx, c, over.C, rec, claim); err != nil || rec.State != InFlight {
			break
		}
	}
	return rec, sent, err
}

// visit waits in the key's room. It claims when the room opens; if somebody else was faster,
// another visit may help.
func (g *Guard) visit(
	ctx context.Context, c *call, over <-chan time.Time, rec Record, claim claimer,
) (_ Record, sent time.Time, again bool, err error) {
	rm := g.rooms.enter(c.key)
	defer g.rooms.leave(c.key, rm)
	select {
	case <-rm.changed:
	case <-rm.poll:
		var opened bool
		if rec, sent, opened, err = g.lookOut(ctx, c.key, rm, over, rec, claim); !opened {
			return rec, sent, false, err
		}
	case <-over:
		return rec, sent, false, nil
	case <-ctx.Done():
		return rec, sent, false, gaveUp(ctx, rec)
	}
	if known, ok := g.recall(ctx, c); ok {
		return known, time.Time{}, false, nil
	}
	rec, sent, err = claim()
	return rec, sent, true, err
}

// lookOut polls for its room until it has an answer, the wait is over, or the room opens.
func (g *Guard) lookOut(
	ctx context.Context, k Key, rm *room, over <-chan time.Time, rec Record, claim claimer,
) (_ Record, sent time.Time, opened bool, err error) {
	const shortest, longest = 25 * time.Millisecond, 250 * time.Millisecond
	defer func() { rm.poll <- struct{}{} }() // the next one's
	next := time.NewTimer(0)                 // the run may have ended before we came
	defer next.Stop()
	for interval := shortest; ; interval = min(interval*3/2, longest) {
		select {
		case <-rm.changed:
			return rec, sent, true, nil
		case <-over:
			return rec, sent, false, nil
		case <-ctx.Done():
			return rec, sent, false, gaveUp(ctx, rec)
		case <-next.C:
		}
		rec, sent, err = claim()
		if err != nil {
			return rec, sent, false, err
		}
		if rec.State == Done {
			g.rooms.wake(k)
		}
		if rec.State != InFlight {
			return rec, sent, false, nil
		}
		// Not long after the lease: its holder may be dead.
		next.Reset(min(interval/2+rand.N(interval), rec.Left+time.Millisecond))
	}
}

// gaveUp says that the caller stopped waiting; nothing ran.
func gaveUp(ctx context.Context, rec Record) error {
	return fmt.Errorf("%w: gave up waiting: %w", inFlight(rec), ctx.Err())
}

// inFlight is the error for a key that somebody else holds. Its hint is short: most runs
// end long before their lease does.
func inFlight(rec Record) error {
	return &InFlightError{RetryAfter: min(rec.Left, time.Second)}
}
