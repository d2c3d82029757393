package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// attemptPatience is after how long an attempt without an end counts as cut off. No relay
// gives one as much.
const attemptPatience = time.Minute

// timeline is all that an alert's page shows.
type timeline struct {
	alertRow
	RuleID      string
	Expr        string
	Fingerprint string
	Active      moment
	Fired       moment
	Kept        moment
	Resolved    moment
	Annotations []label
	Events      []eventDetail // newest first
	Capped      bool          // older ones are not shown
}

// eventDetail is a transition with everything about it.
type eventDetail struct {
	eventRow
	Value      string
	Key        string
	Revision   string
	Deliveries []deliveryDetail
	Silent     bool // nobody outside is told of it
}

// deliveryDetail is a message and what became of it.
type deliveryDetail struct {
	deliveryChip
	Kind      string
	Address   string
	Promise   string
	Explained string
	MessageID string
	Attempts  []attemptRow
	Verdict   string
}

// attemptRow is one attempt.
type attemptRow struct {
	Number  int
	At      moment
	After   string // since the slot
	Replica string
	Result  string // delivered, failed, dead-lettered, running, cut off
	State   string // the mark that goes with it
	Took    string
	Error   string
	Then    string // what followed
}

const cutOff = "cut off"

func (s *Server) timeline(ctx context.Context, r *http.Request) (view, error) {
	ref, ok := parseAlertPath(r.PathValue("path"))
	if !ok {
		return view{}, failure{http.StatusNotFound, "An alert's address is /alerts/ and its rule, a slash, and its fingerprint of 32 hexadecimal digits."}
	}
	detail, err := s.c.Reader.Alert(ctx, ref)
	if err != nil {
		return view{}, fmt.Errorf("alert: %w", err)
	}
	now := time.Now()
	t := timeline{
		alertRow: alertRows(source{now: now, alerts: []app.AlertView{detail.AlertView}})[0],
		RuleID:   detail.RuleID, Fingerprint: detail.Fingerprint.String(),
		Active: at(now, detail.ActiveAt), Fired: at(now, detail.FiredAt), Kept: at(now, detail.KeepSince), Resolved: at(now, detail.ResolvedAt),
		Annotations: labels(detail.Annotations), Capped: len(detail.Events) >= eventsOfAlert,
	}
	for _, rule := range s.c.Rules {
		if rule.ID == detail.RuleID {
			t.Expr = rule.Condition.String()
		}
	}
	for _, e := range slices.Backward(detail.Events) {
		t.Events = append(t.Events, s.eventDetail(now, e))
	}
	return view{template: "timeline", title: t.Name + " " + t.State, live: true, alarm: detail.Phase == domain.Firing, Data: t}, nil
}

// eventsOfAlert is how many events a Reader returns of one alert.
const eventsOfAlert = 200

func (s *Server) eventDetail(now time.Time, e app.EventView) eventDetail {
	d := eventDetail{eventRow: eventRowOf(now, e), Value: value(e.Value), Key: e.Key, Revision: e.Revision, Silent: !e.Notifies()}
	for _, delivery := range e.Deliveries {
		d.Deliveries = append(d.Deliveries, s.deliveryDetail(now, delivery))
	}
	return d
}

func (s *Server) deliveryDetail(now time.Time, v app.DeliveryView) deliveryDetail {
	sink := s.c.sink(v.Sink)
	d := deliveryDetail{
		deliveryChip: chips(now, []app.DeliveryView{v})[0],
		Kind:         sink.Kind, Address: sink.Address, Promise: sink.Promise.String(), Explained: sink.Promise.explain(), MessageID: v.MessageID,
	}
	replicas := make(map[string]bool)
	cut := 0
	for i, a := range v.Attempts {
		row := attemptRowOf(now, v, i)
		if row.Result == cutOff {
			cut++
		}
		replicas[a.Replica] = true
		d.Attempts = append(d.Attempts, row)
	}
	d.Verdict = verdict(v, sink.Promise, cut, len(replicas))
	return d
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
		return s + ": at least one effect; those without an answer may have had theirs."
	case app.DeliveryDead:
		return s + ". It was given up and is a dead letter now; an operator may send it again, with the same id."
	case app.DeliveryRetrying, app.DeliveryWaiting:
	}
	return s + ". It is tried again until the receiver has it or the attempts are used up."
}

// attemptRowOf is the row of v's attempt i.
func attemptRowOf(now time.Time, v app.DeliveryView, i int) attemptRow {
	a := v.Attempts[i]
	last := i == len(v.Attempts)-1
	row := attemptRow{
		Number: a.Number, At: at(now, a.At), After: duration(a.At.Sub(v.Slot)), Replica: a.Replica,
		Result: string(a.Result), State: string(a.Result), Error: a.Error, Took: seconds(a.Seconds),
	}
	switch a.Result {
	case app.AttemptRunning:
		row.Took = ""
		if last && v.State != app.DeliveryDelivered && v.State != app.DeliveryDead && now.Sub(a.At) < attemptPatience {
			row.Then = "no answer yet"
			break
		}
		row.Result, row.State = cutOff, "cut"
		row.Error = "It never ended: the replica was killed, or lost the database. The receiver may have the message."
	case app.AttemptFailed:
		if a.Wait > 0 {
			row.Then = "waits " + duration(a.Wait)
		} else {
			row.Then = "sink unavailable, no attempt spent"
		}
	case app.AttemptDelivered:
		if !last {
			row.Then = "not acknowledged in time, so sent again"
		}
	case app.AttemptDeadLettered:
		row.Then = "given up"
	}
	return row
}
