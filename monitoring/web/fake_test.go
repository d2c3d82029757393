package web_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/web"
	"example.com/once/outbox"
)

// reader is an app.Reader of what it is given.
type reader struct {
	mu      sync.Mutex
	err     error // of every read
	targets []app.TargetView
	rules   []app.RuleView
	alerts  []app.AlertView
	events  []app.EventView // newest first
	totals  app.Totals
	limit   int    // asked for last
	panics  string // what every read panics with
}

func (r *reader) read() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.panics != "" {
		panic(r.panics)
	}
	return r.err
}

func (r *reader) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.limit
}

func (r *reader) ask(limit int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = limit
}

func (r *reader) Targets(context.Context) ([]app.TargetView, error) { return r.targets, r.read() }
func (r *reader) Rules(context.Context) ([]app.RuleView, error)     { return r.rules, r.read() }
func (r *reader) Alerts(context.Context) ([]app.AlertView, error)   { return r.alerts, r.read() }
func (r *reader) Totals(context.Context) (app.Totals, error)        { return r.totals, r.read() }

func (r *reader) Firing(context.Context, time.Time) ([]app.AlertView, error) {
	return nil, errors.ErrUnsupported
}

func (r *reader) Events(_ context.Context, limit int) ([]app.EventView, error) {
	r.ask(limit)
	return r.events[:min(limit, len(r.events))], r.read()
}

func (r *reader) Deliveries(_ context.Context, limit int) ([]app.DeliveryView, error) {
	r.ask(limit)
	var all []app.DeliveryView
	for _, e := range r.events {
		all = append(all, e.Deliveries...)
	}
	return all[:min(limit, len(all))], r.read()
}

func (r *reader) Alert(_ context.Context, ref app.AlertRef) (app.AlertDetail, error) {
	if err := r.read(); err != nil {
		return app.AlertDetail{}, err
	}
	var d app.AlertDetail
	for _, a := range r.alerts {
		if a.Ref() == ref {
			d.AlertView = a
		}
	}
	for _, e := range r.events {
		if (app.AlertRef{RuleID: e.RuleID, Fingerprint: e.Fingerprint}) == ref {
			d.Events = append([]app.EventView{e}, d.Events...)
		}
	}
	if d.RuleID == "" {
		return d, app.ErrNotFound
	}
	return d, nil
}

func rule(t testing.TB, group, name, expr string, labels ...string) *domain.Rule {
	t.Helper()
	c, err := domain.ParseCondition(expr)
	if err != nil {
		t.Fatal(err)
	}
	return &domain.Rule{
		ID: domain.RuleID(group, name), Group: group, Name: name, Condition: c, Interval: 15 * time.Second, For: time.Minute,
		Labels: domain.LabelsOf(labels...),
	}
}

const hostile = `<script>alert("x")</script>`

func alertOf(ruleID string, phase domain.Phase, since time.Time, value float64, summary string, labels ...string) app.AlertView {
	_, name, _ := strings.Cut(ruleID, "/")
	l := domain.LabelsOf(append([]string{"alertname", name}, labels...)...)
	a := domain.Alert{
		Fingerprint: l.Fingerprint(), Series: l, Labels: l, Annotations: domain.LabelsOf("summary", summary), Phase: phase, Value: value,
		ActiveAt: since,
	}
	if phase != domain.Pending {
		a.FiredAt = since.Add(time.Minute)
	}
	if phase == domain.Resolved {
		a.ResolvedAt = since.Add(4 * time.Minute)
	}
	return app.AlertView{RuleID: ruleID, Alert: a}
}

func eventOf(a app.AlertView, from, to domain.Phase, slot time.Time, replica string) app.EventView {
	return app.EventView{
		Transition: domain.Transition{
			RuleID: a.RuleID, Slot: slot, From: from, To: to, Fingerprint: a.Fingerprint, Labels: a.Labels, Annotations: a.Annotations,
			Value: a.Value, ActiveAt: a.ActiveAt,
		},
		Replica: replica, Revision: "9f3a1c20b4de", Key: a.RuleID + " " + slot.Format(time.RFC3339Nano),
	}
}

func delivery(e app.EventView, sink string, state app.DeliveryState, attempts ...app.AttemptView) app.DeliveryView {
	ref := app.AlertRef{RuleID: e.RuleID, Fingerprint: e.Fingerprint}
	id := app.MessageID(app.Key(e.RuleID, e.Slot), e.Slot, e.Fingerprint, e.To, sink)
	return app.DeliveryView{
		MessageID: app.FormatMessageID(id), Sink: sink, Ref: ref, Slot: e.Slot, To: e.To, State: state, Attempts: attempts,
	}
}

func attempt(n int, replica string, at time.Time, result app.AttemptResult, err string, wait time.Duration, seconds float64) app.AttemptView {
	return app.AttemptView{Number: n, Replica: replica, At: at, Result: result, Error: err, Wait: wait, Seconds: seconds}
}

