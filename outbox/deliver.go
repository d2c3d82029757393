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
	for {
		if p.stop.Err() != nil || !probing && w.lane.isOpen() {
			return false
		}
		var batch []*item
		switch {
		case probing:
			batch = b.any()
		case w.lane.alone():
			batch = b.next(1)
		default:
			batch = b.next(w.config.Batch)
		}
		if len(batch) == 0 {
			if probing {
				w.lane.pause()
			}
			return true
		}
		batch, left := w.still(batch)
		if len(batch) == 0 {
			continue // their shards went to another relay
		}
		if left < w.config.LeaseTTL/8 {
			if probing {
				w.lane.pause()
			}
			return false
		}
		goOn := w.judge(p, b, batch, w.publish(p, batch, min(left, w.config.Timeout)), &lived)
		if probing {
			w.lane.pause() // if it proved nothing
			probing = false
		}
		if !goOn {
			return false
		}
	}
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

// still returns the messages of batch whose shards are held, and for how long a call may
// take. The others are dropped: they are the next owner's.
func (w *worker) still(batch []*item) ([]*item, time.Duration) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	left := w.config.LeaseTTL
	held := batch[:0]
	for _, it := range batch {
		if it.shard.gone {
			it.done = true
			continue
		}
		held = append(held, it)
		left = min(left, w.left(it.shard, now))
	}
	return held, left
}

// report is what came of one Publish call.
type report struct {
	errs []error // one a message
	err  error   // *PanicError or errStuck: there are no errs
	cut  bool    // the relay ended the call
}

// publish sends a batch.
func (w *worker) publish(p phases, batch []*item, timeout time.Duration) report {
	deliveries := make([]Delivery, len(batch))
	for i, it := range batch {
		deliveries[i] = it.row.Delivery
	}
	ctx, cancel := context.WithTimeout(p.publish, timeout)
	defer cancel()
	start := time.Now()
	errs, err := send(ctx, w.publisher, deliveries, w.config.LeaseTTL/20, func() {
		w.log(p.settle, slog.LevelWarn, "outbox: publisher returned late", slog.Duration("took", time.Since(start)))
		w.lane.stick(-1)
	})
	if f := w.config.Hooks.Batch; f != nil {
		f(p.settle, w.lane.number, len(batch), time.Since(start))
	}
	return report{errs: errs, err: err, cut: ctx.Err() != nil}
}

// result is what an error means.
type result uint8

const (
	sent    result = iota
	unsent         // not tried, or cut off by the drain: it stays as it is
	outage         // the publisher says that the destination is down
	timeout        // the relay ended the call
	failure        // an answer to this message
)

func classify(p phases, err error, cut bool) result {
	switch {
	case err == nil:
		return sent
	case errors.Is(err, ErrNotSent):
		return unsent
	case errors.Is(err, ErrUnavailable):
		return outage
	case cut && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)):
		if p.publish.Err() != nil {
			return unsent
		}
		return timeout
	}
	return failure
}

// judge settles the results of a batch and says whether the round may go on.
func (w *worker) judge(p phases, b *backlog, batch []*item, r report, lived *bool) bool {
	if r.err != nil {
		return w.misbehaved(p, b, batch, r.err)
	}
	results := make([]result, len(batch))
	alive := false
	var suspects []Ref
	var reason error
	for i, err := range r.errs {
		results[i] = classify(p, err, r.cut)
		switch results[i] {
		case sent, failure:
			alive = true
		case outage, timeout:
			suspects = append(suspects, batch[i].ref())
			reason = err
		case unsent:
		}
	}
	if alive {
		*lived = true
		w.up(p)
	}
	// Some failed as if the destination were down. Is it, or is it the message?
	blamed := alive || len(suspects) == 1 &&
		(w.lane.blames(suspects[0]) || len(batch) == 1 && batch[0].alone && *lived)

	var s settlement
	broken := map[string]bool{} // ordering keys of which an earlier message did not get through
	for i, it := range batch {
		key, err := it.key(), r.errs[i]
		if broken[key] {
			continue // sent again after the earlier one, even if it got through
		}
		switch {
		case results[i] == sent:
			w.published(p, &s, it)
			continue
		case results[i] == failure, results[i] == timeout && blamed && !alive:
			w.fail(p, b, &s, it, err)
		case results[i] == outage && blamed:
			w.putOff(p, b, &s, it, err)
		case results[i] == timeout && blamed:
			it.alone = true // others got through: see whether it was cut off for their sake
		case results[i] == outage, results[i] == timeout:
			w.deferred(p, it, err)
		}
		if key != "" {
			broken[key] = true
		}
	}
	if !w.settle(p, &s) {
		return false
	}
	if !blamed && p.publish.Err() == nil {
		w.down(p, suspects, reason)
	}
	return blamed
}

// misbehaved deals with a call that did not end as it should.
func (w *worker) misbehaved(p phases, b *backlog, batch []*item, err error) bool {
	if errors.Is(err, errStuck) {
		w.lane.stick(1)
		w.log(p.settle, slog.LevelError, "outbox: publisher did not return after its context had ended; its shards are given up until it does",
			slog.Int("messages", len(batch)))
		select {
		case w.renew <- struct{}{}:
		default:
		}
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
	return w.settle(p, &s) && !w.lane.isOpen()
}
