package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

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
		alertRow: alertRows(source{now: now}, []app.AlertView{detail.AlertView})[0],
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