// busy is a database in which a lot has happened until now.
func busy(now time.Time) *reader {
	slot := now.Truncate(15 * time.Second).UTC()
	ago := func(d time.Duration) time.Time { return slot.Add(-d) }
	r := &reader{totals: app.Totals{
		Evaluations: 12480, Missed: 3, Transitions: 61, Messages: 58, Waiting: 2, Delivered: 55, Dead: 1, Attempts: 83,
		Firing: 2, Pending: 1, TargetsUp: 4, TargetsDown: 2,
	}}
	beats := func(down func(i int) bool) []app.TargetBeat {
		var b []app.TargetBeat
		for i := range 60 {
			b = append(b, app.TargetBeat{Slot: ago(time.Duration(59-i) * 15 * time.Second), Up: !down(i), Seconds: 0.004 + float64(i%7)/1000})
		}
		return b
	}
	target := func(name, kind, url, problem string, took float64, samples int, recent []app.TargetBeat) {
		r.targets = append(r.targets, app.TargetView{TargetStatus: app.TargetStatus{
			Target: name, Kind: kind, URL: url, Labels: domain.LabelsOf("job", "node", "instance", name), Replica: "monitor-a",
			Slot: slot, Up: problem == "", Problem: problem, Seconds: took, Samples: samples,
		}, Recent: recent})
	}
	target("api-1", "scrape", "http://10.0.0.11:9100/metrics", "", 0.0042, 812, beats(func(int) bool { return false }))
	target("api-2", "scrape", "http://10.0.0.12:9100/metrics", "", 0.0057, 809, beats(func(i int) bool { return i%9 == 3 || i > 40 && i < 46 }))
	target("checkout", "probe", "https://checkout.example.org/healthz", "unexpected status 503 Service Unavailable", 0.231, 7,
		beats(func(i int) bool { return i > 51 || i == 20 }))
	target("db", "scrape", "http://db.internal:9187/metrics", "", 0.018, 1204, beats(func(int) bool { return false })[48:])
	target("edge with a very long name that nobody asked for but somebody gave it all the same", "probe",
		"https://edge.example.org/a/very/long/path/that/goes/on/and/on?with=a&long=query&string=too", "", 1.2, 9, beats(func(i int) bool { return i == 2 }))
	target("legacy"+hostile, "scrape", "http://legacy:9100/"+hostile, `Get: dial tcp: connect: connection refused `+hostile, 0.0009, 0, beats(func(i int) bool { return i > 5 }))

	high := alertOf("api/HighErrorRate", domain.Firing, ago(9*time.Minute), 0.127, "12.7 % of requests fail on api-2", "instance", "api-2", "job", "node", "severity", "critical")
	down := alertOf("api/TargetDown", domain.Firing, ago(3*time.Minute), 0, "checkout does not answer", "instance", "checkout", "severity", "critical")
	slow := alertOf("api/SlowAnswers", domain.Pending, ago(30*time.Second), 1.2034567, "edge takes more than 1 s", "instance", "edge", "severity", "warning")
	cert := alertOf("web/CertificateExpires", domain.Resolved, ago(12*time.Minute), 86400, "", "instance", "https://shop.example.org", "severity", "warning")
	evil := alertOf("web/Hostile"+hostile, domain.Resolved, ago(20*time.Minute), math.NaN(), hostile,
		"path", `C:\"`+hostile, "long", strings.Repeat("x", 300), "empty_looking", " ")
	r.alerts = []app.AlertView{down, high, slow, cert, evil}

	fired := eventOf(high, domain.Pending, domain.Firing, ago(8*time.Minute), "monitor-b")
	at := fired.Slot.Add(180 * time.Millisecond)
	fired.Deliveries = []app.DeliveryView{
		delivery(fired, "hook", app.DeliveryDelivered,
			attempt(1, "monitor-b", at, app.AttemptFailed, `outboxhttp: hook.example.org answered 500 Internal Server Error: "database is locked"`, 5*time.Second, 0.082),
			attempt(2, "monitor-b", at.Add(5100*time.Millisecond), app.AttemptRunning, "", 0, 0),
			attempt(2, "monitor-a", at.Add(21*time.Second), app.AttemptFailed, "outboxhttp: POST to hook.example.org: context deadline exceeded", 28*time.Second, 7.5),
			attempt(3, "monitor-a", at.Add(57*time.Second), app.AttemptDelivered, "", 0, 0.0126)),
		delivery(fired, "alertmanager", app.DeliveryDelivered, attempt(1, "monitor-b", at, app.AttemptDelivered, "", 0, 0.0031)),
		delivery(fired, "chat", app.DeliveryDead,
			attempt(1, "monitor-b", at, app.AttemptFailed, "outboxhttp: chat.example.org answered 404 Not Found", 5*time.Second, 0.2),
			attempt(2, "monitor-b", at.Add(5*time.Second), app.AttemptDeadLettered, `outboxhttp: chat.example.org answered 410 Gone: "no such channel"`, 0, 0.19)),
	}
	fell := eventOf(down, domain.Pending, domain.Firing, ago(2*time.Minute), "monitor-a")
	at = fell.Slot.Add(90 * time.Millisecond)
	fell.Deliveries = []app.DeliveryView{
		delivery(fell, "hook", app.DeliveryRetrying, attempt(1, "monitor-a", at, app.AttemptFailed, "outboxhttp: hook.example.org answered 500 Internal Server Error", time.Hour, 0.05)),
		delivery(fell, "alertmanager", app.DeliveryDelivered, attempt(1, "monitor-a", at, app.AttemptDelivered, "", 0, 0.003)),
		delivery(fell, "pager", app.DeliveryWaiting),
	}
	ended := eventOf(cert, domain.Firing, domain.Resolved, ago(8*time.Minute), "monitor-a")
	ended.Deliveries = []app.DeliveryView{delivery(ended, "hook", app.DeliveryDelivered, attempt(1, "monitor-a", ended.Slot, app.AttemptDelivered, "", 0, 0.01))}
	r.events = []app.EventView{
		eventOf(slow, domain.Inactive, domain.Pending, ago(30*time.Second), "monitor-b"), fell,
		eventOf(down, domain.Inactive, domain.Pending, ago(3*time.Minute), "monitor-a"), fired, ended,
		eventOf(high, domain.Inactive, domain.Pending, ago(9*time.Minute), "monitor-a"),
		eventOf(evil, domain.Firing, domain.Resolved, ago(16*time.Minute), "monitor-a"),
	}
	r.rules = []app.RuleView{
		{ID: "api/HighErrorRate", Revision: "9f3a1c20b4de", Slot: slot, Replica: "monitor-b", Alerts: 1},
		{ID: "api/SlowAnswers", Revision: "1", Slot: slot, Replica: "monitor-a", Alerts: 1},
		{ID: "api/TargetDown", Revision: "2", Slot: slot, Replica: "monitor-a", Alerts: 1},
		{ID: "web/Broken", Revision: "3", Slot: slot, Replica: "monitor-a", Failure: "more than 1000 alerts"},
		{ID: "web/CertificateExpires", Revision: "4", Slot: slot, Replica: "monitor-b"},
		{ID: "web/Late", Revision: "5", Slot: ago(time.Hour), Replica: "monitor-b"},
		{ID: "web/Old" + hostile, Revision: "6", Slot: ago(24 * time.Hour), Replica: "monitor-b"},
	}
	return r
}

