package outbox

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"example.com/once/retry"
)

// work publishes a backlog batch by batch and settles each before the next. It says
// whether it got to the end: not if the lane went down, a lease ran short or the relay
// stops.
func (w *worker) work(p phases, b *backlog, probing bool) bool {
	w.setAside(p, b)
	lived := false // something got through in this round
	for {
		if p.stop.Err() != nil {
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
		errs, cut := w.publish(p, batch, min(left, w.config.Timeout))
		goOn := w.judge(p, b, batch, errs, cut, &lived)
		if !goOn {
			return false
		}
		probing = false
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
			s.add(it, Outcome{Seq: it.row.Seq, Fate: Behind})
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

// publish sends a batch. cut tells that the relay ended the call.
func (w *worker) publish(p phases, batch []*item, timeout time.Duration) (errs []error, cut bool) {
	deliveries := make([]Delivery, len(batch))
	for i, it := range batch {
		deliveries[i] = it.row.Delivery
	}
	ctx, cancel := context.WithTimeout(p.publish, timeout)
	defer cancel()
	start := time.Now()
	errs = send(ctx, w.publisher, deliveries, w.config.LeaseTTL/20, func() {
		w.log(p.settle, slog.LevelWarn, "outbox: publisher returned late", slog.Duration("took", time.Since(start)))
		w.lane.stick(-1)
	})
	if f := w.config.Hooks.Batch; f != nil {
		f(p.settle, w.lane.number, len(batch), time.Since(start))
	}
	return errs, ctx.Err() != nil
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
func (w *worker) judge(p phases, b *backlog, batch []*item, errs []error, cut bool, lived *bool) bool {
	if errors.Is(errs[0], errStuck) {
		w.stuck(p)
		return false
	}
	results := make([]result, len(batch))
	alive, panicked := false, false
	var suspects []Ref
	var reason error
	for i, err := range errs {
		results[i] = classify(p, err, cut)
		switch results[i] {
		case sent:
			alive = true
		case failure:
			if _, ok := errors.AsType[*PanicError](err); ok {
				panicked = true
			} else {
				alive = true
			}
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
	// Whatever failed as if the destination were down: was it the message?
	blamed := alive || len(suspects) == 1 && (w.lane.blames(suspects[0]) || len(batch) == 1 && batch[0].alone && *lived)
	progress := alive || panicked || blamed

	var s settlement
	broken := map[string]bool{} // ordering keys with an earlier message unsettled or failed
	for i, it := range batch {
		key := it.key()
		if broken[key] {
			continue // it is sent again after the failed one, even if it got through
		}
		switch err := errs[i]; results[i] {
		case sent:
			w.published(p, &s, it)
			continue
		case unsent:
		case outage:
			if blamed {
				w.putOff(p, b, &s, it, err)
			} else {
				w.deferred(p, it, err)
			}
		case timeout:
			switch {
			case !blamed:
				w.deferred(p, it, err)
			case len(suspects) == 1 && !alive:
				w.fail(p, b, &s, it, err)
			default:
				it.alone = true
			}
		case failure:
			if panicked && len(batch) > 1 && !single(err) {
				it.alone = true
			} else {
				w.fail(p, b, &s, it, err)
			}
		}
		if key != "" {
			broken[key] = true
		}
	}
	if !w.settle(p, &s) {
		return false
	}
	if progress {
		return true
	}
	if p.publish.Err() == nil {
		w.down(p, suspects, reason)
	}
	return false
}
