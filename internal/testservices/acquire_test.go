package testservices

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// fakeTB records how acquire ends a test instead of ending this one.
type fakeTB struct {
	testing.TB
	skipped, failed string
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) Skip(args ...any) {
	f.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}

func (f *fakeTB) Fatal(args ...any) {
	f.failed = fmt.Sprint(args...)
	runtime.Goexit()
}

func (f *fakeTB) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }

// tryAcquire runs acquire on a fake test and returns both.
func tryAcquire(t *testing.T, service Service) (*Server, *fakeTB) {
	t.Helper()
	tb := &fakeTB{TB: t}
	var s *Server
	done := make(chan struct{})
	go func() {
		defer close(done)
		s = acquire(tb, service)
	}()
	<-done
	return s, tb
}

func missing() Service {
	s := echo("/nonexistent/binary-*")
	s.Install = "apt-get install echo"
	return s
}

func TestMissingServiceSkipsLoudly(t *testing.T) {
	t.Setenv(requireEnv, "alertmanager")
	file := filepath.Join(t.TempDir(), "report")
	t.Setenv(reportEnv, file)
	_, tb := tryAcquire(t, missing())
	for _, want := range []string{"echo", "no binary found", "apt-get install echo", "ONCE_TEST_ECHO_URL"} {
		if !strings.Contains(tb.skipped, want) {
			t.Errorf("skip message %q lacks %q", tb.skipped, want)
		}
	}
	line, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := "echo\tskipped\tno binary found"; !strings.HasPrefix(string(line), want) || !strings.HasSuffix(string(line), "\tapt-get install echo\n") {
		t.Errorf("report = %q, want %q ... and the command", line, want)
	}
}

func TestMissingRequiredServiceFails(t *testing.T) {
	t.Setenv(reportEnv, "")
	t.Setenv(requireEnv, "all")
	_, tb := tryAcquire(t, missing())
	if tb.failed == "" || tb.skipped != "" {
		t.Errorf("failed %q, skipped %q; want a failure only", tb.failed, tb.skipped)
	}
}

func TestRequired(t *testing.T) {
	for _, c := range []struct {
		list string
		want bool
		err  string
	}{
		{list: ""},
		{list: "all", want: true},
		{list: "alertmanager", want: true},
		{list: " node-exporter , alertmanager,", want: true},
		{list: "node-exporter"},
		{list: "alertmanger", err: `unknown service "alertmanger"; known: all, alertmanager, node-exporter`},
	} {
		got, err := required(c.list, "alertmanager")
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("required(%q): err = %v, want %q", c.list, err, c.err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("required(%q) = %v, %v; want %v", c.list, got, err, c.want)
		}
	}
}

func TestSharedServerIsUsedAndLeftAlone(t *testing.T) {
	t.Setenv(requireEnv, "")
	t.Setenv(reportEnv, "")
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer up.Close()
	t.Setenv("ONCE_TEST_ECHO_URL", up.URL+"/")
	s, tb := tryAcquire(t, missing())
	if s == nil {
		t.Fatalf("not acquired: %+v", tb)
	}
	if s.URL() != up.URL || !s.Shared() {
		t.Errorf("URL = %s, shared %v; want %s, true", s.URL(), s.Shared(), up.URL)
	}
	if err := s.Kill(); err == nil {
		t.Error("Kill of a shared server: no error")
	}
	if err := s.Restart(t.Context()); err == nil {
		t.Error("Restart of a shared server: no error")
	}
}

func TestSharedServerThatDoesNotAnswerFails(t *testing.T) {
	t.Setenv(requireEnv, "")
	t.Setenv("ONCE_TEST_ECHO_URL", "http://127.0.0.1:1")
	_, tb := tryAcquire(t, missing())
	if !strings.Contains(tb.failed, "ONCE_TEST_ECHO_URL=http://127.0.0.1:1") {
		t.Errorf("failed = %q, want the variable and its value", tb.failed)
	}
}

func TestFindTakesTheNewestOfVersionedFolders(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"15", "17"} {
		if err := os.MkdirAll(filepath.Join(dir, v, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, v, "bin", "postgres"), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := Service{Binaries: []string{"no-such-binary-anywhere", filepath.Join(dir, "*", "bin", "postgres")}}
	got, err := s.find()
	if want := filepath.Join(dir, "17", "bin", "postgres"); err != nil || got != want {
		t.Errorf("find() = %q, %v; want %q", got, err, want)
	}
}
