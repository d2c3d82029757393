package outbox

import (
	"context"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"example.com/once/retry"
)

// settlement collects what became of some messages, to be written together.
type settlement struct{ entries []entry }

type entry struct {
	item    *item
	outcome Outcome
	report  func() // to the hooks, once it is written; nil = nothing to report
}

func (s *settlement) add(it *item, fate Fate, o Outcome, report func()) {
	it.done = true // settle does not give up while there is a next round
	o.Seq, o.Fate = it.row.Seq, fate
	s.entries = append(s.entries, entry{item: it, outcome: o, report: report})
}

// published: durable at the destination.
func (w *worker) published(p phases, s *settlement, it *item) {
	if f := w.config.Hooks.Published; f != nil {
		f(p.settle, it.row.Delivery)
	}
	s.add(it, Published, Outcome{Attempts: it.row.Attempt}, nil)
}

// fail: an attempt was spent.
func (w *worker) fail(p phases, b *backlog, s *settlement, it *item, err error) {
	if panicked, ok := errors.AsType[*PanicError](err); ok {
		w.log(p.settle, slog.LevelError, panicked.Error(), slog.String("id", it.row.ID.String()), slog.String("stack", string(panicked.Stack)))
	}
	wait, reason := w.config.Policy.Next(it.row.Attempt, err)
	if reason != nil {
		w.giveUp(p, b, s, it, it.row.Attempt, err)
		return
	}
	s.add(it, Again, Outcome{Attempts: it.row.Attempt, Wait: wait, Err: text(err)}, func() {
		if f := w.config.Hooks.Failed; f != nil {
			f(p.settle, it.row.Delivery, err, wait)
		}
	})
	b.holdBack(s, it)
}

// putOff: the destination seemed unavailable to this message, but not to others. No attempt
// was spent, and others do not wait for it.
func (w *worker) putOff(p phases, b *backlog, s *settlement, it *item, err error) {
	wait := max(retry.Classify(err).After, w.config.Probe+mathrand.N(w.config.Probe))
	s.add(it, Again, Outcome{Attempts: it.row.Attempt - 1, Wait: wait, Err: text(err)}, func() {
		w.deferred(p, it, err)
	})
	b.holdBack(s, it)
}

// deferred: the destination is unavailable. The message stays where it is.
func (w *worker) deferred(p phases, it *item, err error) {
	if f := w.config.Hooks.Deferred; f != nil {
		f(p.settle, it.row.Delivery, err)
	}
}

// giveUp: no further attempt.
func (w *worker) giveUp(p phases, b *backlog, s *settlement, it *item, attempts int, err error) {
	fate := Dead
	if w.config.Exhausted == BlockKey && it.key() != "" {
		fate = Block
	}
	s.add(it, fate, Outcome{Attempts: attempts, Err: text(err)}, func() {
		w.log(p.settle, slog.LevelError, "outbox: message given up", slog.String("id", it.row.ID.String()),
			slog.String("topic", it.row.Topic), slog.Int("attempts", attempts), slog.Any("error", err))
		if f := w.config.Hooks.DeadLettered; f != nil {
			f(p.settle, it.row.Delivery, err)
		}
	})
	if fate == Block {
		b.holdBack(s, it)
	}
}

// holdBack keeps the messages after it of its key from being sent: hot ones are parked
// behind it, parked ones are there already.
func (b *backlog) holdBack(s *settlement, it *item) {
	b.later(it, func(follower *item) {
		if follower.parked {
			follower.done = true
		} else {
			s.add(follower, Behind, Outcome{}, nil)
		}
	})
}

// settle writes s, again and again until it is written; it returns false if the relay has
// no more time for it. What a newer owner of the shard has to decide is dropped.
func (w *worker) settle(p phases, s *settlement) (ok bool) {
	var acks []Ref
	parks, settles := map[*shard][]entry{}, map[*shard][]entry{}
	now := time.Now()
	for _, e := range s.entries {
		it, o := e.item, e.outcome
		switch {
		case o.Fate == Published && !it.parked:
			acks = append(acks, it.ref())
		case it.parked:
			settles[it.shard] = append(settles[it.shard], e)
		default:
			parks[it.shard] = append(parks[it.shard], e)
		}
		switch o.Fate {
		case Again:
			w.lookAgain(now.Add(o.Wait))
		case Behind:
			w.lookAgain(now.Add(w.config.PollMin)) // what it waits for may be gone already
		case Published, Dead, Block:
		}
	}
	ok = true
	if len(acks) > 0 && w.insist(p, "ack", func(ctx context.Context) error { return w.store.Ack(ctx, acks) }) != nil {
		w.leftUnacked(len(acks))
		ok = false
	}
	for sh, entries := range parks {
		ok = w.record(p, "park", w.store.Park, sh, entries) && ok
	}
	for sh, entries := range settles {
		ok = w.record(p, "settle", w.store.Settle, sh, entries) && ok
	}
	return ok
}

// record writes what became of messages of one shard, and then reports it to the hooks.
func (w *worker) record(p phases, op string, write func(context.Context, Lease, []Outcome) error, sh *shard, entries []entry) (ok bool) {
	outcomes := make([]Outcome, len(entries))
	published := 0
	for i, e := range entries {
		outcomes[i] = e.outcome
		if e.outcome.Fate == Published {
			published++
		}
	}
	lost := false
	err := w.insist(p, op, func(ctx context.Context) error {
		err := write(ctx, sh.lease, outcomes)
		if lost = errors.Is(err, ErrLeaseLost); lost {
			return nil
		}
		return err
	})
	switch {
	case lost:
		w.lose(sh)
		return true
	case err != nil:
		w.leftUnacked(published)
		return false
	}
	for _, e := range entries {
		if e.report != nil {
			e.report()
		}
	}
	return true
}

// insist repeats f until it succeeds or the time of the drain is up, and returns the last
// error. Nothing new is published meanwhile: what is published must be written down first,
// and the store is in no state for it.
func (w *worker) insist(p phases, op string, f func(context.Context) error) error {
	for fails := 0; ; fails++ {
		ctx, cancel := w.limit(p.settle)
		err := f(ctx)
		cancel()
		if err == nil || p.settle.Err() != nil {
			return err
		}
		w.failed(p.settle, op, err)
		sleep(p.settle, jitter(doubled(w.config.PollMin, fails, w.config.PollMax), 0.2), nil, nil)
	}
}

func (w *worker) lookAgain(at time.Time) {
	if at.Before(w.dueAt) {
		w.dueAt = at
	}
}

// up tells the lane that something got through.
func (w *worker) up(p phases, began int) {
	if !w.lane.up(began) {
		return
	}
	w.log(p.settle, slog.LevelInfo, "outbox: destination is available again")
	if f := w.config.Hooks.LaneUp; f != nil {
		f(p.settle, w.lane.number)
	}
}

// down tells the lane that nothing got through.
func (w *worker) down(p phases, suspects []Ref, err error) {
	if err == nil {
		err = ErrNotSent
	}
	if !w.lane.down(time.Now(), retry.Classify(err).After, suspects) {
		return
	}
	w.log(p.settle, slog.LevelWarn, "outbox: destination is unavailable", slog.Any("error", err))
	if f := w.config.Hooks.LaneDown; f != nil {
		f(p.settle, w.lane.number, err)
	}
}

func (w *worker) leftUnacked(n int) {
	w.session.mu.Lock()
	defer w.session.mu.Unlock()
	w.unacked += n
}

// text is an error as an operator reads it, fit for any database.
func text(err error) string {
	const most = 1000
	s := strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", ""), "\uFFFD")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
