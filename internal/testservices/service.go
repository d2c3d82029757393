package testservices

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Service says how one kind of server is found, started and recognised as ready.
type Service struct {
	Name     string        // as ONCE_REQUIRE spells it
	Env      string        // variable with the address of a running server to use instead
	Binaries []string      // names on PATH, or glob patterns of absolute paths; the last match of the first hit wins
	Install  string        // the one command that makes the binary available
	Start    time.Duration // longest wait for readiness; 0 = 30s

	// Prepare fills the instance's folder before the first start; nil = nothing to do.
	Prepare func(ctx context.Context, in Instance) error
	// Args are the command line of one start.
	Args func(in Instance) []string
	// URL is the address that tests use. A shared server's is the variable's value as it is.
	URL func(in Instance) string
	// Ready returns nil once the server at url answers.
	Ready func(ctx context.Context, url string) error
}

// Instance is one server's place: its binary, its folder and its ports.
type Instance struct {
	Binary string
	Dir    string // owned by the user that the server runs as
	Addr   string // 127.0.0.1:port, picked at random
}

// errNotFound says that none of a service's binaries is on this machine.
var errNotFound = errors.New("no binary found")

// find returns the path of the service's binary.
func (s Service) find() (string, error) {
	for _, b := range s.Binaries {
		if filepath.IsAbs(b) {
			if hits, _ := filepath.Glob(b); len(hits) > 0 {
				return hits[len(hits)-1], nil
			}
			continue
		}
		if path, err := exec.LookPath(b); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w (looked for %v on PATH)", errNotFound, s.Binaries)
}

// httpReady is a Ready for servers that speak HTTP: a GET of path answers 200.
func httpReady(path string) func(context.Context, string) error {
	client := &http.Client{Timeout: 2 * time.Second}
	return func(ctx context.Context, url string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
		if err != nil {
			return fmt.Errorf("address %q: %w", url, err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("not ready: %w", err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("not ready: GET %s answered %s", path, resp.Status)
		}
		return nil
	}
}

// writeFile writes a file that the server may read, whoever it runs as.
func writeFile(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return nil
}
