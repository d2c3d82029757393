package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// metrics makes the handler of /metrics, on a registry of its own.
func (s *Server) metrics() (http.Handler, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(&s.c),
		alertSeries{&s.c},
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register: %w", err)
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(s.c.Logger.Handler(), slog.LevelError),
		ErrorHandling: promhttp.ContinueOnError,
	}), nil
}

// collector turns what the replica counts and what the database holds into metrics, anew for
// each scrape. What the database holds is missing while it cannot be read.
type collector struct {
	c *Config

	info, slots, evaluated, suppressed, skipped, missed, transitions, messages, failures, lastSlot *prometheus.Desc // of the replica
	deliveries, dead, seconds                                                                      *prometheus.Desc // of the replica, by sink
	readable, states, alerts, targets, waiting, oldest                                             *prometheus.Desc // of the database
}

func newCollector(c *Config) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("monitor_"+name, help, labels, nil)
	}
	return &collector{
		c:          c,
		info:       desc("info", "Which replica and which version this is. Always 1.", "replica", "version"),
		slots:      desc("slots_total", "Slots walked by this replica, over all grids."),
		evaluated:  desc("evaluations_total", "Evaluations committed by this replica."),
		suppressed: desc("duplicates_suppressed_total", "Evaluations that had been committed before, and were not repeated."),
		skipped:    desc("slots_skipped_total", "Slots given up because a later one was evaluated before."),
		missed:     desc("slots_missed_total", "Slots recorded as skipped by this replica."),
		transitions: desc("transitions_total",
			"Alert transitions committed by this replica."),
		messages:   desc("messages_total", "Messages written to the outbox by this replica."),
		failures:   desc("unit_of_work_failures_total", "Units of work that failed; they are repeated or given up."),
		lastSlot:   desc("last_slot_timestamp_seconds", "Latest slot walked by this replica."),
		deliveries: desc("deliveries_total", "Delivery attempts of this replica.", "sink", "result"),
		dead:       desc("dead_letters_total", "Messages given up by this replica.", "sink"),
		seconds:    desc("delivery_duration_seconds", "How long delivery attempts of this replica took.", "sink"),
		readable:   desc("database_readable", "Whether the database could be read for this scrape."),
		states:     desc("outbox_messages", "Messages of all replicas, by state.", "state"),
		alerts:     desc("alerts", "Alerts, by state.", "state"),
		targets:    desc("targets", "Targets at their latest fetch, by state.", "state"),
		waiting:    desc("outbox_backlog", "Messages in the outbox that are yet to be published."),
		oldest:     desc("outbox_oldest_age_seconds", "Age of the oldest message that is yet to be published; 0 = there is none."),
	}
}

// Describe implements [prometheus.Collector].
func (m *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.info, m.slots, m.evaluated, m.suppressed, m.skipped, m.missed, m.transitions, m.messages, m.failures, m.lastSlot,
		m.deliveries, m.dead, m.seconds, m.readable, m.states, m.alerts, m.targets, m.waiting, m.oldest,
	} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(m.info, 1, m.c.Replica, m.c.Version)
	m.replica(ch)
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	totals, err := m.c.Reader.Totals(ctx)
	if err != nil {
		m.c.Logger.ErrorContext(ctx, "metrics: the database cannot be read", "err", err)
		gauge(m.readable, 0)
		return
	}
	gauge(m.readable, 1)
	gauge(m.states, float64(totals.Waiting), string(app.DeliveryWaiting))
	gauge(m.states, float64(totals.Delivered), string(app.DeliveryDelivered))
	gauge(m.states, float64(totals.Dead), string(app.DeliveryDead))
	gauge(m.alerts, float64(totals.Firing), domain.Firing.String())
	gauge(m.alerts, float64(totals.Pending), domain.Pending.String())
	gauge(m.targets, float64(totals.TargetsUp), "up")
	gauge(m.targets, float64(totals.TargetsDown), "down")
	if m.c.Outbox == nil {
		return
	}
	stats, err := m.c.Outbox(ctx)
	if err != nil {
		m.c.Logger.ErrorContext(ctx, "metrics: the outbox cannot be read", "err", err)
		return
	}
	gauge(m.waiting, float64(stats.Hot+stats.Parked))
	gauge(m.oldest, stats.Oldest.Seconds())
}

// replica collects what this replica counts.
func (m *collector) replica(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	if m.c.Stats != nil {
		s := m.c.Stats()
		counter(m.slots, float64(s.Slots))
		counter(m.evaluated, float64(s.Evaluated))
		counter(m.suppressed, float64(s.Suppressed))
		counter(m.skipped, float64(s.Skipped))
		counter(m.missed, float64(s.Missed))
		counter(m.transitions, float64(s.Transitions))
		counter(m.messages, float64(s.Messages))
		counter(m.failures, float64(s.Failures))
		if !s.LastSlot.IsZero() {
			at := float64(s.LastSlot.UnixNano()) / float64(time.Second)
			ch <- prometheus.MustNewConstMetric(m.lastSlot, prometheus.GaugeValue, at)
		}
	}
	if m.c.Deliveries == nil {
		return
	}
	counted := make(map[string]bool)
	sink := func(d app.DeliveryCount) {
		if counted[d.Sink] {
			return
		}
		counted[d.Sink] = true
		counter(m.deliveries, float64(d.Delivered), d.Sink, string(app.AttemptDelivered))
		counter(m.deliveries, float64(d.Failed), d.Sink, string(app.AttemptFailed))
		counter(m.dead, float64(d.Dead), d.Sink)
		ch <- prometheus.MustNewConstSummary(m.seconds, uint64(max(d.Delivered+d.Failed, 0)), d.Seconds, nil, d.Sink)
	}
	for _, d := range m.c.Deliveries() {
		sink(d)
	}
	for _, s := range m.c.Sinks { // a series that begins at 0 has a rate from the first event on
		sink(app.DeliveryCount{Sink: s.Name})
	}
}

// alertSeries is the series ALERTS as Prometheus has it: one for each alert that is pending
// or fires, with its labels. Its label names differ from alert to alert, so it cannot be
// described beforehand.
type alertSeries struct{ c *Config }

// Describe implements [prometheus.Collector]; describing nothing is the way to be unchecked.
func (alertSeries) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (a alertSeries) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	alerts, err := a.c.Reader.Alerts(ctx)
	if err != nil {
		return // monitor_database_readable tells
	}
	seen := make(map[domain.Fingerprint]bool)
	for _, alert := range alerts {
		if alert.Phase != domain.Firing && alert.Phase != domain.Pending {
			continue
		}
		// Two rules may have alerts with the same labels; a series can be there once.
		l := alert.Labels.With("alertstate", alert.Phase.String())
		if seen[l.Fingerprint()] {
			continue
		}
		seen[l.Fingerprint()] = true
		m, err := prometheus.NewConstMetric(
			prometheus.NewDesc("ALERTS", "Alerts that are pending or fire.", nil, l.Map()), prometheus.GaugeValue, 1)
		if err != nil {
			a.c.Logger.WarnContext(ctx, "metrics: an alert cannot be a series", "labels", l.String(), "err", err)
			continue
		}
		ch <- m
	}
}
