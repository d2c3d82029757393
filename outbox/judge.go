package outbox

import (
	"context"
	"errors"
)

// result is what the error of one message means.
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

// tally is what the results of a batch say together.
type tally struct {
	results  []result
	alive    bool  // something got through
	suspects []Ref // what failed as if the destination were down
	reason   error // the latest of their errors
}

func (w *worker) tally(p phases, batch []*item, r report) tally {
	t := tally{results: make([]result, len(batch))}
	for i, err := range r.errs {
		t.results[i] = classify(p, err, r.cut)
		switch t.results[i] {
		case sent, failure:
			t.alive = true
		case outage, timeout:
			t.suspects = append(t.suspects, batch[i].ref())
			t.reason = err
		case unsent:
		}
	}
	return t
}

// judge settles the results of a batch and says whether the round may go on.
//
// A message that failed as if the destination were down may be right about it, or may
// itself be what the destination chokes on. If nothing got through, the lane goes down and
// the message stays where it is. If others got through, it is sent again by itself at once
// (timeout) or a little later (outage, or another timeout). Either way it is remembered: if
// it fails so again after yet others got through, it spends an attempt like any that fails.
func (w *worker) judge(p phases, b *backlog, batch []*item, r report, lived *bool) bool {
	t := w.tally(p, batch, r)
	if t.alive {
		*lived = true
		w.up(p, r.began)
	}
	down := !t.alive
	var s settlement
	moved := false
	broken := map[string]bool{} // ordering keys of which an earlier message did not get through
	for i, it := range batch {
		key, err := it.key(), r.errs[i]
		if broken[key] {
			continue // sent again after the earlier one, even if it got through
		}
		if t.results[i] == sent {
			w.published(p, &s, it)
			continue
		}
		if key != "" {
			broken[key] = true
		}
		others := t.alive || it.alone && *lived
		switch {
		case t.results[i] == unsent:
		case t.results[i] == failure:
			w.fail(p, b, &s, it, err)
		case (others || len(t.suspects) == 1) && w.lane.blames(it.ref()):
			down = false
			w.lane.accuse(it.ref())
			w.fail(p, b, &s, it, err)
		case !others:
			w.deferred(p, it, err)
		case t.results[i] == timeout && !it.alone:
			it.alone, moved = true, true
		default:
			down = false
			w.lane.accuse(it.ref())
			w.putOff(p, b, &s, it, err)
		}
	}
	moved = moved || len(s.entries) > 0
	if !w.settle(p, &s) {
		return false
	}
	if down && p.publish.Err() == nil {
		w.down(p, t.suspects, t.reason)
	}
	return moved && !down
}
