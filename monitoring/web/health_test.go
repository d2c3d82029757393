package web_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/monitoring/web"
)

func TestReadiness(t *testing.T) {
	good := func(context.Context) error { return nil }
	for name, row := range map[string]struct {
		checks []web.Check
		status int
		says   string
	}{
		"nothing to check": {nil, 200, "ready\n"},
		"all ready":        {[]web.Check{{"database", good}, {"relay", good}}, 200, "ready: database\nready: relay\n"},
		"one is not": {
			[]web.Check{{"database", good}, {"relay", func(context.Context) error { return errors.New("no lease\nfor a minute") }}, {"schedule", good}},
			503, "ready: database\nnot ready: relay: no lease; for a minute\nready: schedule\n",
		},
		"one panics": {[]web.Check{{"database", func(context.Context) error { panic("oh") }}}, 503, "not ready: database: the check panicked: oh\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := web.Config{Reader: &reader{}, Replica: "a", Checks: row.checks}
			w := ask(t, c, http.MethodGet, "/readyz")
			if w.Code != row.status || w.Body.String() != row.says {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, row.status, row.says)
			}
			if w := ask(t, c, http.MethodGet, "/healthz"); w.Code != 200 || w.Body.String() != "ok\n" {
				t.Errorf("alive is another question than ready: %d %q", w.Code, w.Body)
			}
		})
	}
}

func TestReadinessWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		began := time.Now()
		w := ask(t, web.Config{Reader: &reader{}, Replica: "a", Checks: []web.Check{
			{"deaf", func(context.Context) error { <-release; return nil }}, // does not heed its context
			{"slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			{"quick", func(context.Context) error { return nil }},
		}}, http.MethodGet, "/readyz")
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %v, want 2s for all of them together", took)
		}
		if w.Code != 503 {
			t.Errorf("status %d", w.Code)
		}
		const want = "not ready: deaf: no answer within 2s\nnot ready: slow: no answer within 2s\nready: quick\n"
		if w.Body.String() != want {
			t.Errorf("it says %q, want %q", w.Body, want)
		}
	})
}
