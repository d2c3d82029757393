package alertmanager

import (
	"context"
	"net/http"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/outbox"
	"example.com/once/retry"
)

// Publisher posts transitions to one instance. It is safe for concurrent use.
type Publisher struct {
	endpoint string
	host     string // for errors and logs
	header   http.Header
	page     func(app.AlertRef) string
	refresh  time.Duration
	timeout  time.Duration
	client   *http.Client
}

var _ outbox.Publisher = (*Publisher)(nil)

// alert is what the API takes. Only labels identify it.
type alert struct {
	Labels       domain.Labels `json:"labels"`
	Annotations  domain.Labels `json:"annotations"`
	StartsAt     time.Time     `json:"startsAt"`
	EndsAt       time.Time     `json:"endsAt"`
	GeneratorURL string        `json:"generatorURL,omitempty"`
}

// Publish implements [outbox.Publisher]: the payloads are [app.Notification]s. An instance
// that is away or answers with a server's error is unavailable; an alert that it refuses as
// invalid is given up.
func (p *Publisher) Publish(ctx context.Context, batch []outbox.Delivery, errs []error) {
	alerts := make([]alert, 0, len(batch))
	at := make([]int, 0, len(batch))
	for i, d := range batch {
		n, err := app.ParseNotification(d.Payload)
		if err != nil {
			errs[i] = retry.Stop(err)
			continue
		}
		alerts, at = append(alerts, p.transition(n)), append(at, i)
	}
	p.postAll(ctx, alerts, func(i int, err error) { errs[at[i]] = err })
}

// transition is a notification as Alertmanager takes it.
func (p *Publisher) transition(n app.Notification) alert {
	a := alert{
		Labels: n.Labels, Annotations: n.Annotations, StartsAt: n.StartsAt, EndsAt: p.until(),
		GeneratorURL: p.pageOf(app.AlertRef{RuleID: n.RuleID, Fingerprint: n.Fingerprint}),
	}
	if n.Transition == domain.Resolved {
		a.EndsAt = n.Slot
	}
	return a
}

// state is an alert's present state as Alertmanager takes it.
func (p *Publisher) state(v app.AlertView) alert {
	a := alert{
		Labels: v.Labels, Annotations: v.Annotations, StartsAt: v.ActiveAt, EndsAt: p.until(), GeneratorURL: p.pageOf(v.Ref()),
	}
	if v.Phase == domain.Resolved {
		a.EndsAt = v.ResolvedAt
	}
	return a
}

// until is how long an alert that fires is to hold if nobody posts it again.
func (p *Publisher) until() time.Time { return time.Now().Add(holds * p.refresh).UTC() }

func (p *Publisher) pageOf(ref app.AlertRef) string {
	if p.page == nil {
		return ""
	}
	return p.page(ref)
}
