package web

import (
	"strconv"
	"time"

	"example.com/once/monitoring/app"
)

// attemptPatience is after how long an attempt without an end counts as cut off. No relay
// gives one as much.
const attemptPatience = time.Minute

const cutOff = "cut off"

// deliveryDetail is a message and what became of it.
type deliveryDetail struct {
	deliveryChip
	Kind      string
	Address   string
	Promise   string
	Explained string
	MessageID string
	Track     []bar
	Attempts  []attemptRow
	Verdict   string
}

// attemptRow is one attempt, or a run of attempts that differ in time only.
type attemptRow struct {
	Number  int
	At      moment // of the first one
	After   string // since the slot
	Replica string
	Result  string // delivered, failed, dead-lettered, running, cut off
	State   string // the mark that goes with it
	Repeats int    // how many there were in the run; 0 = one
	Took    string
	Error   string
	Then    string // what followed
}

// bar is an attempt on a line of time, in thousandths of its length.
type bar struct {
	X, Width int
	State    string
}

func (s *Server) deliveryDetail(now time.Time, v app.DeliveryView) deliveryDetail {
	sink := s.c.sink(v.Sink)
	d := deliveryDetail{
		deliveryChip: chips(now, []app.DeliveryView{v})[0],
		Kind:         sink.Kind, Address: sink.Address, Promise: sink.Promise.String(), Explained: sink.Promise.explain(), MessageID: v.MessageID,
	}
	replicas := make(map[string]bool)
	cut := 0
	for i := 0; i < len(v.Attempts); {
		row := attemptRowOf(now, v, i)
		if row.Result == cutOff {
			cut++
		}
		replicas[row.Replica] = true
		run := 1
		for i+run < len(v.Attempts) && alike(v.Attempts[i], v.Attempts[i+run]) {
			run++
		}
		if run > 1 {
			row.Repeats, row.Took = run, ""
			row.After = "to " + at(now, v.Attempts[i+run-1].At).Clock
		}
		d.Attempts = append(d.Attempts, row)
		i += run
	}
	d.Track = track(now, v)
	d.Verdict = verdict(v, sink.Promise, cut, len(replicas))
	return d
}

// alike says whether two attempts met the same outage: a sink that is away is tried all the
// time, and the same answer a hundred times over is one fact.
func alike(a, b app.AttemptView) bool {
	return a.Result == app.AttemptFailed && b.Result == app.AttemptFailed && a.Wait == 0 && b.Wait == 0 &&
		a.Number == b.Number && a.Replica == b.Replica && a.Error == b.Error
}

// attemptRowOf is the row of v's attempt i.
func attemptRowOf(now time.Time, v app.DeliveryView, i int) attemptRow {
	a := v.Attempts[i]
	last := i == len(v.Attempts)-1
	row := attemptRow{
		Number: a.Number, At: at(now, a.At), After: "+" + duration(a.At.Sub(v.Slot)), Replica: a.Replica,
		Result: string(a.Result), State: string(a.Result), Error: a.Error, Took: seconds(a.Seconds),
	}
	switch a.Result {
	case app.AttemptRunning:
		row.Took = ""
		switch {
		case last && v.State == app.DeliveryDelivered:
			// The outbox, which is told first of all, knows better than the log of attempts.
			row.Result, row.State, row.Then = string(app.AttemptDelivered), string(app.AttemptDelivered), "its end is not on record"
		case wasCut(now, v, i):
			row.Result, row.State = cutOff, "cut"
			row.Error = "It never ended: the replica was killed, or lost the database. The receiver may have the message."
		default:
			row.Then = "no answer yet"
		}
	case app.AttemptFailed:
		if a.Wait > 0 {
			row.Then = "waits " + duration(a.Wait)
		} else {
			row.Then = "tried again, no attempt spent"
		}
	case app.AttemptDelivered:
		if !last {
			row.Then = "sent again: the outbox was not told in time"
		}
	case app.AttemptDeadLettered:
		row.Then = "given up"
	}
	return row
}

// wasCut says whether attempt i, which has no end, will never have one.
func wasCut(now time.Time, v app.DeliveryView, i int) bool {
	return i < len(v.Attempts)-1 || v.State == app.DeliveryDead || now.Sub(v.Attempts[i].At) >= attemptPatience
}

// track draws the attempts on a line that begins at the slot. A single attempt has none.
func track(now time.Time, v app.DeliveryView) []bar {
	if len(v.Attempts) < 2 {
		return nil
	}
	const length, least = 1000, 5
	whole := time.Millisecond
	ends := make([]time.Duration, len(v.Attempts))
	for i, a := range v.Attempts {
		ends[i] = a.At.Sub(v.Slot) + time.Duration(a.Seconds*float64(time.Second))
		whole = max(whole, ends[i])
	}
	place := func(d time.Duration) int { return int(length * min(max(d.Seconds()/whole.Seconds(), 0), 1)) }
	bars := make([]bar, 0, len(v.Attempts))
	for i, a := range v.Attempts {
		x := place(a.At.Sub(v.Slot))
		b := bar{X: x, Width: max(place(ends[i])-x, least)}
		b.State = attemptRowOf(now, v, i).State
		b.X = min(b.X, length-b.Width)
		bars = append(bars, b)
	}
	return bars
}

// verdict says what the attempts come to.
func verdict(v app.DeliveryView, p Promise, cut, replicas int) string {
	n := len(v.Attempts)
	if n == 0 {
		return "It is in the outbox, committed together with the transition; the relay has not sent it yet."
	}
	s := count(n, "attempt")
	if replicas > 1 {
		s += " by " + strconv.Itoa(replicas) + " replicas"
	}
	if cut > 0 {
		s += ", " + strconv.Itoa(cut) + " cut off before the answer"
	}
	switch v.State {
	case app.DeliveryDelivered:
		switch {
		case p == ExactlyOnce || p == State || n == 1:
			return s + ", one effect."
		case p == ByReceiver:
			return s + ", all with the same id: one effect if the receiver honours it."
		}
		return s + ": at least one effect; each that failed may have had one too."
	case app.DeliveryDead:
		return s + ". It was given up and is a dead letter now; an operator may send it again, with the same id."
	case app.DeliveryRetrying, app.DeliveryWaiting:
	}
	return s + ". It is tried again until the receiver has it or the attempts are used up."
}
