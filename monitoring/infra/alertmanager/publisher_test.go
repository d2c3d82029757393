package alertmanager_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/infra/alertmanager"
	"example.com/once/outbox"
	"example.com/once/retry"
)

// slot is an instant of a grid.
var slot = time.Date(2026, 3, 1, 12, 0, 15, 0, time.UTC) //nolint:gochecknoglobals // a constant that Go has no form for

// posted is an alert as the API gets it.
type posted struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
}

// instance plays an Alertmanager.
type instance struct {
	mu       sync.Mutex
	requests []*http.Request
	bodies   [][]posted
	answer   func([]posted) int // nil = 200
	retry    string             // Retry-After
}

func (s *instance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var alerts []posted
	if err := json.Unmarshal(body, &alerts); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.bodies = append(s.requests, r), append(s.bodies, alerts)
	if s.answer == nil {
		return
	}
	if s.retry != "" {
		w.Header().Set("Retry-After", s.retry)
	}
	w.WriteHeader(s.answer(alerts))
	_, _ = io.WriteString(w, "because\n")
}

func always(code int) func([]posted) int { return func([]posted) int { return code } }

func publisher(t *testing.T, c alertmanager.Config) *alertmanager.Publisher {
	t.Helper()
	p, err := alertmanager.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func notification(instance string, to domain.Phase) app.Notification {
	labels := domain.LabelsOf("alertname", "High", "instance", instance, "severity", "page")
	n := app.Notification{
		RuleID: "node/High", Slot: slot, Transition: to, Fingerprint: labels.Fingerprint(), Labels: labels,
		Annotations: domain.LabelsOf("summary", "it is high"), StartsAt: slot.Add(-time.Minute),
	}
	if to == domain.Resolved {
		n.EndsAt = &n.Slot
	}
	return n
}

func deliveries(t *testing.T, ns ...app.Notification) []outbox.Delivery {
	t.Helper()
	batch := make([]outbox.Delivery, 0, len(ns))
	for _, n := range ns {
		payload, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, outbox.Delivery{Message: outbox.Message{ID: uuid.New(), Topic: "am", Payload: payload}, Attempt: 1})
	}
	return batch
}

func publish(ctx context.Context, p outbox.Publisher, batch []outbox.Delivery) []error {
	errs := make([]error, len(batch))
	p.Publish(ctx, batch, errs)
	return errs
}

func TestTransitionsAreAlerts(t *testing.T) {
	var am instance
	srv := httptest.NewServer(&am)
	defer srv.Close()
	p := publisher(t, alertmanager.Config{
		URL: srv.URL + "/prefix/", Header: http.Header{"Authorization": {"Bearer abc"}},
		Page:    func(r app.AlertRef) string { return "http://monitor/alerts/" + r.RuleID + "/" + r.Fingerprint.String() },
		Refresh: 10 * time.Second,
	})
	before := time.Now()
	firing, resolved := notification("a:1", domain.Firing), notification("b:1", domain.Resolved)
	for i, err := range publish(t.Context(), p, deliveries(t, firing, resolved)) {
		if err != nil {
			t.Errorf("errs[%d] = %v", i, err)
		}
	}
	if len(am.bodies) != 1 || len(am.bodies[0]) != 2 {
		t.Fatalf("bodies = %v, want one of two alerts", am.bodies)
	}
	r := am.requests[0]
	if r.Method != http.MethodPost || r.URL.Path != "/prefix/api/v2/alerts" ||
		r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer abc" {
		t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	}
	got := am.bodies[0]
	if e := got[0].EndsAt; e.Before(before.Add(40*time.Second)) || e.After(time.Now().Add(40*time.Second)) {
		t.Errorf("a firing alert ends at %v, want four refreshes from now", e)
	}
	got[0].EndsAt = time.Time{}
	want := []posted{{
		Labels:       map[string]string{"alertname": "High", "instance": "a:1", "severity": "page"},
		Annotations:  map[string]string{"summary": "it is high"},
		StartsAt:     slot.Add(-time.Minute),
		GeneratorURL: "http://monitor/alerts/node/High/" + firing.Fingerprint.String(),
	}, {
		Labels:       map[string]string{"alertname": "High", "instance": "b:1", "severity": "page"},
		Annotations:  map[string]string{"summary": "it is high"},
		StartsAt:     slot.Add(-time.Minute),
		EndsAt:       slot,
		GeneratorURL: "http://monitor/alerts/node/High/" + resolved.Fingerprint.String(),
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("posted %+v\nwant %+v", got, want)
	}
}

func TestAnswersAndWhatTheyMean(t *testing.T) {
	const permanent, unavailable, again = "permanent", "unavailable", "again"
	for _, c := range []struct {
		code  int
		retry string
		want  string
		after time.Duration
	}{
		{code: 200}, {code: 202},
		{code: 400, want: permanent}, {code: 413, want: permanent}, {code: 422, want: permanent},
		{code: 500, want: unavailable}, {code: 502, want: unavailable}, {code: 503, retry: "7", want: unavailable, after: 7 * time.Second},
		{code: 429, want: unavailable}, {code: 408, want: unavailable},
		{code: 302, want: again}, {code: 401, want: again}, {code: 404, want: again}, {code: 405, want: again},
	} {
		am := instance{answer: always(c.code), retry: c.retry}
		srv := httptest.NewServer(&am)
		err := publish(t.Context(), publisher(t, alertmanager.Config{URL: srv.URL}), deliveries(t, notification("a:1", domain.Firing)))[0]
		srv.Close()
		v, got := retry.Classify(err), again
		switch {
		case err == nil:
			got = ""
		case v.Class == retry.Permanent:
			got = permanent
		case errors.Is(err, outbox.ErrUnavailable):
			got = unavailable
		}
		if got != c.want || v.After != c.after {
			t.Errorf("%d: %q after %v (%v), want %q after %v", c.code, got, v.After, err, c.want, c.after)
		}
		if len(am.requests) != 1 {
			t.Errorf("%d: %d requests, want 1", c.code, len(am.requests))
		}
		if s, ok := errors.AsType[*alertmanager.StatusError](err); c.want != "" && (!ok || s.Code != c.code || s.Excerpt != "because") {
			t.Errorf("%d: error %#v", c.code, err)
		}
	}
}

