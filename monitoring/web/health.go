package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

const checkTimeout = 2 * time.Second

// healthz says that the process is alive.
func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintln(w, "ok")
}

// readyz says of each part whether it works.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	reports, ready := s.check(r.Context())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	var b strings.Builder
	for _, p := range reports {
		if p.err != nil {
			fmt.Fprintf(&b, "not ready: %s: %s\n", p.part, strings.ReplaceAll(p.err.Error(), "\n", "; "))
		} else {
			fmt.Fprintf(&b, "ready: %s\n", p.part)
		}
	}
	if len(reports) == 0 {
		b.WriteString("ready\n")
	}
	_, _ = w.Write([]byte(b.String()))
}

type readiness struct {
	part string
	err  error
}

// check asks all parts at once. One that does not answer in time is not ready.
func (s *Server) check(ctx context.Context) (reports []readiness, ready bool) {
	ctx, cancel := context.WithTimeoutCause(ctx, checkTimeout, fmt.Errorf("no answer within %v", checkTimeout))
	defer cancel()
	reports = make([]readiness, len(s.c.Checks))
	var wg sync.WaitGroup
	for i, c := range s.c.Checks {
		wg.Go(func() { reports[i] = readiness{c.Part, ask(ctx, c)} })
	}
	wg.Wait()
	ready = true
	for _, p := range reports {
		ready = ready && p.err == nil
	}
	return reports, ready
}

// ask asks one part, and leaves it behind if it does not heed its context.
func ask(ctx context.Context, c Check) error {
	answer := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				answer <- fmt.Errorf("the check panicked: %v", v)
			}
		}()
		answer <- c.Ready(ctx)
	}()
	select {
	case err := <-answer:
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx) // says more than that a deadline was exceeded
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
