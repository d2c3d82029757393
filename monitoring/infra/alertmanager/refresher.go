package alertmanager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// Alerts is what a Refresher reads; an [app.Reader] is one.
type Alerts interface {
	// Firing returns the alerts that fire, and those that were resolved since the given time.
	Firing(ctx context.Context, resolvedSince time.Time) ([]app.AlertView, error)
}

// Refresher posts to each instance, every [Config].Refresh, the alerts that fire, with a
// later end, and those that were resolved lately, with the end they had. It may run in every
// replica.
type Refresher struct {
	alerts    Alerts
	instances []*Publisher
	log       *slog.Logger
}

// NewRefresher makes a Refresher; it starts nothing. A nil logger discards.
func NewRefresher(alerts Alerts, logger *slog.Logger, instances ...*Publisher) *Refresher {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Refresher{alerts: alerts, instances: instances, log: logger}
}

// Run refreshes until ctx ends, and returns nil then. An instance that is away is tried
// again at the next turn, and holds up no other.
func (r *Refresher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, p := range r.instances {
		wg.Go(func() { r.keep(ctx, p) })
	}
	wg.Wait()
	return nil
}

// keep refreshes one instance.
func (r *Refresher) keep(ctx context.Context, p *Publisher) {
	tick := time.NewTicker(p.refresh)
	defer tick.Stop()
	for failing := false; ; {
		n, err := r.refresh(ctx, p)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failing = true
			r.log.WarnContext(ctx, "alerts are not refreshed; the instance resolves them by itself if this lasts",
				"alertmanager", p.host, "after", holds*p.refresh, "err", err)
		case failing:
			failing = false
			r.log.InfoContext(ctx, "alerts are refreshed again", "alertmanager", p.host, "alerts", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// refresh is one turn. It says how many alerts the instance took.
func (r *Refresher) refresh(ctx context.Context, p *Publisher) (int, error) {
	views, err := r.read(ctx)
	if err != nil {
		return 0, err
	}
	taken, err := r.post(ctx, p, views)
	// An alert may have been resolved between the reading and the posting, and the instance
	// have been told so before it was told, by this turn, that the alert fires. Reading again
	// after the post finds that out.
	fired := make(map[app.AlertRef]bool)
	for _, v := range views {
		if v.Phase == domain.Firing {
			fired[v.Ref()] = true
		}
	}
	if len(fired) == 0 {
		return taken, err
	}
	now, again := r.read(ctx)
	var overtaken []app.AlertView
	for _, v := range now {
		if v.Phase == domain.Resolved && fired[v.Ref()] {
			overtaken = append(overtaken, v)
		}
	}
	if again == nil && len(overtaken) > 0 {
		_, again = r.post(ctx, p, overtaken)
	}
	return taken, errors.Join(err, again)
}

func (r *Refresher) read(ctx context.Context) ([]app.AlertView, error) {
	views, err := r.alerts.Firing(ctx, time.Now().Add(-domain.ResolvedKept))
	if err != nil {
		return nil, fmt.Errorf("alertmanager: reading the alerts: %w", err)
	}
	return views, nil
}

// post posts the present state of alerts and returns the first error.
func (r *Refresher) post(ctx context.Context, p *Publisher, views []app.AlertView) (taken int, first error) {
	alerts := make([]alert, 0, len(views))
	for _, v := range views {
		if v.Phase == domain.Firing || v.Phase == domain.Resolved {
			alerts = append(alerts, p.state(v))
		}
	}
	p.postAll(ctx, alerts, func(_ int, err error) {
		switch {
		case err == nil:
			taken++
		case first == nil:
			first = err
		}
	})
	return taken, first
}
