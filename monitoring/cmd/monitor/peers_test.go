package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"example.com/once/internal/testservices"
	"example.com/once/monitoring/app"
	"example.com/once/outbox/outboxhttp"
)

// pager is a webhook receiver that writes down what it gets, and checks who sends it.
type pager struct {
	t        *testing.T
	verifier *outboxhttp.Verifier
	mu       sync.Mutex
	got      []string
}

func (p *pager) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Error(err)
	}
	if err := p.verifier.Verify(r.Header, body); err != nil {
		p.t.Errorf("signature: %v", err)
	}
	n, err := app.ParseNotification(body)
	if err != nil {
		p.t.Error(err)
	}
	if key := r.Header.Get("Idempotency-Key"); key != `"`+n.MessageID+`"` {
		p.t.Errorf("Idempotency-Key %s, want the message's id %q", key, n.MessageID)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, n.RuleID+" "+n.Transition.String())
}

func (p *pager) received() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(slices.Values(p.got))
}

// active are the names of the alerts that Alertmanager holds for firing.
func active(ctx context.Context, url string) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v2/alerts", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var alerts []struct {
		Labels map[string]string `json:"labels"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&alerts); err != nil {
		return nil, err
	}
	var names []string
	for _, a := range alerts {
		names = append(names, a.Labels["alertname"])
	}
	return slices.Sorted(slices.Values(names)), nil
}

// until waits until look returns want.
func until(t *testing.T, what string, want []string, look func() ([]string, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	var last string
	for {
		got, err := look()
		if err == nil && slices.Equal(got, want) {
			return
		}
		last = fmt.Sprint(got, err)
		select {
		case <-ctx.Done():
			t.Fatalf("%s: want %q, last seen %s", what, want, last)
		case <-ticker.C:
		}
	}
}

// A real exporter is watched, and a real Alertmanager and a webhook are told.
func TestServeWithRealPeers(t *testing.T) {
	exporter := testservices.NodeExporter(t)
	alertmanager := testservices.Alertmanager(t, "")
	if exporter.Shared() {
		t.Skip("the exporter is somebody else's; it is not to be killed")
	}
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	verifier, err := outboxhttp.NewVerifier(secret)
	if err != nil {
		t.Fatal(err)
	}
	p := &pager{t: t, verifier: verifier}
	receiver := httptest.NewServer(p)
	defer receiver.Close()
	dir := folder(t, map[string]string{
		"rules.yml": `
groups:
  - name: node
    interval: 200ms
    rules:
      - alert: HasMemory
        expr: node_memory_MemTotal_bytes > 0
      - alert: NodeDown
        expr: up{job="node"} == 0
        for: 400ms
        labels: {severity: critical}
        annotations: {summary: "{{ $labels.instance }} does not answer"}
`,
		"monitor.yml": fmt.Sprintf(`
replica: a
listen: 127.0.0.1:0
database: monitor.db
rules: [rules.yml]
targets:
  - {name: node, scrape: '%s/metrics', timeout: 5s}
sinks:
  - {name: pager, webhook: '%s', secrets: [%s]}
  - {name: alertmanager, alertmanager: '%s', refresh: 1s}
`, exporter.URL(), receiver.URL, secret, alertmanager.URL()),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		status, _, stderr := monitor(ctx, "serve", "--config", filepath.Join(dir, "monitor.yml"))
		if status != 0 || t.Failed() {
			t.Logf("the monitor printed:\n%s", stderr)
		}
		ended <- status
	}()
	defer func() {
		cancel()
		if status := <-ended; status != 0 {
			t.Errorf("the monitor ended with status %d", status)
		}
	}()
	inAlertmanager := func() ([]string, error) { return active(ctx, alertmanager.URL()) }

	until(t, "alerts of a healthy node", []string{"HasMemory"}, inAlertmanager)
	if err := exporter.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "alerts of a dead node", []string{"HasMemory", "NodeDown"}, inAlertmanager)
	if err := exporter.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "alerts of a node that is back", []string{"HasMemory"}, inAlertmanager)
	want := []string{"node/HasMemory firing", "node/NodeDown firing", "node/NodeDown resolved"}
	until(t, "what the pager got", want, func() ([]string, error) { return p.received(), nil })
}
