package web_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/web"
)

var update = flag.Bool("update", false, "write the golden files anew; read the difference before you commit it")

// TestAPI compares every answer with a file in testdata: what machines read must not change
// without somebody meaning it.
func TestAPI(t *testing.T) {
	r := busy(time.Date(2026, 3, 4, 10, 20, 7, 0, time.UTC))
	for i, target := range r.targets {
		r.targets[i].Recent = target.Recent[len(target.Recent)-2:] // the others are like them
	}
	c := full(t, r)
	for name, path := range map[string]string{
		"targets": "targets", "rules": "rules", "alerts": "alerts", "events": "events", "deliveries": "deliveries", "totals": "totals",
		"alert": web.AlertPath(r.alerts[1].Ref())[1:],
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, body(t, c, "/api/v1/"+path)) })
	}
}

func TestAPIOfAnEmptyDatabase(t *testing.T) {
	c := web.Config{Reader: &reader{}, Replica: "a"}
	for _, name := range []string{"targets", "rules", "alerts", "events", "deliveries"} {
		if got, want := string(body(t, c, "/api/v1/"+name)), `{"`+name+`":[]}`+"\n"; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestListsWithNothingInThemAreNotNull(t *testing.T) {
	r := busy(now())
	r.targets = []app.TargetView{{TargetStatus: app.TargetStatus{Target: "new"}}}
	ref := r.alerts[2].Ref() // pending: no deliveries
	for _, path := range []string{"targets", "alerts", "events", "deliveries", web.AlertPath(ref)[1:]} {
		if got := body(t, full(t, r), "/api/v1/"+path); bytes.Contains(got, []byte("null")) {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestLimits(t *testing.T) {
	r := busy(now())
	for _, row := range []struct {
		path  string
		asked int
	}{
		{"/api/v1/events", 100}, {"/api/v1/events?limit=1", 1}, {"/api/v1/events?limit=1000", 1000},
		{"/api/v1/deliveries", 100}, {"/api/v1/deliveries?limit=7", 7}, {"/", 30},
	} {
		if w := ask(t, full(t, r), http.MethodGet, row.path); w.Code != 200 || r.asked() != row.asked {
			t.Errorf("%s: status %d, %d asked for, want %d", row.path, w.Code, r.asked(), row.asked)
		}
	}
	var answer struct{ Events []any }
	if err := json.Unmarshal(body(t, full(t, r), "/api/v1/events?limit=2"), &answer); err != nil || len(answer.Events) != 2 {
		t.Errorf("%d events, error %v", len(answer.Events), err)
	}
}

func body(t *testing.T, c web.Config, path string) []byte {
	t.Helper()
	w := ask(t, c, http.MethodGet, path)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != jsonType {
		t.Fatalf("%s: %d %s: %s", path, w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	return w.Body.Bytes()
}

func golden(t *testing.T, name string, answer []byte) {
	t.Helper()
	var got bytes.Buffer
	if err := json.Indent(&got, answer, "", "  "); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "api", name+".json")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("it differs from %s; run with -update and read the difference. Now:\n%s", file, &got)
	}
}
