package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/infra/configfile"
	"example.com/once/monitoring/web"
)

// page makes the HTTP side.
func (s *Service) page(c configfile.Config, a app.Config, counts func() []app.DeliveryCount) (*http.Server, error) {
	sinks := make([]web.Sink, 0, len(c.Sinks))
	for _, sink := range c.Sinks {
		promise := web.ByReceiver
		if sink.Kind == configfile.Alertmanager {
			promise = web.State
		}
		sinks = append(sinks, web.Sink{Name: sink.Name, Kind: string(sink.Kind), Address: withoutSecrets(sink.URL), Promise: promise})
	}
	config := web.Config{
		Reader: s.db, Replica: c.Replica, Version: Version(), Rules: a.Rules, Sinks: sinks,
		Stats: s.monitor.Stats, Deliveries: counts, Outbox: s.db.Outbox().Stats, Logger: a.Logger,
		Checks: []web.Check{
			{Part: "database", Ready: s.db.Ping},
			{Part: "schedule", Ready: s.scheduled(a)},
		},
	}
	if s.relay != nil {
		config.Checks = append(config.Checks, web.Check{Part: "relay", Ready: s.relaying.ready})
	}
	server, err := web.New(config)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return &http.Server{
		Handler: server.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(a.Logger.Handler(), slog.LevelDebug),
	}, nil
}

// scheduled says whether slots go by as they should.
func (s *Service) scheduled(a app.Config) func(context.Context) error {
	shortest := a.Rules[0].Interval
	for _, r := range a.Rules {
		shortest = min(shortest, r.Interval)
	}
	patience := 3*shortest + 10*time.Second // a fetch takes its time
	began := time.Now()
	return func(context.Context) error {
		last := s.monitor.Stats().LastSlot
		if last.IsZero() {
			last = began
		}
		if age := time.Since(last); age > patience {
			return fmt.Errorf("no slot has been walked for %v, though one is due every %v", age.Round(time.Second), shortest)
		}
		return nil
	}
}

// pulse tells whether the relay still renews its leases.
type pulse struct {
	patience time.Duration
	last     atomic.Int64 // Unix nanoseconds; 0 = never
}

func (p *pulse) beat(context.Context, int) { p.last.Store(time.Now().UnixNano()) }

var errNoLease = errors.New("no lease has been taken yet")

func (p *pulse) ready(context.Context) error {
	last := p.last.Load()
	if last == 0 {
		return errNoLease
	}
	if age := time.Since(time.Unix(0, last)); age > p.patience {
		return fmt.Errorf("leases have not been renewed for %v; is the database away?", age.Round(time.Millisecond))
	}
	return nil
}
