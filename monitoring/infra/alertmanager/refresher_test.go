package alertmanager_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/infra/alertmanager"
)

// alerts is what the database says.
type alerts struct {
	mu    sync.Mutex
	views []app.AlertView
	since time.Time
	err   error
	after func(reads int) // called after each read
	reads int
}

func (a *alerts) Firing(_ context.Context, since time.Time) ([]app.AlertView, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	views, err := append([]app.AlertView(nil), a.views...), a.err
	a.since = since
	a.reads++
	if a.after != nil {
		a.after(a.reads)
	}
	return views, err
}

func (a *alerts) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func view(instance string, phase domain.Phase, resolved time.Time) app.AlertView {
	labels := domain.LabelsOf("alertname", "High", "instance", instance)
	return app.AlertView{RuleID: "node/High", Alert: domain.Alert{
		Fingerprint: labels.Fingerprint(), Labels: labels, Annotations: domain.LabelsOf("summary", "it is high"),
		Phase: phase, ActiveAt: slot, FiredAt: slot.Add(time.Minute), ResolvedAt: resolved,
	}}
}

// transport is an instance without a network, for bubbles.
type transport struct {
	instance
	down bool
}

func (s *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result(), nil
}

// refresher runs a refresher until the bubble's test ends.
func refresher(t *testing.T, a *alerts, log io.Writer, instances ...*alertmanager.Publisher) (stop func()) {
	t.Helper()
	r := alertmanager.NewRefresher(a, slog.New(slog.NewTextHandler(log, nil)), instances...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func TestFiringAlertsArePostedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		am := &transport{}
		p := publisher(t, alertmanager.Config{URL: "http://am", Client: &http.Client{Transport: am}})
		a := &alerts{views: []app.AlertView{
			view("a:1", domain.Firing, time.Time{}), view("b:1", domain.Resolved, start.Add(-time.Minute)), view("c:1", domain.Pending, time.Time{}),
		}}
		stop := refresher(t, a, io.Discard, p)
		time.Sleep(61 * time.Second)
		stop()
		if len(am.bodies) != 3 {
			t.Fatalf("%d posts in 61 s, want 3: at once and every 30 s", len(am.bodies))
		}
		for i, body := range am.bodies {
			if len(body) != 2 {
				t.Fatalf("post %d has %d alerts, want the firing and the resolved one", i, len(body))
			}
			at := start.Add(time.Duration(i) * 30 * time.Second)
			if f := body[0]; f.Labels["instance"] != "a:1" || !f.EndsAt.Equal(at.Add(2*time.Minute)) || !f.StartsAt.Equal(slot) {
				t.Errorf("post %d: firing %+v, want an end 2 min ahead", i, f)
			}
			if r := body[1]; r.Labels["instance"] != "b:1" || !r.EndsAt.Equal(start.Add(-time.Minute)) {
				t.Errorf("post %d: resolved %+v, want the end that it had", i, r)
			}
		}
		if want := start.Add(time.Minute - domain.ResolvedKept); !a.since.Equal(want) {
			t.Errorf("resolved since %v, want %v", a.since, want)
		}
	})
}

func TestNothingToSayPostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		am := &transport{}
		stop := refresher(t, &alerts{}, io.Discard, publisher(t, alertmanager.Config{URL: "http://am", Client: &http.Client{Transport: am}}))
		time.Sleep(time.Minute)
		stop()
		if len(am.bodies) != 0 {
			t.Errorf("posted %v", am.bodies)
		}
	})
}

// An alert that is resolved while a turn is under way must not be left firing there.
func TestAlertResolvedMeanwhileIsResolvedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		am := &transport{}
		p := publisher(t, alertmanager.Config{URL: "http://am", Client: &http.Client{Transport: am}})
		a := &alerts{views: []app.AlertView{view("a:1", domain.Firing, time.Time{})}}
		a.after = func(reads int) {
			if reads == 1 {
				a.views = []app.AlertView{view("a:1", domain.Resolved, time.Now())}
			}
		}
		stop := refresher(t, a, io.Discard, p)
		time.Sleep(time.Second)
		stop()
		if len(am.bodies) != 2 || am.bodies[1][0].EndsAt.After(time.Now()) {
			t.Errorf("posted %+v; want firing, and then resolved in the same turn", am.bodies)
		}
	})
}

func TestInstanceThatIsAwayHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		up, down := &transport{}, &transport{down: true}
		a := &alerts{views: []app.AlertView{view("a:1", domain.Firing, time.Time{})}}
		stop := refresher(t, a, &log,
			publisher(t, alertmanager.Config{URL: "http://down", Client: &http.Client{Transport: down}}),
			publisher(t, alertmanager.Config{URL: "http://up", Client: &http.Client{Transport: up}}))
		time.Sleep(time.Minute + time.Second)
		down.mu.Lock()
		down.down = false
		down.mu.Unlock()
		time.Sleep(time.Minute)
		stop()
		if len(up.bodies) != 5 || len(down.bodies) != 2 {
			t.Errorf("%d and %d posts, want 5 and 2", len(up.bodies), len(down.bodies))
		}
		for _, want := range []string{"level=WARN", "alertmanager=down", "connection refused", "after=2m0s", "refreshed again"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("log lacks %q:\n%s", want, log.String())
			}
		}
	})
}

func TestDatabaseThatIsAwayIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		am := &transport{}
		a := &alerts{err: errors.New("disk I/O error"), views: []app.AlertView{view("a:1", domain.Firing, time.Time{})}}
		stop := refresher(t, a, &log, publisher(t, alertmanager.Config{URL: "http://am", Client: &http.Client{Transport: am}}))
		time.Sleep(time.Second)
		a.set(func() { a.err = nil })
		time.Sleep(30 * time.Second)
		stop()
		if len(am.bodies) != 1 || !strings.Contains(log.String(), "disk I/O error") {
			t.Errorf("%d posts, want 1 after the failure; log: %s", len(am.bodies), log.String())
		}
	})
}

// One alert that the instance refuses must not keep the others from being refreshed.
func TestRefusedAlertHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		am := &transport{}
		taken := map[string]int{}
		am.answer = func(list []posted) int {
			for _, p := range list {
				if p.Labels["instance"] == "bad:1" {
					return http.StatusBadRequest
				}
			}
			for _, p := range list {
				taken[p.Labels["instance"]]++
			}
			return http.StatusOK
		}
		a := &alerts{views: []app.AlertView{
			view("a:1", domain.Firing, time.Time{}), view("bad:1", domain.Firing, time.Time{}), view("c:1", domain.Firing, time.Time{}),
		}}
		stop := refresher(t, a, io.Discard, publisher(t, alertmanager.Config{URL: "http://am", Client: &http.Client{Transport: am}}))
		time.Sleep(time.Second)
		stop()
		if taken["a:1"] != 1 || taken["c:1"] != 1 {
			t.Errorf("taken %v, want a:1 and c:1", taken)
		}
	})
}
