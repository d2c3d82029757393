package idem

import (
	"context"
	"errors"
	"sync"
	"time"
)

// renewal is the part of a run that its heartbeat uses. It is guarded by heartbeat.mu.
type renewal struct {
	due        time.Time // when to renew: a third of the lease after the claim was sent
	until      time.Time // when to stop fn: a tenth of the lease before the store may hand over
	prev, next *run
	listed     bool
	removed    bool
	beat       int                // counts renewals
	stop       context.CancelFunc // ends the one in flight; nil if there is none
}

// renewed says that the lease counts from sent, which is never later than when the store
// began to count. Of several renewals the one sent last counts: whatever the store did last,
// it did later.
func (r *run) renewed(sent time.Time) {
	lease := r.guard.config.Lease
	if due := sent.Add(lease / 3); due.After(r.due) {
		r.due = due
		r.until = sent.Add(lease - lease/10)
	}
}

// lose tells fn that the key may no longer be its own.
func (r *run) lose() {
	if !r.over.Load() {
		r.cancel(ErrLeaseLost)
	}
}

// heartbeat renews the leases of a Guard's runs. One timer serves all of them, and a
// goroutine lives only while a renewal is in flight. The zero value works.
type heartbeat struct {
	mu          sync.Mutex
	first, last *run // in order of due
	timer       *time.Timer
	armed       time.Time // when the timer fires; zero if it does not
}

func (h *heartbeat) add(r *run) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.removed {
		return
	}
	after := h.last // leases are equally long, so this is nearly always the place
	for after != nil && after.due.After(r.due) {
		after = after.prev
	}
	r.prev, r.listed = after, true
	if after == nil {
		r.next, h.first = h.first, r
	} else {
		r.next, after.next = after.next, r
	}
	if r.next == nil {
		h.last = r
	} else {
		r.next.prev = r
	}
	if h.first == r && (h.armed.IsZero() || r.due.Before(h.armed)) {
		h.arm()
	}
}

func (h *heartbeat) remove(r *run) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.removed = true
	if r.listed {
		h.unlink(r)
	}
	if r.stop != nil {
		r.stop()
	}
}

func (h *heartbeat) unlink(r *run) {
	if r.prev == nil {
		h.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		h.last = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.prev, r.next, r.listed = nil, nil, false
}

// arm sets the timer to the first run that is due.
func (h *heartbeat) arm() {
	h.armed = h.first.due
	d := time.Until(h.armed)
	if h.timer == nil {
		h.timer = time.AfterFunc(d, h.fire)
		return
	}
	h.timer.Reset(d)
}

// fire renews what is due. A run that ended meanwhile has left the list; the timer is not
// stopped for it, so that short runs cost no timer.
func (h *heartbeat) fire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for h.first != nil && !h.first.due.After(now) {
		r := h.first
		h.unlink(r)
		ctx, stop := context.WithCancel(context.WithoutCancel(r.Context))
		r.stop = stop
		r.beat++
		go h.renew(ctx, r, r.beat, r.until)
	}
	h.armed = time.Time{}
	if h.first != nil {
		h.arm()
	}
}

// renew repeats one renewal until its outcome is known, the run is over, or until, when the
// function must stop.
func (h *heartbeat) renew(ctx context.Context, r *run, beat int, until time.Time) {
	// A timer of its own: the store may take longer than its context allows.
	alarm := time.AfterFunc(time.Until(until), func() { h.expire(r, beat) })
	defer alarm.Stop()
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	g := r.guard
	for try := 0; ; try++ {
		sent := time.Now()
		err := g.renewOnce(ctx, r.lease)
		if err == nil {
			h.again(r, beat, sent)
			return
		}
		lost := errors.Is(err, ErrLeaseLost)
		switch {
		case r.over.Load(): // a key that is done or given up is not renewed; that is no news
		case lost:
			g.config.Logger.WarnContext(ctx, "idem: lease lost to another holder", "key", r.lease.Key)
		default:
			g.config.Logger.WarnContext(ctx, "idem: lease not renewed", "key", r.lease.Key, "err", err)
		}
		if lost {
			r.lose()
			return
		}
		if !pause(ctx, try) {
			h.expire(r, beat) // also here: the alarm may be stopped when it is due
			return
		}
	}
}

// deadline is when r's function must stop.
func (h *heartbeat) deadline(r *run) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return r.until
}

// extend notes that something else has renewed the lease.
func (h *heartbeat) extend(r *run, sent time.Time) {
	h.mu.Lock()
	listed := r.listed
	if listed {
		h.unlink(r)
	}
	r.renewed(sent)
	h.mu.Unlock()
	if listed {
		h.add(r)
	}
}

// expire ends a renewal that did not succeed in time. The function must stop, unless
// something else has renewed the lease meanwhile.
func (h *heartbeat) expire(r *run, beat int) {
	h.mu.Lock()
	over := !time.Now().Before(r.until)
	relist := !over && h.landed(r, beat)
	h.mu.Unlock()
	if over {
		r.lose()
	}
	if relist {
		h.add(r)
	}
}

// landed says whether a renewal is the one in flight, which it then is no longer.
func (h *heartbeat) landed(r *run, beat int) bool {
	if r.beat != beat || r.stop == nil {
		return false
	}
	r.stop()
	r.stop = nil
	return true
}

// renewOnce bounds a single try, so that one lost packet does not use up the lease.
func (g *Guard) renewOnce(ctx context.Context, l Lease) error {
	ctx, cancel := context.WithTimeout(ctx, g.config.Lease/5)
	defer cancel()
	return g.store.Renew(ctx, l, g.config.Lease, nil)
}

// again notes a renewal and lists the run for the next one.
func (h *heartbeat) again(r *run, beat int, sent time.Time) {
	h.mu.Lock()
	r.renewed(sent)
	relist := h.landed(r, beat)
	h.mu.Unlock()
	if relist {
		h.add(r)
	}
}
