package alertmanager_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"example.com/once/internal/testservices"
	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/infra/alertmanager"
	"example.com/once/retry"
)

// listed is an alert as the API shows it.
type listed struct {
	posted
	Fingerprint string `json:"fingerprint"`
	Status      struct {
		State string `json:"state"`
	} `json:"status"`
}

// list returns the alerts that the instance holds for active ones.
func list(t *testing.T, url string) []listed {
	t.Helper()
	resp, err := http.Get(url + "/api/v2/alerts")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var alerts []listed
	if err := json.NewDecoder(resp.Body).Decode(&alerts); err != nil {
		t.Fatal(err)
	}
	return alerts
}

// eventually waits until the instance lists n alerts.
func eventually(t *testing.T, url string, n int) []listed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		alerts := list(t, url)
		if len(alerts) == n {
			return alerts
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the instance lists %d alerts, want %d: %+v", len(alerts), n, alerts)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestRealAlertmanagerTakesTransitions(t *testing.T) {
	am := testservices.Alertmanager(t, "")
	p := publisher(t, alertmanager.Config{
		URL: am.URL(), Page: func(app.AlertRef) string { return "http://monitor/alerts/node/High/0" },
	})
	n := notification("a:1", domain.Firing)
	n.StartsAt = time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)
	n.Labels = n.Labels.With("path", `C:\"ü"`+"\n")
	batch := deliveries(t, n)
	for range 2 { // the second one is a duplicate, and makes no second alert
		if err := publish(t.Context(), p, batch)[0]; err != nil {
			t.Fatal(err)
		}
	}
	got := eventually(t, am.URL(), 1)[0]
	if got.Labels["path"] != `C:\"ü"`+"\n" || got.Labels["alertname"] != "High" || got.Annotations["summary"] != "it is high" ||
		!got.StartsAt.Equal(n.StartsAt) || got.GeneratorURL != "http://monitor/alerts/node/High/0" {
		t.Errorf("the instance shows %+v", got)
	}

	n.Transition, n.Slot = domain.Resolved, time.Now().Add(-time.Second).UTC()
	n.EndsAt = &n.Slot
	if err := publish(t.Context(), p, deliveries(t, n))[0]; err != nil {
		t.Fatal(err)
	}
	eventually(t, am.URL(), 0)
}

func TestRealAlertmanagerRefusesAnInvalidAlertOnly(t *testing.T) {
	am := testservices.Alertmanager(t, "")
	bad := notification("bad:1", domain.Firing)
	bad.Labels = domain.LabelsOf("not a name!", "x")
	good := notification("a:1", domain.Firing)
	errs := publish(t.Context(), publisher(t, alertmanager.Config{URL: am.URL()}), deliveries(t, bad, good))
	if retry.Classify(errs[0]).Class != retry.Permanent || errs[1] != nil {
		t.Errorf("errs = %v; want the first one refused for good, the second taken", errs)
	}
	eventually(t, am.URL(), 1)
}

// What fires stays firing as long as it is refreshed, and no longer.
func TestRealAlertmanagerForgetsWhatIsNotRefreshed(t *testing.T) {
	am := testservices.Alertmanager(t, "")
	p := publisher(t, alertmanager.Config{URL: am.URL(), Refresh: 250 * time.Millisecond})
	a := &alerts{views: []app.AlertView{view("a:1", domain.Firing, time.Time{})}}
	stop := refresher(t, a, io.Discard, p)
	first := eventually(t, am.URL(), 1)[0].EndsAt
	for list(t, am.URL())[0].EndsAt.Sub(first) < 2*time.Second { // twice as long as one post holds
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	eventually(t, am.URL(), 0)
}
