package web

import (
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// The API's own forms of what a Reader returns: values are strings, since JSON has no NaN,
// times that are not set are left out, and durations are seconds.

type targetJSON struct {
	app.TargetStatus
	Recent []app.TargetBeat `json:"recent"`
}

func targetOf(v app.TargetView) targetJSON {
	if v.Recent == nil {
		v.Recent = []app.TargetBeat{}
	}
	return targetJSON{v.TargetStatus, v.Recent}
}

type ruleJSON struct {
	app.RuleView
	Slot       *time.Time `json:"evaluation_timestamp,omitempty"` // in the place of the embedded one
	Configured bool       `json:"configured"`
	Expr       string     `json:"expr,omitempty"`
	Interval   float64    `json:"interval_seconds,omitempty"`
	For        float64    `json:"for_seconds,omitempty"`
}

// rulesOf lists what is configured, with what is recorded of it, and what is recorded only.
func (s *Server) rulesOf(views []app.RuleView) []ruleJSON {
	recorded := make(map[string]app.RuleView, len(views))
	for _, v := range views {
		recorded[v.ID] = v
	}
	out := make([]ruleJSON, 0, len(views))
	for _, r := range s.c.Rules {
		v, ok := recorded[r.ID]
		if !ok {
			v = app.RuleView{ID: r.ID, Revision: r.Revision()}
		}
		delete(recorded, r.ID)
		out = append(out, ruleJSON{
			RuleView: v, Slot: given(v.Slot), Configured: true, Expr: r.Condition.String(),
			Interval: r.Interval.Seconds(), For: r.For.Seconds(),
		})
	}
	for _, v := range views {
		if _, left := recorded[v.ID]; left {
			out = append(out, ruleJSON{RuleView: v, Slot: given(v.Slot)})
		}
	}
	return out
}

type alertJSON struct {
	RuleID      string             `json:"rule_id"`
	Fingerprint domain.Fingerprint `json:"fingerprint"`
	State       domain.Phase       `json:"state"`
	Labels      domain.Labels      `json:"labels"`
	Annotations domain.Labels      `json:"annotations"`
	Value       string             `json:"value"`
	ActiveAt    *time.Time         `json:"active_at,omitempty"`
	FiredAt     *time.Time         `json:"fired_at,omitempty"`
	KeepSince   *time.Time         `json:"keep_firing_since,omitempty"`
	ResolvedAt  *time.Time         `json:"resolved_at,omitempty"`
	Path        string             `json:"path"` // of its page
}

func alertOf(v app.AlertView) alertJSON {
	return alertJSON{
		RuleID: v.RuleID, Fingerprint: v.Fingerprint, State: v.Phase, Labels: v.Labels, Annotations: v.Annotations,
		Value: domain.FormatValue(v.Value), ActiveAt: given(v.ActiveAt), FiredAt: given(v.FiredAt), KeepSince: given(v.KeepSince),
		ResolvedAt: given(v.ResolvedAt), Path: AlertPath(v.Ref()),
	}
}

type detailJSON struct {
	alertJSON
	Events []eventJSON `json:"events"` // oldest first
}

func detailOf(v app.AlertDetail) detailJSON {
	return detailJSON{alertOf(v.AlertView), each(v.Events, eventOf)}
}

type eventJSON struct {
	RuleID      string             `json:"rule_id"`
	Revision    string             `json:"revision"`
	Slot        time.Time          `json:"evaluation_timestamp"`
	Key         string             `json:"key"`
	Replica     string             `json:"replica"`
	Fingerprint domain.Fingerprint `json:"fingerprint"`
	From        domain.Phase       `json:"from"`
	To          domain.Phase       `json:"to"`
	Labels      domain.Labels      `json:"labels"`
	Annotations domain.Labels      `json:"annotations"`
	Value       string             `json:"value"`
	ActiveAt    *time.Time         `json:"active_at,omitempty"`
	Deliveries  []deliveryJSON     `json:"deliveries"`
}

func eventOf(v app.EventView) eventJSON {
	return eventJSON{
		RuleID: v.RuleID, Revision: v.Revision, Slot: v.Slot, Key: v.Key, Replica: v.Replica, Fingerprint: v.Fingerprint,
		From: v.From, To: v.To, Labels: v.Labels, Annotations: v.Annotations, Value: domain.FormatValue(v.Value),
		ActiveAt: given(v.ActiveAt), Deliveries: each(v.Deliveries, deliveryOf),
	}
}

type deliveryJSON struct {
	MessageID string            `json:"message_id"`
	Sink      string            `json:"sink"`
	Alert     app.AlertRef      `json:"alert"`
	Slot      time.Time         `json:"evaluation_timestamp"`
	To        domain.Phase      `json:"transition"`
	State     app.DeliveryState `json:"state"`
	Attempts  []attemptJSON     `json:"attempts"` // oldest first
}

type attemptJSON struct {
	Number  int               `json:"attempt"`
	Replica string            `json:"replica"`
	At      time.Time         `json:"at"`
	Result  app.AttemptResult `json:"result"`
	Error   string            `json:"error,omitempty"`
	Wait    float64           `json:"wait_seconds,omitempty"`
	Seconds float64           `json:"seconds"`
}

func deliveryOf(v app.DeliveryView) deliveryJSON {
	return deliveryJSON{
		MessageID: v.MessageID, Sink: v.Sink, Alert: v.Ref, Slot: v.Slot, To: v.To, State: v.State,
		Attempts: each(v.Attempts, func(a app.AttemptView) attemptJSON {
			return attemptJSON{a.Number, a.Replica, a.At, a.Result, a.Error, a.Wait.Seconds(), a.Seconds}
		}),
	}
}

// given returns nil for a time that is not set.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
