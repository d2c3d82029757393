package outbox

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// work publishes a backlog batch by batch and settles each before the next. It says
// whether it got to the end: not if the lane went down, a lease ran short or the relay
// stops.
func (w *worker) work(p phases, b *backlog, probing bool) bool {
	w.setAside(p, b)
	lived := false // something got through in this round
	if probing && !w.try(p, b, &lived) {
		return false
	}
	for {
		if p.stop.Err() != nil || w.lane.isOpen() {
			return false
		}
		n := w.config.Batch
		if w.lane.alone() {
			n = 1
		}
		batch := b.next(n)
		if len(batch) == 0 {
			return true
		}
		if !w.deliver(p, b, batch, &lived) {
			return false
		}
	}
}

// try sends one message to a lane that is down, and says whether the rest may follow.
func (w *worker) try(p phases, b *backlog, lived *bool) bool {
	defer w.lane.pause() // if it proved nothing
	batch := b.any()
	if len(batch) == 0 || p.stop.Err() != nil {
		return false
	}
	return w.deliver(p, b, batch, lived)
}

// setAside parks what must not be published: rows that cannot be decoded, and messages
// behind a parked one.
func (w *worker) setAside(p phases, b *backlog) {
	var s settlement
	for _, it := range b.items {
		switch {
		case it.done:
		case it.row.Err != nil:
			w.giveUp(p, b, &s, it, it.row.Attempt-1, it.row.Err)
		case it.row.Behind:
			s.add(it, Behind, Outcome{}, nil)
		}
	}
	w.settle(p, &s)
}

// deliver sends a batch, settles it, and says whether the round may go on.
func (w *worker) deliver(p phases, b *backlog, batch []*item, lived *bool) bool {
	left := w.leftFor(batch)
	if left < w.config.LeaseTTL/8 {
		return false
	}
	r := w.publish(p, batch, min(left, w.config.Timeout))
	if r.err != nil {
		return w.misbehaved(p, b, batch, r.err)
	}
	return w.judge(p, b, batch, r, lived)
}

// leftFor is how long a call for batch may take; 0 if a shard has gone to another relay.
func (w *worker) leftFor(batch []*item) time.Duration {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	left := w.config.LeaseTTL
	for _, it := range batch {
		left = min(left, w.left(it.shard, now))
	}
	return left
}

// report is what came of one Publish call.
type report struct {
	errs  []error // one a message
	err   error   // *PanicError or errStuck: there are no errs
	cut   bool    // the relay ended the call
	began int     // the lane's turn
}

// publish sends a batch.
func (w *worker) publish(p phases, batch []*item, timeout time.Duration) report {
	deliveries := make([]Delivery, len(batch))
	for i, it := range batch {
		deliveries[i] = it.row.Delivery
	}
	ctx, cancel := context.WithTimeout(p.publish, timeout)
	defer cancel()
	start, began := time.Now(), w.lane.begin()
	errs, err := send(ctx, w.publisher, deliveries, w.config.LeaseTTL/20, func() {
		w.log(p.settle, slog.LevelWarn, "outbox: publisher returned late", slog.Duration("took", time.Since(start)))
		w.lane.stick(-1)
		w.renewNow() // to get its shards back
	})
	if f := w.config.Hooks.Batch; f != nil {
		f(p.settle, w.lane.number, len(batch), time.Since(start))
	}
	return report{errs: errs, err: err, cut: ctx.Err() != nil, began: began}
}

// misbehaved deals with a call that did not end as it should.
func (w *worker) misbehaved(p phases, b *backlog, batch []*item, err error) bool {
	if errors.Is(err, errStuck) {
		w.lane.stick(1)
		w.log(p.settle, slog.LevelError, "outbox: publisher did not return after its context had ended; its shards are given up until it does",
			slog.Int("messages", len(batch)))
		w.renewNow()
		return false
	}
	if len(batch) > 1 {
		for _, it := range batch {
			it.alone = true // to find the one that it chokes on
		}
		return true
	}
	var s settlement
	w.fail(p, b, &s, batch[0], err)
	return w.settle(p, &s)
}