// full is a configuration in which everything is shown.
func full(t testing.TB, r app.Reader) web.Config {
	t.Helper()
	return web.Config{
		Reader: r, Replica: "monitor-a", Version: "v1.2.3",
		Rules: []*domain.Rule{
			rule(t, "api", "HighErrorRate", `rate(http_errors_total{job="node"}[5m]) > 0.05`, "severity", "critical"),
			rule(t, "api", "SlowAnswers", `probe_duration_seconds > 1`, "severity", "warning"),
			rule(t, "api", "TargetDown", `up == 0`, "severity", "critical"),
			rule(t, "web", "Broken", `some_metric > 1`),
			rule(t, "web", "CertificateExpires", `probe_ssl_expires_in_seconds < 604800`, "severity", "warning"),
			rule(t, "web", "Late", `absent(heartbeat)`),
			rule(t, "web", "New", `absent(other_heartbeat)`),
		},
		Sinks: []web.Sink{
			{Name: "hook", Kind: "webhook", Address: "hook.example.org", Promise: web.ExactlyOnce},
			{Name: "alertmanager", Kind: "Alertmanager", Address: "10.0.0.5:9093", Promise: web.State},
			{Name: "chat", Kind: "webhook", Address: "chat.example.org", Promise: web.AtLeastOnce},
			{Name: "pager", Kind: "webhook", Address: "pager.example.org"},
		},
		Stats: func() app.Stats {
			return app.Stats{Slots: 6300, Evaluated: 6241, Suppressed: 6239, Transitions: 33, Messages: 30, Missed: 3, LastSlot: time.Unix(1_700_000_000, 5e8)}
		},
		Deliveries: func() []app.DeliveryCount {
			return []app.DeliveryCount{{Sink: "hook", Delivered: 21, Failed: 9, Dead: 0, Seconds: 3.5}, {Sink: "chat", Failed: 2, Dead: 1, Seconds: 0.4}}
		},
		Outbox: func(context.Context) (outbox.Stats, error) {
			return outbox.Stats{Hot: 1, Parked: 1, Dead: 1, Oldest: 130 * time.Second}, nil
		},
	}
}
