package httpmw_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

// The middleware belongs inside of authentication: whoever is not let in any more gets no replay either.
func TestRevokedCallerGetsNoReplay(t *testing.T) {
	var runs counter
	token := "good"
	auth := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != token {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	t.Run("authentication outside", func(t *testing.T) {
		b := newBench(t, benchConfig{outer: auth}, created(&runs))
		b.post(t, "k", "x", "Authorization", "good").want(t, 201, "")
		token = "rotated"
		if a := b.post(t, "k", "x", "Authorization", "good"); a.status != 401 || a.body != "" {
			t.Errorf("got %d %q", a.status, a.body)
		}
	})
	// The wrong way round a recorded answer is handed out to anyone with the key, unless Authorize is asked.
	t.Run("authentication inside needs Authorize", func(t *testing.T) {
		token = "good"
		b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Authorize: func(r *http.Request) error {
			if r.Header.Get("Authorization") != token {
				return &httpmw.Refusal{Status: 401}
			}
			return nil
		}}}, auth(created(&runs)).ServeHTTP)
		b.post(t, "k", "x", "Authorization", "good").want(t, 201, "")
		b.post(t, "k", "x", "Authorization", "bad").want(t, 401, httpmw.CodeForbidden)
	})
}

// Scope, key and route are told apart however they are cut: 20,000 random triples over two letters, whose plain
// concatenations coincide all the time.
func TestPhysicalKeysDoNotCollide(t *testing.T) {
	owners := make(map[idem.Key][3]string)
	var triple [3]string
	store := &faultStore{Store: &idem.Memory{}}
	store.claim = func(_ context.Context, c idem.Claim) (idem.Record, error) {
		if prior, ok := owners[c.Key]; ok && prior != triple {
			t.Fatalf("%q and %q share %q", prior, triple, c.Key)
		}
		owners[c.Key] = triple
		return idem.Record{State: idem.Done}, nil
	}
	g, err := idem.New(store, idem.Config{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := httpmw.NewIdempotency(g, func(r *http.Request) (string, error) { return r.Header.Get("Tenant"), nil }, httpmw.IdempotencyConfig{ScopeByRoute: true})
	if err != nil {
		t.Fatal(err)
	}
	h := m.Handler(http.NotFoundHandler())
	random := func() string {
		b := make([]byte, 1+rand.N(4))
		for i := range b {
			b[i] = "ab"[rand.N(2)]
		}
		return string(b)
	}
	for range 20_000 {
		triple = [3]string{random(), random(), random()}
		r := newPost(triple[1], "", "Tenant", triple[0])
		r.URL.Path = "/" + triple[2]
		h.ServeHTTP(newPlainWriter(), r)
	}
	if len(owners) < 5_000 {
		t.Errorf("only %d triples", len(owners))
	}
}

// Events carry closed sets only: a label made of them cannot grow with what clients send.
func TestEventResultsAreAClosedSet(t *testing.T) {
	known := map[string]bool{}
	for _, r := range []string{
		httpmw.ResultFirst, httpmw.ResultTombstone, httpmw.ResultReplayed, httpmw.ResultReleased, httpmw.ResultUnrecorded,
		httpmw.ResultUnprotected, httpmw.ResultNested, httpmw.ResultPanicked, httpmw.ResultGone,
		httpmw.CodeKeyMissing, httpmw.CodeKeyInvalid, httpmw.CodeKeyStale, httpmw.CodeBodyUnreadable, httpmw.CodeBodyTimeout,
		httpmw.CodeForbidden, httpmw.CodeInFlight, httpmw.CodeResultUnavailable, httpmw.CodeOutcomeUnknown, httpmw.CodeBodyTooLarge,
		httpmw.CodeMismatch, httpmw.CodeScopeFailed, httpmw.CodeTransactionEnded, httpmw.CodeAnswerTooLarge, httpmw.CodeSpoolFailed,
		httpmw.CodeStoreUnavailable,
	} {
		if known[r] {
			t.Errorf("%q names two things", r)
		}
		known[r] = true
	}
	var events eventLog
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Observe: events.add, MaxBody: 10}}, status(200, ""))
	for _, key := range []string{"k", "k", `"`, strings.Repeat("x", 1000), "k2"} {
		b.post(t, key, strings.Repeat("y", len(key)))
	}
	b.post(t, "k", "other")
	b.post(t, "k", strings.Repeat("y", 100))
	for i := range 7 {
		if e := events.wait(t, i); !known[e.Result] {
			t.Errorf("event %q", e.Result)
		}
	}
}

// A client that announces chunks and a length, or smuggles in a key by another name, gains nothing.
func TestKeyComesFromItsOwnHeaderOnly(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Required: true}}, created(&runs))
	r := b.request(t, http.MethodPost, "/orders", "", strings.NewReader("x"), "Idempotency_Key", "k", "X-Idempotency-Key", "k")
	b.do(t, r).want(t, 400, httpmw.CodeKeyMissing)
	r = b.request(t, http.MethodPost, "/orders", "", struct{ *strings.Reader }{strings.NewReader("x")})
	r.Trailer = http.Header{"Idempotency-Key": {"k"}} // a trailer is no header
	r.ContentLength = -1
	b.do(t, r).want(t, 400, httpmw.CodeKeyMissing)
	runs.want(t, 0)
}
