package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/infra/alertmanager"
	"example.com/once/monitoring/infra/configfile"
	"example.com/once/monitoring/infra/webhook"
	"example.com/once/outbox"
	"example.com/once/retry"
)

// sinks are the destinations of alerts, ready to be published to.
type sinks struct {
	app       []app.Sink
	publisher outbox.Publisher
	instances []*alertmanager.Publisher
}

// newSinks makes the publishers, each in a lane of its own, so that one that is down holds
// up no other.
func newSinks(c configfile.Config, page func(app.AlertRef) string) (sinks, error) {
	var s sinks
	var errs []error
	byTopic := make(map[string]outbox.Publisher)
	for i, sink := range c.Sinks {
		p, err := s.publisherOf(sink, page)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: sink %q: %w", c.File, sink.Name, err))
			continue
		}
		byTopic[sink.Name] = p
		s.app = append(s.app, app.Sink{Name: sink.Name, Lane: uint8(i)}) // the configuration has at most 255
	}
	s.publisher = outbox.Route(byTopic, unknownSink())
	return s, errors.Join(errs...)
}

func (s *sinks) publisherOf(sink configfile.Sink, page func(app.AlertRef) string) (outbox.Publisher, error) {
	if sink.Kind == configfile.Webhook {
		return webhook.New(webhook.Config{URL: sink.URL, Secrets: sink.Secrets, Header: sink.Header, Timeout: sink.Timeout})
	}
	p, err := alertmanager.New(alertmanager.Config{URL: sink.URL, Timeout: sink.Timeout, Refresh: sink.Refresh, Page: page})
	if err != nil {
		return nil, err
	}
	s.instances = append(s.instances, p)
	return p, nil
}

// unknownSink gets the messages of sinks that this replica's configuration does not have. They are not
// given up: where replicas are reconfigured one by one, one that knows the sink comes
// to hold the message sooner or later.
func unknownSink() outbox.Publisher {
	return outbox.PublisherFunc(func(_ context.Context, d outbox.Delivery) error {
		return fmt.Errorf("this replica has no sink %q in its configuration", d.Topic)
	})
}

// relayConfig is the relay's configuration, with zero fields where the relay has a default.
func relayConfig(c configfile.Config, hooks outbox.Hooks, log *slog.Logger) outbox.RelayConfig {
	d := c.Delivery
	r := outbox.RelayConfig{
		Owner: c.Replica, LeaseTTL: d.Lease, Probe: d.Probe, Drain: d.Drain, Hooks: hooks, Logger: log,
		Policy: &retry.Policy{MaxAttempts: d.Attempts},
	}
	if d.FirstWait != 0 {
		r.Policy.Backoff = retry.Exponential(d.FirstWait, d.LastWait)
	}
	return r
}
