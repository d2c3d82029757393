package testservices

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary play the roles of a server, of a server's child and of
// a parent that dies.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "serve":
			exitOn(serve(os.Args[2]))
		case "grandchild":
			exitOn(listenOnly(os.Args[2]))
		case "parent":
			exitOn(parent(os.Args[2]))
		}
	}
	os.Exit(m.Run())
}

func exitOn(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// serve answers who it is, and starts a child that listens on the port given to /spawn.
func serve(addr string) error {
	if addr == "fail" {
		return errors.New("bad configuration in line 3")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/who", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "uid %d pid %d", os.Getuid(), os.Getpid())
	})
	mux.HandleFunc("/spawn", func(w http.ResponseWriter, r *http.Request) {
		child := exec.Command(os.Args[0], "grandchild", r.FormValue("addr"))
		if err := child.Start(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return http.ListenAndServe(addr, mux)
}

func listenOnly(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	for {
		if _, err := l.Accept(); err != nil {
			return err
		}
	}
}

// parent starts a server, says where it is, and waits to be killed.
func parent(binary string) error {
	s, err := launch(context.Background(), echo(binary), binary)
	if err != nil {
		return err
	}
	fmt.Println(s.Addr(), s.in.Dir)
	select {}
}

// echo is a service made of the test binary itself.
func echo(binary string) Service {
	return Service{
		Name:     "echo",
		Env:      "ONCE_TEST_ECHO_URL",
		Binaries: []string{binary},
		Install:  "go test",
		Args:     func(in Instance) []string { return []string{"serve", in.Addr} },
		URL:      func(in Instance) string { return "http://" + in.Addr },
		Ready:    httpReady("/who"),
	}
}

// copyOfTest puts the test binary where any user may run it.
func copyOfTest(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	//nolint:usetesting // Nobody else may enter t.TempDir.
	dir, err := os.MkdirTemp("", "once-testservices-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "server.exe")
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s: %s", url, resp.Status, body)
	}
	return string(body)
}

// answers reports whether something listens on addr.
func answers(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// eventually polls until ok says yes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}

func TestServerIsUnprivilegedAndAlone(t *testing.T) {
	binary := copyOfTest(t)
	t.Setenv(reportEnv, "") // not a backend
	s := acquire(t, echo(binary))
	who := get(t, s.URL()+"/who")
	if os.Geteuid() == 0 && strings.Contains(who, "uid 0 ") {
		t.Errorf("server runs as root: %s", who)
	}
	if runtime.GOOS == "linux" && os.Geteuid() == 0 && !strings.HasSuffix(who, " pid 1") {
		t.Logf("no PID namespace here: %s", who)
	}
	if !strings.HasPrefix(s.Addr(), "127.0.0.1:") {
		t.Errorf("server listens on %s, want loopback", s.Addr())
	}
}

func TestKillEndsChildrenAndRestartKeepsPlace(t *testing.T) {
	t.Setenv(reportEnv, "") // not a backend
	s := acquire(t, echo(copyOfTest(t)))
	addr, err := freeAddr(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	get(t, s.URL()+"/spawn?addr="+addr)
	eventually(t, "grandchild listens", func() bool { return answers(addr) })
	before := s.Addr()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if answers(before) {
		t.Error("server answers after Kill")
	}
	if runtime.GOOS == "linux" {
		eventually(t, "grandchild ended with the server", func() bool { return !answers(addr) })
	}
	if err := s.Kill(); err != nil {
		t.Errorf("second Kill: %v", err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Addr() != before {
		t.Errorf("restarted on %s, want %s", s.Addr(), before)
	}
	get(t, s.URL()+"/who")
}

func TestServerDiesWithItsParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("parent-death signals are Linux's")
	}
	binary := copyOfTest(t)
	cmd := exec.Command(binary, "parent", binary)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if !answers(addr) {
		t.Fatalf("no server on %s", addr)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, "server ended with its parent", func() bool { return !answers(addr) })
}

func TestServerThatFailsTellsWhy(t *testing.T) {
	binary := copyOfTest(t)
	bad := echo(binary)
	bad.Args = func(Instance) []string { return []string{"serve", "fail"} }
	_, err := launch(t.Context(), bad, binary)
	if !errors.Is(err, errExited) || !strings.Contains(err.Error(), "bad configuration in line 3") {
		t.Errorf("err = %v, want errExited with the server's own words", err)
	}
}

func TestServerThatNeverAnswers(t *testing.T) {
	binary := copyOfTest(t)
	deaf := echo(binary)
	deaf.Start = 100 * time.Millisecond
	deaf.Ready = func(context.Context, string) error { return errors.New("no answer") }
	_, err := launch(t.Context(), deaf, binary)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("err = %v, want the deadline and the last answer", err)
	}
}

func TestNodeExporter(t *testing.T) {
	s := NodeExporter(t)
	if body := get(t, s.URL()+"/metrics"); !strings.Contains(body, "\nnode_load1 ") {
		t.Errorf("no node_load1 in:\n%s", body)
	}
}

func TestAlertmanager(t *testing.T) {
	s := Alertmanager(t, "")
	alert := `[{"labels":{"alertname":"Test"}}]`
	resp, err := http.Post(s.URL()+"/api/v2/alerts", "application/json", strings.NewReader(alert))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("post alert: %s", resp.Status)
	}
	if body := get(t, s.URL()+"/api/v2/alerts"); !strings.Contains(body, `"alertname":"Test"`) {
		t.Errorf("alert not listed: %s", body)
	}
}
