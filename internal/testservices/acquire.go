package testservices

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// Variables that steer the package.
const (
	requireEnv = "ONCE_REQUIRE"
	reportEnv  = "ONCE_SERVICES_REPORT"
)

// acquire returns a server of the service, or ends the test: skipped if the machine
// has none and nobody requires it, failed otherwise.
func acquire(tb testing.TB, service Service) *Server {
	tb.Helper()
	must, err := required(os.Getenv(requireEnv), service.Name)
	if err != nil {
		tb.Fatal(err)
	}
	if url := strings.TrimSuffix(os.Getenv(service.Env), "/"); url != "" {
		if err := service.Ready(tb.Context(), url); err != nil {
			tb.Fatalf("%s=%s: %v", service.Env, url, err)
		}
		report(tb, service, "shared", service.Env+"="+url)
		return &Server{service: service, url: url, shared: true}
	}
	binary, err := service.find()
	if err != nil {
		report(tb, service, "skipped", err.Error())
		text := fmt.Sprintf("SKIPPED SERVICE %s: %v. Enable it: %s (or set %s to a running one), then test with -count=1",
			service.Name, err, service.Install, service.Env)
		if must {
			tb.Fatalf("%s=%s, but: %s", requireEnv, os.Getenv(requireEnv), text)
		}
		tb.Skip(text)
	}
	s, err := launch(tb.Context(), service, binary)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("%s printed:\n%s", service.Name, tail(s.Log(), 4096))
		}
		if err := s.Kill(); err != nil {
			tb.Error(err)
		}
		if err := s.remove(); err != nil {
			tb.Error(err)
		}
	})
	report(tb, service, "started", binary)
	return s
}

// required reports whether list, a value of ONCE_REQUIRE, asks for the service.
func required(list, service string) (bool, error) {
	known := services()
	names := make([]string, 0, len(known))
	for _, s := range known {
		names = append(names, s.Name)
	}
	must := false
	for name := range strings.SplitSeq(list, ",") {
		switch name = strings.TrimSpace(name); {
		case name == "":
		case name == "all", name == service:
			must = true
		case !slices.Contains(names, name):
			return false, fmt.Errorf("%s names the unknown service %q; known: all, %s", requireEnv, name, strings.Join(names, ", "))
		}
	}
	return must, nil
}

// report appends one line to the file that ONCE_SERVICES_REPORT names.
func report(tb testing.TB, service Service, outcome, detail string) {
	tb.Helper()
	path := os.Getenv(reportEnv)
	if path == "" {
		return
	}
	line := strings.Join([]string{service.Name, outcome, detail, service.Install}, "\t") + "\n"
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		tb.Fatalf("%s: %v", reportEnv, err)
	}
	_, err = f.WriteString(line) // one write: lines of parallel test processes do not mix
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		tb.Fatalf("%s: %v", reportEnv, err)
	}
}

func tail(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}
