package httpmw_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

// plainStore hides the optional powers of a store.
type plainStore struct{ idem.Store }

func TestH88StatusTellsWhatBecameOfAKey(t *testing.T) {
	mem := &idem.Memory{}
	g, err := idem.New(mem, idem.Config{})
	if err != nil {
		t.Fatal(err)
	}
	h := newBlocking()
	refuse := error(nil)
	m, err := httpmw.NewIdempotency(g, byHeader, httpmw.IdempotencyConfig{
		MaxResponse: 2000, Authorize: func(*http.Request) error { return refuse },
	})
	if err != nil {
		t.Fatal(err)
	}
	status, err := m.Status()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/orders", m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Do") {
		case "block":
			h.serve(w, r)
		case "stream":
			_, _ = w.Write(make([]byte, 5000))
		case "fail":
			w.WriteHeader(500)
		case "hold":
			httpmw.SetOutcome(r.Context(), httpmw.Hold)
		default:
			w.WriteHeader(201)
		}
	})))
	mux.Handle("/keys", status)
	b := newBench(t, benchConfig{}, mux.ServeHTTP) // its own middleware covers POST, not what is asked below
	b.Config.Handler = mux
	ask := func(key, tenant string) (a answer, s httpmw.KeyStatus) {
		t.Helper()
		a = b.do(t, b.request(t, http.MethodGet, "/keys", key, nil, "Tenant", tenant))
		if err := json.Unmarshal([]byte(a.body), &s); err != nil {
			t.Fatalf("%d %q: %v", a.status, a.body, err)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("Cache-Control %q", a.header.Get("Cache-Control"))
		}
		return a, s
	}
	running := b.start(t, "running", "Tenant", "a", "Do", "block")
	<-h.started
	b.post(t, "done", "x", "Tenant", "a").want(t, 201, "")
	b.post(t, "streamed", "x", "Tenant", "a", "Do", "stream").want(t, 200, "")
	b.post(t, "released", "x", "Tenant", "a", "Do", "fail").want(t, 500, "")
	b.post(t, "held", "x", "Tenant", "a", "Do", "hold").want(t, 200, "")
	for _, c := range []struct {
		key    string
		status int
		want   httpmw.KeyStatus
	}{
		{"running", 200, httpmw.KeyStatus{State: httpmw.StateInFlight, Seconds: 30}},
		{"done", 200, httpmw.KeyStatus{State: httpmw.StateDone, OriginalStatus: 201, Replayable: true, Seconds: 86400}},
		{"streamed", 200, httpmw.KeyStatus{State: httpmw.StateDone, OriginalStatus: 200, Seconds: 86400}},
		{"released", 200, httpmw.KeyStatus{State: httpmw.StateReleased}},
		{"held", 200, httpmw.KeyStatus{State: httpmw.StateUnknown}},
		{"never", 404, httpmw.KeyStatus{State: httpmw.StateAbsent}},
	} {
		a, s := ask(c.key, "a")
		if c.want.State == httpmw.StateUnknown {
			if s.Reference == "" || strings.Contains(s.Reference, "held") {
				t.Errorf("reference %q", s.Reference)
			}
			s.Reference = ""
		}
		if a.status != c.status || s != c.want {
			t.Errorf("%s: %d %+v, want %d %+v", c.key, a.status, s, c.status, c.want)
		}
		// Nobody else's business.
		if a, s := ask(c.key, "b"); a.status != 404 || s != (httpmw.KeyStatus{State: httpmw.StateAbsent}) {
			t.Errorf("%s, asked by another: %d %+v", c.key, a.status, s)
		}
	}
	if a, _ := ask("running", "a"); a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	close(h.release)
	(<-running).want(t, 200, "")

	b.do(t, b.request(t, http.MethodGet, "/keys", "", nil, "Tenant", "a")).want(t, 400, httpmw.CodeKeyMissing)
	b.do(t, b.request(t, http.MethodGet, "/keys", `"`, nil, "Tenant", "a")).want(t, 400, httpmw.CodeKeyInvalid)
	b.do(t, b.request(t, http.MethodGet, "/keys", "done", nil)).want(t, 500, httpmw.CodeScopeFailed)
	if a := b.do(t, b.request(t, http.MethodPost, "/keys", "done", nil, "Tenant", "a")); a.status != 405 || a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", a.status, a.header)
	}
	refuse = &httpmw.Refusal{Status: 403}
	b.do(t, b.request(t, http.MethodGet, "/keys", "done", nil, "Tenant", "a")).want(t, 403, httpmw.CodeForbidden)
}

// An attempt that broke off: nobody renews its lease any more.
func TestH88StatusOfABrokenOffAttempt(t *testing.T) {
	mem := &idem.Memory{}
	store := &faultStore{Store: mem}
	store.claim = func(ctx context.Context, c idem.Claim) (idem.Record, error) {
		c.Lease = time.Millisecond
		return mem.Claim(ctx, c)
	}
	store.complete = func(context.Context, idem.Lease, []byte, time.Duration) (idem.Record, error) {
		return idem.Record{}, errDown
	}
	inspectable := struct {
		*faultStore
		idem.Inspector
	}{store, mem}
	g, err := idem.New(inspectable, idem.Config{Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	m, err := httpmw.NewIdempotency(g, httpmw.SharedScope, httpmw.IdempotencyConfig{})
	if err != nil {
		t.Fatal(err)
	}
	status, err := m.Status()
	if err != nil {
		t.Fatal(err)
	}
	m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(newPlainWriter(), newPost("k", "x"))
	waitFor(t, func() bool {
		w := newPlainWriter()
		r := newPost("k", "")
		r.Method = http.MethodGet
		status.ServeHTTP(w, r)
		return strings.Contains(w.body.String(), `"state":"expired"`)
	})
}

func TestStatusNeedsAnInspectorAndKeysThatBelongToNoRoute(t *testing.T) {
	if _, err := middleware(t, plainStore{&idem.Memory{}}, httpmw.IdempotencyConfig{}).Status(); err == nil || !strings.Contains(err.Error(), "idem.Inspector") {
		t.Errorf("got %v", err)
	}
	if _, err := middleware(t, &idem.Memory{}, httpmw.IdempotencyConfig{ScopeByRoute: true}).Status(); err == nil || !strings.Contains(err.Error(), "ScopeByRoute") {
		t.Errorf("got %v", err)
	}
	fromBody := httpmw.IdempotencyConfig{Headers: []string{}, KeyFromBody: keyFromNothing}
	if _, err := middleware(t, &idem.Memory{}, fromBody).Status(); err == nil || !strings.Contains(err.Error(), "Headers") {
		t.Errorf("got %v", err)
	}
}