func TestNoAnswerIsAnOutage(t *testing.T) {
	srv := httptest.NewServer(nil)
	srv.Close()
	err := publish(t.Context(), publisher(t, alertmanager.Config{URL: srv.URL}), deliveries(t, notification("a:1", domain.Firing)))[0]
	if !errors.Is(err, outbox.ErrUnavailable) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("refused: %v, want unavailable", err)
	}

	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client leaves
		<-r.Context().Done()
	}))
	defer hanging.Close()
	p := publisher(t, alertmanager.Config{URL: hanging.URL, Timeout: 50 * time.Millisecond})
	err = publish(t.Context(), p, deliveries(t, notification("a:1", domain.Firing)))[0]
	if !errors.Is(err, outbox.ErrUnavailable) {
		t.Errorf("own timeout: %v, want unavailable", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	batch := deliveries(t, notification("a:1", domain.Firing))
	err = publish(ctx, publisher(t, alertmanager.Config{URL: hanging.URL}), batch)[0]
	if errors.Is(err, outbox.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the relay's timeout: %v, want the deadline, for the relay to judge", err)
	}
	if err := publish(ctx, p, batch)[0]; !errors.Is(err, outbox.ErrNotSent) {
		t.Errorf("after the end: %v, want not sent", err)
	}
}

// One wrong alert makes the instance refuse the whole request; the others must get through.
func TestRefusedBatchGoesOneByOne(t *testing.T) {
	am := instance{answer: func(alerts []posted) int {
		for _, a := range alerts {
			if a.Labels["instance"] == "bad:1" {
				return http.StatusBadRequest
			}
		}
		return http.StatusOK
	}}
	srv := httptest.NewServer(&am)
	defer srv.Close()
	batch := deliveries(t, notification("a:1", domain.Firing), notification("bad:1", domain.Firing), notification("c:1", domain.Firing))
	batch = append(batch, outbox.Delivery{Message: outbox.Message{Payload: []byte("no JSON")}})
	errs := publish(t.Context(), publisher(t, alertmanager.Config{URL: srv.URL}), batch)
	for i, permanent := range []bool{false, true, false, true} {
		if (retry.Classify(errs[i]).Class == retry.Permanent) != permanent || (errs[i] != nil) != permanent {
			t.Errorf("errs[%d] = %v, want permanent %v", i, errs[i], permanent)
		}
	}
}

func TestLargeBatchIsCut(t *testing.T) {
	var am instance
	srv := httptest.NewServer(&am)
	defer srv.Close()
	ns := make([]app.Notification, 0, 600)
	for range cap(ns) {
		ns = append(ns, notification("a:1", domain.Firing))
	}
	for _, err := range publish(t.Context(), publisher(t, alertmanager.Config{URL: srv.URL}), deliveries(t, ns...)) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := len(am.bodies); n != 3 || len(am.bodies[0]) != 256 || len(am.bodies[2]) != 88 {
		t.Errorf("%d requests, want 3 of at most 256 alerts", n)
	}
}

func TestBadConfiguration(t *testing.T) {
	for _, c := range []struct {
		config alertmanager.Config
		want   []string
	}{
		{alertmanager.Config{}, []string{"URL is empty"}},
		{alertmanager.Config{URL: "localhost:9093"}, []string{"URL", `"localhost:9093"`, "has no scheme", "http://"}},
		{alertmanager.Config{URL: "alertmanager"}, []string{"URL", "has no scheme"}},
		{alertmanager.Config{URL: "ftp://x"}, []string{"URL", `scheme "ftp"`}},
		{alertmanager.Config{URL: "http:///x"}, []string{"URL", "no host"}},
		{alertmanager.Config{URL: "http://a b"}, []string{"URL", "cannot be parsed"}},
		{alertmanager.Config{URL: "http://u:secret@x"}, []string{"URL", "credentials", "Authorization"}},
		{alertmanager.Config{URL: "http://x?y=z"}, []string{"URL", "query"}},
		{alertmanager.Config{URL: "http://x", Refresh: -1}, []string{"Refresh"}},
		{alertmanager.Config{URL: "http://x", Refresh: time.Millisecond}, []string{"Refresh is 1ms", "100ms"}},
		{alertmanager.Config{URL: "http://x", Timeout: -1}, []string{"Timeout"}},
		{alertmanager.Config{URL: "http://x", Header: http.Header{"X": {"a\r\nb: c"}}}, []string{`Header "X"`}},
	} {
		_, err := alertmanager.New(c.config)
		if !errors.Is(err, alertmanager.ErrConfig) {
			t.Errorf("New(%+v): %v, want ErrConfig", c.config, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("New(%+v): %q lacks %q", c.config, err, w)
			}
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q shows the password", err)
		}
	}
}
