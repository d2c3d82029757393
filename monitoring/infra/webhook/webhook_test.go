package webhook_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/infra/webhook"
	"example.com/once/outbox"
	"example.com/once/outbox/outboxhttp"
	"example.com/once/retry"
)

func TestNotificationArrivesUnchangedAndSigned(t *testing.T) {
	secret := outboxhttp.NewSecret()
	verifier, err := outboxhttp.NewVerifier(secret)
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	var headers []http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := verifier.Verify(r.Header, body); err != nil {
			t.Error(err)
		}
		bodies, headers = append(bodies, string(body)), append(headers, r.Header)
		if len(bodies) == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer srv.Close() // on loopback: a private address is fine
	p, err := webhook.New(webhook.Config{
		URL: srv.URL + "/hook?token=x", Secrets: []string{secret}, Header: http.Header{"Authorization": {"Bearer abc"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	labels := domain.LabelsOf("alertname", "High", "path", "<&>\u2028\"")
	payload, err := json.Marshal(app.Notification{
		MessageID: "m", RuleID: "node/High", Slot: time.Unix(1e9, 0).UTC(), Transition: domain.Firing, Labels: labels, Value: "NaN",
	})
	if err != nil {
		t.Fatal(err)
	}
	d := outbox.Delivery{Message: outbox.Message{ID: uuid.New(), Topic: "hook", Payload: payload}, Attempt: 1}
	errs := make([]error, 1)
	p.Publish(t.Context(), []outbox.Delivery{d}, errs)
	if errs[0] == nil || retry.Classify(errs[0]).Class == retry.Permanent {
		t.Errorf("500: %v, want an error that is tried again", errs[0])
	}
	d.Attempt = 2
	errs[0] = nil
	p.Publish(t.Context(), []outbox.Delivery{d}, errs)
	if errs[0] != nil || len(bodies) != 2 {
		t.Fatalf("errs = %v after %d requests", errs, len(bodies))
	}
	for i, h := range headers {
		if bodies[i] != string(payload) {
			t.Errorf("attempt %d: body %s\nwant %s", i+1, bodies[i], payload)
		}
		if got := h.Get("Webhook-Id"); got != d.ID.String() {
			t.Errorf("attempt %d: webhook-id %s", i+1, got)
		}
		if got := h.Get("Idempotency-Key"); got != `"`+d.ID.String()+`"` {
			t.Errorf("attempt %d: Idempotency-Key %s", i+1, got)
		}
		if h.Get("Authorization") != "Bearer abc" || h.Get("Content-Type") != "application/json" {
			t.Errorf("attempt %d: %v", i+1, h)
		}
	}
}

func TestWithoutSecretsNothingIsSigned(t *testing.T) {
	var got http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer srv.Close()
	p, err := webhook.New(webhook.Config{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 1)
	p.Publish(t.Context(), []outbox.Delivery{{Message: outbox.Message{ID: uuid.New(), Payload: []byte("{}")}}}, errs)
	if errs[0] != nil || got.Get("Webhook-Signature") != "" || got.Get("Webhook-Id") == "" {
		t.Errorf("err %v, headers %v", errs[0], got)
	}
}

func TestBadConfigurationNamesTheField(t *testing.T) {
	for _, c := range []struct {
		config webhook.Config
		want   []string
	}{
		{webhook.Config{}, []string{"URL is empty"}},
		{webhook.Config{URL: "localhost:8080/hook"}, []string{"URL has no scheme", "https://"}},
		{webhook.Config{URL: "receiver/hook"}, []string{"URL has no scheme"}},
		{webhook.Config{URL: "http://u:password@x"}, []string{"URL holds credentials"}},
		{webhook.Config{URL: "http://x", Secrets: []string{outboxhttp.NewSecret(), "hunter2"}}, []string{"Secrets[1]", "whsec_"}},
		{webhook.Config{URL: "http://x", Timeout: -1}, []string{"Timeout is negative"}},
		{webhook.Config{URL: "x", Secrets: []string{"y"}}, []string{"URL", "Secrets[0]", "; "}},
		{webhook.Config{URL: "http://x", Header: http.Header{"Webhook-Id": {"1"}}}, []string{"Header Webhook-Id"}},
	} {
		_, err := webhook.New(c.config)
		if !errors.Is(err, webhook.ErrConfig) {
			t.Errorf("New(%+v): %v, want ErrConfig", c.config, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("New(%+v): %q lacks %q", c.config, err, w)
			}
		}
		for _, no := range []string{"outboxhttp", "hunter2", "password@", "\n"} {
			if strings.Contains(err.Error(), no) {
				t.Errorf("New(%+v): %q has %q", c.config, err, no)
			}
		}
	}
}
