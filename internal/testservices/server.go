package testservices

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Server is a running server. Its methods are not safe for concurrent use.
type Server struct {
	service Service
	in      Instance
	url     string
	shared  bool
	proc    *process // nil when shared or not running
}

// errShared is returned by what would disturb a server that is not ours.
var errShared = errors.New("testservices: the server was given by the environment; it is neither stopped nor restarted")

// URL is the server's address as clients want it, without a trailing slash.
func (s *Server) URL() string { return s.url }

// Addr is the server's host and port; empty for a shared server.
func (s *Server) Addr() string { return s.in.Addr }

// Shared reports whether the server was given by the environment.
func (s *Server) Shared() bool { return s.shared }

// Kill ends the server and all its children at once, as a crash would, and waits for
// the end. Its folder and port stay, for [Server.Restart].
func (s *Server) Kill() error {
	if s.shared {
		return errShared
	}
	if s.proc != nil {
		s.proc.kill()
		s.proc = nil
	}
	return nil
}

// Restart starts a killed server again, on the same port and folder, and waits until
// it is ready.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Kill(); err != nil {
		return err
	}
	return s.start(ctx)
}

// Log returns what the server has printed since its first start.
func (s *Server) Log() string {
	if s.shared {
		return ""
	}
	text, err := os.ReadFile(s.logPath())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *Server) logPath() string { return filepath.Join(s.in.Dir, "server.log") }

// launch prepares a folder, picks a port and starts a private server. A port can be
// lost to somebody else between the pick and the bind, so it tries a few.
func launch(ctx context.Context, service Service, binary string) (*Server, error) {
	dir, err := os.MkdirTemp("", "once-"+service.Name+"-")
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", service.Name, err)
	}
	s := &Server{service: service, in: Instance{Binary: binary, Dir: dir}}
	if err := giveAway(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", service.Name, err), s.remove())
	}
	for try := 1; ; try++ {
		if s.in.Addr, err = freeAddr(ctx); err == nil {
			s.url = service.URL(s.in)
			err = s.startFirst(ctx)
		}
		if err == nil {
			return s, nil
		}
		if try == 3 || !errors.Is(err, errExited) {
			return nil, errors.Join(err, s.remove())
		}
	}
}

func (s *Server) startFirst(ctx context.Context) error {
	if s.service.Prepare != nil {
		if err := s.service.Prepare(ctx, s.in); err != nil {
			return fmt.Errorf("start %s: %w", s.service.Name, err)
		}
	}
	return s.start(ctx)
}

// errExited says that a server ended before it was ready.
var errExited = errors.New("exited before it was ready")

func (s *Server) start(ctx context.Context) error {
	proc, err := startProcess(s.in.Binary, s.service.Args(s.in), s.in.Dir, s.logPath())
	if err != nil {
		return fmt.Errorf("start %s: %w", s.service.Name, err)
	}
	wait := s.service.Start
	if wait == 0 {
		wait = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err := s.untilReady(ctx, proc); err != nil {
		proc.kill()
		return fmt.Errorf("start %s: %w; it printed:\n%s", s.service.Name, err, s.Log())
	}
	s.proc = proc
	return nil
}

func (s *Server) untilReady(ctx context.Context, proc *process) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		notReady := s.service.Ready(ctx, s.url)
		if notReady == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-proc.done:
			return fmt.Errorf("%w: %w", errExited, proc.err)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), notReady)
		}
	}
}

func (s *Server) remove() error {
	if err := os.RemoveAll(s.in.Dir); err != nil {
		return fmt.Errorf("remove the folder of %s: %w", s.service.Name, err)
	}
	return nil
}

func freeAddr(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("pick a port: %w", err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", fmt.Errorf("pick a port: %w", err)
	}
	return addr, nil
}
