package httpmw_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

// byHeader is the scope of tests with several tenants.
func byHeader(r *http.Request) (string, error) { return r.Header.Get("Tenant"), nil }

func TestH16TwoTenantsWithOneKeyBothRun(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{scope: byHeader}, created(&runs))
	first := b.post(t, "k", "x", "Tenant", "a").want(t, 201, "")
	// The second has another body: not even that its key is taken elsewhere may show.
	second := b.post(t, "k", "y", "Tenant", "b").want(t, 201, "")
	if first.body == second.body || second.replayed() {
		t.Errorf("%q and %q", first.body, second.body)
	}
	runs.want(t, 2)
	if again := b.post(t, "k", "x", "Tenant", "a").want(t, 201, ""); again.body != first.body || !again.replayed() {
		t.Errorf("a's retry got %q", again.body)
	}
	runs.want(t, 2)
}

func TestH17OneKeyOnTwoRoutes(t *testing.T) {
	mux := func(byRoute bool) (*bench, *counter) {
		var runs counter
		b := newBench(t, benchConfig{
			mw: httpmw.IdempotencyConfig{ScopeByRoute: byRoute},
		}, created(&runs))
		m, err := httpmw.NewIdempotency(b.guard, httpmw.SharedScope, httpmw.IdempotencyConfig{ScopeByRoute: byRoute})
		if err != nil {
			t.Fatal(err)
		}
		h := m.Handler(created(&runs))
		mux := http.NewServeMux()
		mux.Handle("POST /orders/{id}", h)
		mux.Handle("PATCH /orders/{id}", h)
		mux.Handle("POST /refunds/{id}", h)
		b.Config.Handler = mux
		return b, &runs
	}
	send := func(b *bench, method, path string) answer {
		return b.do(t, b.request(t, method, path, "k", strings.NewReader("x")))
	}
	t.Run("is a mismatch by default", func(t *testing.T) {
		b, runs := mux(false)
		send(b, http.MethodPost, "/orders/1").want(t, 201, "")
		send(b, http.MethodPatch, "/orders/1").want(t, 422, httpmw.CodeMismatch)
		send(b, http.MethodPost, "/refunds/1").want(t, 422, httpmw.CodeMismatch)
		runs.want(t, 1)
	})
	t.Run("is two keys with ScopeByRoute", func(t *testing.T) {
		b, runs := mux(true)
		send(b, http.MethodPost, "/orders/1").want(t, 201, "")
		send(b, http.MethodPatch, "/orders/1").want(t, 201, "")
		send(b, http.MethodPost, "/refunds/1").want(t, 201, "")
		send(b, http.MethodPost, "/orders/2").want(t, 422, httpmw.CodeMismatch) // the same route
		runs.want(t, 3)
		if !send(b, http.MethodPatch, "/orders/1").replayed() {
			t.Error("not replayed on its own route")
		}
	})
	t.Run("the path is the route outside of a mux", func(t *testing.T) {
		var runs counter
		b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{ScopeByRoute: true}}, created(&runs))
		send(b, http.MethodPost, "/a").want(t, 201, "")
		send(b, http.MethodPost, "/b").want(t, 201, "")
		runs.want(t, 2)
	})
}

func TestH18ScopeThatCannotBeToldIsAnsweredAndNothingStored(t *testing.T) {
	var fail error
	var runs counter
	store := &faultStore{Store: &idem.Memory{}}
	b := newBench(t, benchConfig{
		store: store,
		scope: func(*http.Request) (string, error) { return "", fail },
	}, created(&runs))
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{errors.New("database password wrong"), 500, httpmw.CodeScopeFailed},
		{nil, 500, httpmw.CodeScopeFailed}, // an empty scope
		{&httpmw.Refusal{Status: 401, Code: "login"}, 401, "login"},
		{fmt.Errorf("wrapped: %w", &httpmw.Refusal{Status: 403}), 403, httpmw.CodeScopeFailed},
		{&httpmw.Refusal{Status: 200}, 500, httpmw.CodeScopeFailed},
	} {
		fail = c.err
		if a := b.post(t, "k", "x").want(t, c.status, c.code); strings.Contains(a.body, "password") {
			t.Errorf("the error's text was sent: %s", a.body)
		}
	}
	runs.want(t, 0)
	if n := store.calls.Load(); n != 0 {
		t.Errorf("%d calls of the store", n)
	}
}

func TestH19NilScopeIsRefusedAtConstruction(t *testing.T) {
	g, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := httpmw.NewIdempotency(g, nil, httpmw.IdempotencyConfig{}); err == nil || !strings.Contains(err.Error(), "SharedScope") {
		t.Errorf("got %v", err)
	}
	if _, err := httpmw.NewIdempotency(nil, httpmw.SharedScope, httpmw.IdempotencyConfig{}); err == nil || !strings.Contains(err.Error(), "idem.New") {
		t.Errorf("got %v", err)
	}
}

// Scope and key are joined with their lengths: no two pairs are one.
func TestH20ScopeAndKeyDoNotRunTogether(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{scope: byHeader}, created(&runs))
	b.post(t, "bc", "x", "Tenant", "a").want(t, 201, "")
	if b.post(t, "c", "x", "Tenant", "ab").want(t, 201, "").replayed() {
		t.Error(`("a", "bc") and ("ab", "c") are one key`)
	}
	runs.want(t, 2)
}

func TestH21RefreshedTokenIsStillTheSameCaller(t *testing.T) {
	var runs counter
	subject := func(r *http.Request) (string, error) {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
		return name, nil
	}
	b := newBench(t, benchConfig{scope: subject}, created(&runs))
	b.post(t, "k", "x", "Authorization", "Bearer alice.first").want(t, 201, "")
	if !b.post(t, "k", "x", "Authorization", "Bearer alice.refreshed").want(t, 201, "").replayed() {
		t.Error("the refreshed token made another caller")
	}
	runs.want(t, 1)
}

// Keys that nobody used and keys that somebody else used cannot be told apart.
func TestForeignKeyLooksLikeAnUnknownOne(t *testing.T) {
	var runs counter
	store := &faultStore{Store: &idem.Memory{}}
	b := newBench(t, benchConfig{store: store, scope: byHeader}, func(w http.ResponseWriter, _ *http.Request) {
		runs.add()
		w.WriteHeader(201)
	})
	b.post(t, "taken", "secret", "Tenant", "a").want(t, 201, "")
	look := func(key string) string {
		before := store.calls.Load()
		a := b.post(t, key, "guess", "Tenant", "b")
		a.header.Del("Date")
		return fmt.Sprint(a, store.calls.Load()-before)
	}
	if foreign, unknown := look("taken"), look("free"); foreign != unknown {
		t.Errorf("foreign %s\nunknown %s", foreign, unknown)
	}
}
