package httpmw_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

func keyFromNothing(*http.Request, io.Reader) (string, error) { return "", nil }

func TestMistakesInAConfigurationNameTheirField(t *testing.T) {
	g, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for field, c := range map[string]httpmw.IdempotencyConfig{
		"Methods":        {Methods: []string{"post"}},
		"Methods: \"\"":  {Methods: []string{""}},
		"Headers":        {Headers: []string{"Bad Header"}},
		"Headers: \"\"":  {Headers: []string{""}},
		"Headers is":     {Headers: []string{}},
		"FingerprintKey": {FingerprintKey: []byte("short")},
		"MaxResponse":    {MaxResponse: 10},
		"Wait":           {Wait: -1},
		"BodyTimeout":    {BodyTimeout: -1},
		"RetryAfter":     {RetryAfter: -1},
		"AfterCommit":    {AfterCommit: func(context.Context) {}},
		"Docs":           {Docs: "/relative"},
		"Docs: \"https":  {Docs: "https://x.test/a#b"},
		"Docs: \"http:":  {Docs: "http://x.test/a b"},
	} {
		if _, err := httpmw.NewIdempotency(g, httpmw.SharedScope, c); err == nil || !strings.Contains(err.Error(), "IdempotencyConfig."+field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

// A configuration is copied: what its owner changes afterwards reaches nobody.
func TestConfigurationIsCopied(t *testing.T) {
	var runs counter
	c := httpmw.IdempotencyConfig{Methods: []string{"POST"}, Headers: []string{"X-Key"}, FingerprintKey: []byte("0123456789abcdef")}
	m := middleware(t, &idem.Memory{}, c)
	c.Methods[0], c.Headers[0], c.FingerprintKey[0] = "PUT", "X-Other", 'x'
	h := m.Handler(created(&runs))
	for range 2 {
		w := newPlainWriter()
		h.ServeHTTP(w, newPost("", "x", "X-Key", "k"))
		if w.status != 201 {
			t.Errorf("got %d", w.status)
		}
	}
	runs.want(t, 1)
}

// What a key's life costs: one call of the store to claim it, one to complete it, one for a replay.
func TestTripsToTheStore(t *testing.T) {
	store := &faultStore{Store: &idem.Memory{}}
	b := newBench(t, benchConfig{store: store, mw: httpmw.IdempotencyConfig{Wait: time.Second}}, status(200, "x"))
	for n, want := range []int64{2, 3, 4} {
		b.post(t, "k", "x").want(t, 200, "")
		if got := store.calls.Load(); got != want {
			t.Errorf("after request %d: %d calls, want %d", n+1, got, want)
		}
	}
}
