package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/infra/alertmanager"
	"example.com/once/monitoring/infra/configfile"
	"example.com/once/monitoring/infra/delivery"
	"example.com/once/monitoring/infra/naive"
	"example.com/once/monitoring/infra/sqlite"
	"example.com/once/monitoring/web"
	"example.com/once/outbox"
)

// Options say what to run.
type Options struct {
	Config configfile.Config
	Naive  bool // send at once and keep nothing
	Logger *slog.Logger
}

// Service is one replica. Make one with [New], and Run it once.
type Service struct {
	listener  net.Listener
	server    *http.Server
	db        *sqlite.DB
	monitor   *app.Monitor
	relay     *outbox.Relay           // nil if naive
	refresher *alertmanager.Refresher // nil without an Alertmanager
	relaying  pulse
	log       *slog.Logger

	externalURL string
}

// defaultLease is the relay's own default.
const defaultLease = 15 * time.Second

// Check says what New would say of the configuration without opening or listening to
// anything, and returns the number of rules.
func Check(c configfile.Config) (rules int, err error) {
	all, err := loadRules(c)
	_, errTargets := targets(c)
	_, errSinks := newSinks(c, nil)
	return len(all), errors.Join(err, errTargets, errSinks)
}

// New makes a replica that listens already, but does nothing yet. Its error names what
// is wrong; nothing is left open then.
func New(ctx context.Context, o Options) (_ *Service, err error) {
	c := o.Config
	rules, err := loadRules(c)
	if err != nil {
		return nil, err
	}
	watched, err := targets(c)
	if err != nil {
		return nil, err
	}
	s := &Service{log: o.Logger, externalURL: c.ExternalURL}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	out, err := newSinks(c, s.pageOf)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	if s.listener, err = lc.Listen(ctx, "tcp", c.Listen); err != nil {
		return nil, fmt.Errorf("%s: listen: %w; is another replica running there? Choose another address", c.File, err)
	}
	if s.db, err = sqlite.Open(ctx, sqlite.Config{Path: c.Database, Keep: c.Keep, Logger: o.Logger}); err != nil {
		return nil, fmt.Errorf("%s: database: %w", c.File, err)
	}
	log := delivery.New(out.publisher, s.db, c.Replica, o.Logger)
	hooks := log.Hooks()
	hooks.Leases = s.relaying.beat
	s.relaying.patience = 2 * cmp.Or(c.Delivery.Lease, defaultLease)
	if s.relay, err = outbox.NewRelay(s.db.Outbox(), log, relayConfig(c, hooks, o.Logger)); err != nil {
		return nil, fmt.Errorf("%s: delivery: %w", c.File, err)
	}
	if len(out.instances) > 0 {
		s.refresher = alertmanager.NewRefresher(s.db, o.Logger, out.instances...)
	}
	config := app.Config{
		Replica: c.Replica, Rules: rules, Targets: watched, Sinks: out.app, TargetLog: s.db,
		Committed: s.relay.Wake, Logger: o.Logger,
	}
	if c.CatchUp {
		config.Missed = app.CatchUp
	}
	var work app.UnitOfWork = s.db
	if o.Naive {
		work, s.relay, s.refresher = naiveWork(c, o.Logger), nil, nil
		config.Committed = nil
	}
	if s.monitor, err = app.New(work, config); err != nil {
		return nil, fmt.Errorf("%s: %w", c.File, err)
	}
	if s.server, err = s.page(c, config, log.Counts); err != nil {
		return nil, fmt.Errorf("%s: %w", c.File, err)
	}
	return s, nil
}

func naiveWork(c configfile.Config, log *slog.Logger) app.UnitOfWork {
	addresses := make(map[string]string)
	var timeout time.Duration
	for _, sink := range c.Sinks {
		addresses[sink.Name] = sink.URL
		timeout = max(timeout, sink.Timeout)
	}
	return naive.New(addresses, timeout, log)
}

// Addr is the address that the replica listens on.
func (s *Service) Addr() string { return s.listener.Addr().String() }

// pageOf is the address of an alert's page, for people who see the alert elsewhere.
func (s *Service) pageOf(ref app.AlertRef) string {
	return cmp.Or(s.externalURL, "http://"+s.Addr()) + web.AlertPath(ref)
}
