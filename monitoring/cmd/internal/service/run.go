package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// closeTime is the longest that the page's last requests may take when the service ends.
const closeTime = 5 * time.Second

// Run serves until ctx ends; then no further slot is begun, deliveries in flight may end,
// leases are given back so that another replica goes on at once, and everything is closed.
// It returns nil if all that was done.
func (s *Service) Run(ctx context.Context) error {
	g := newGroup(ctx)
	g.run("schedule", s.monitor.Run)
	g.run("database", s.db.Run)
	if s.relay != nil {
		g.run("relay", s.relay.Run)
	}
	if s.refresher != nil {
		g.run("alertmanager", s.refresher.Run)
	}
	g.run("page", s.serve)
	err := g.wait()
	s.log.Info("ended", "err", err) //nolint:sloglint // the context is over
	return errors.Join(err, s.close())
}

// serve answers HTTP requests until ctx ends.
func (s *Service) serve(ctx context.Context) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		err := s.server.Shutdown(last)
		if errors.Is(err, context.DeadlineExceeded) {
			err = s.server.Close() // pages that follow the news do not end by themselves
		}
		stopped <- err
	})
	err := s.server.Serve(s.listener)
	if !errors.Is(err, http.ErrServerClosed) {
		stop()
		return fmt.Errorf("serve: %w", err)
	}
	return <-stopped
}

// close closes what New has opened.
func (s *Service) close() error {
	var errs []error
	if s.listener != nil {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) { // the server may have closed it
			errs = append(errs, err)
		}
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}
