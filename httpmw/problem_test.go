package httpmw_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

func TestH83ProblemsAreWhatTheStandardSaysAndKeepTheKeyToThemselves(t *testing.T) {
	const key = "sensitive-key-1234"
	var runs counter
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Docs: "https://x.test/docs/keys", Required: true}}, created(&runs))
	b.post(t, key, "x").want(t, 201, "")
	for _, c := range []struct {
		a      answer
		status int
		code   string
	}{
		{b.post(t, key, "y"), 422, httpmw.CodeMismatch},
		{b.post(t, "", "y"), 400, httpmw.CodeKeyMissing},
		{b.post(t, key+`"`, "y"), 400, httpmw.CodeKeyInvalid},
	} {
		c.a.want(t, c.status, c.code)
		var p struct {
			Type, Title, Detail, Code string
			Status                    int
		}
		if err := json.Unmarshal([]byte(c.a.body), &p); err != nil {
			t.Fatal(err)
		}
		if p.Type != "https://x.test/docs/keys#"+c.code || p.Title == "" || p.Status != c.status || p.Code != c.code ||
			c.a.header.Get("Cache-Control") != "no-store" || c.a.header.Get("Link") != `<https://x.test/docs/keys>; rel="describedby"` {
			t.Errorf("got %v %s", c.a.header, c.a.body)
		}
		if strings.Contains(fmt.Sprint(c.a), "sensitive") {
			t.Errorf("the key is in %v", c.a)
		}
	}
	b = newBench(t, benchConfig{}, created(&runs))
	b.post(t, "k", "x")
	if a := b.post(t, "k", "y").want(t, 422, httpmw.CodeMismatch); !strings.Contains(a.body, `"type":"about:blank"`) || a.header.Get("Link") != "" {
		t.Errorf("got %v %s", a.header, a.body)
	}
}

func TestProblemsInAFormOfOnesOwn(t *testing.T) {
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Required: true, Problem: func(w http.ResponseWriter, _ *http.Request, p httpmw.Problem) {
		w.WriteHeader(p.Status)
		_, _ = fmt.Fprintf(w, "error=%s", p.Code)
	}}}, status(200, ""))
	if a := b.post(t, "", "x"); a.status != 400 || a.body != "error=key-missing" {
		t.Errorf("got %d %q", a.status, a.body)
	}
	b.events.want(t, httpmw.CodeKeyMissing)
}

// Keys reach neither the store nor the log; nor can a client's bytes forge a line of it.
func TestH84KeysAreDigestsInStoreAndLog(t *testing.T) {
	const key = "sensitive-key-1234"
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var inStore []string
	store := &faultStore{Store: &idem.Memory{}}
	store.claim = func(_ context.Context, c idem.Claim) (idem.Record, error) {
		inStore = append(inStore, string(c.Key))
		return idem.Record{}, errDown
	}
	b := newBench(t, benchConfig{store: store, guard: idem.Config{Logger: logger}, mw: httpmw.IdempotencyConfig{Logger: logger}}, status(200, ""))
	for _, k := range []string{key, key + "2", `"` + strings.Repeat("x", 255) + `"`} {
		b.do(t, b.request(t, http.MethodPost, "/a%0d%0aforged=1", k, strings.NewReader("x"))).want(t, 503, httpmw.CodeStoreUnavailable)
	}
	for _, k := range inStore {
		if strings.Contains(k, "sensitive") || len(k) != len(inStore[0]) {
			t.Errorf("the store sees %q", k)
		}
	}
	if strings.Contains(log.String(), "sensitive") || !strings.Contains(log.String(), inStore[0]) {
		t.Errorf("logged %s", log.String())
	}
	if strings.Contains(log.String(), "\nforged") {
		t.Errorf("a forged line: %s", log.String())
	}
}

func TestH87UnknownOutcomeIsForTheOperator(t *testing.T) {
	var runs counter
	mem := &idem.Memory{}
	b := newBench(t, benchConfig{store: mem, guard: idem.Config{Mode: idem.AtMostOnce}}, func(w http.ResponseWriter, r *http.Request) {
		runs.add()
		httpmw.SetOutcome(r.Context(), httpmw.Release) // in this mode there is no such thing
		w.WriteHeader(500)
	})
	b.post(t, "k", "x").want(t, 500, "")
	var references []string
	for range 2 {
		a := b.post(t, "k", "x").want(t, 409, httpmw.CodeOutcomeUnknown)
		var p httpmw.Problem
		if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.header.Get("Retry-After") != "" {
			t.Errorf("%v, %v", a.header, err)
		}
		references = append(references, p.Reference)
	}
	if references[0] == "" || references[0] != references[1] {
		t.Errorf("references %q", references)
	}
	runs.want(t, 1)
	// The operator finds out that nothing happened; then the request runs.
	if err := b.guard.Forget(t.Context(), idem.Key(references[0])); err != nil {
		t.Fatal(err)
	}
	b.post(t, "k", "x").want(t, 500, "")
	runs.want(t, 2)
}
