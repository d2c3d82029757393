package httpmw_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/once/httpmw"
	"example.com/once/retry"
)

func TestIdempotentMethodsAreRepeatedOthersOnlyWithAKey(t *testing.T) {
	for _, c := range []struct {
		method string
		header []string
		sends  int
	}{
		{http.MethodGet, nil, 3},
		{http.MethodHead, nil, 3},
		{http.MethodOptions, nil, 3},
		{http.MethodTrace, nil, 3},
		{http.MethodPut, nil, 3},
		{http.MethodDelete, nil, 3},
		{http.MethodPost, nil, 1},
		{http.MethodPatch, nil, 1},
		{"PROPPATCH", nil, 1},
		{http.MethodPost, []string{"Idempotency-Key", "k"}, 3},
		{http.MethodPatch, []string{"Idempotency-Key", "k"}, 3},
		{http.MethodPost, []string{"X-Idempotency-Key", "k"}, 3},
	} {
		for _, failure := range []struct {
			name   string
			answer http.HandlerFunc
		}{{"503", status(503, "no")}, {"hangs up", hangUp}} {
			t.Run(fmt.Sprint(c.method, c.header, failure.name), func(t *testing.T) {
				p := newPeer(t, failure.answer)
				body := "payload"
				if c.method == http.MethodTrace {
					body = ""
				}
				r := request(t, c.method, p.URL, body, c.header...)
				r.GetBody = nil // else net/http repeats by itself where it may
				resp, err := client(t, &httpmw.Transport{Policy: atOnce(), Base: &http.Transport{DisableKeepAlives: true}}).Do(r)
				if err == nil {
					_ = resp.Body.Close()
				}
				if failure.name == "503" && (err != nil || resp.StatusCode != 503) {
					t.Errorf("got %v, %v", resp, err)
				}
				if e, ok := errors.AsType[*retry.Error](err); failure.name != "503" && (!ok || e.Attempts != c.sends) {
					t.Errorf("got %v", err)
				}
				for n, got := range p.want(t, c.sends) {
					if got.method != c.method || got.body != body {
						t.Errorf("request %d: %s %q", n+1, got.method, got.body)
					}
				}
			})
		}
	}
}

// A key header with no value at all is net/http's way of calling a request idempotent.
func TestEmptyKeyHeaderDeclaresIdempotenceAndIsNotSent(t *testing.T) {
	p := newPeer(t, status(503, ""), status(200, "ok"))
	r := request(t, http.MethodPost, p.URL, "x")
	r.Header[httpmw.HeaderKey] = []string{}
	resp, err := client(t, &httpmw.Transport{Policy: atOnce()}).Do(r)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %v, %v", resp, err)
	}
	_ = resp.Body.Close()
	for _, got := range p.want(t, 2) {
		if _, ok := got.header[httpmw.HeaderKey]; ok {
			t.Errorf("sent %v", got.header)
		}
	}
}

func TestStatusesAndWhatTheyMeanForARepeat(t *testing.T) {
	for _, c := range []struct {
		code     int
		get      bool // repeated if idempotent
		post     bool // repeated in any case
		after    string
		overload bool
	}{
		{code: 200}, {code: 204}, {code: 304},
		{code: 400}, {code: 401}, {code: 403}, {code: 404}, {code: 405}, {code: 409}, {code: 410}, {code: 412}, {code: 413}, {code: 422},
		{code: 408, get: true},
		{code: 421, get: true, post: true},
		{code: 425, get: true, post: true},
		{code: 429, get: true, post: true},
		{code: 500, get: true}, {code: 502, get: true}, {code: 503, get: true}, {code: 504, get: true}, {code: 507, get: true}, {code: 599, get: true},
		{code: 501}, {code: 505}, {code: 506}, {code: 508}, {code: 510}, {code: 511},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			want := 1
			if c.post || c.get && method == http.MethodGet {
				want = 2
			}
			// An explicit 0 keeps 429 from waiting its second.
			p := newPeer(t, status(c.code, "", "Retry-After", "0"), status(200, "ok"))
			if c.code == 409 {
				p.next[0] = status(409, "")
			}
			resp, err := client(t, &httpmw.Transport{Policy: atOnce()}).Do(request(t, method, p.URL, ""))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if n := len(p.requests()); n != want {
				t.Errorf("%s answered %d: %d requests, want %d", method, c.code, n, want)
			}
		}
	}
}

func TestLastAnswerIsHandedOverWhole(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, c := range []struct {
		name   string
		policy *retry.Policy
		sends  int
	}{
		{"attempts are used up", atOnce(), 3},
		{"one attempt only", &retry.Policy{MaxAttempts: 1}, 1},
		{"budget is spent", &retry.Policy{Budget: &retry.Budget{Burst: -1}}, 1},
		{"schedule ends", &retry.Policy{Backoff: func() retry.Schedule { return stopped{} }}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Why", "tired")
				w.WriteHeader(503)
				_, _ = io.WriteString(w, long)
			})
			resp, err := client(t, &httpmw.Transport{Policy: c.policy}).Do(request(t, http.MethodGet, p.URL, ""))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || string(body) != long || resp.StatusCode != 503 || resp.Header.Get("X-Why") != "tired" {
				t.Errorf("got %d, %v, %d bytes, %v", resp.StatusCode, resp.Header, len(body), err)
			}
			p.want(t, c.sends)
		})
	}
}

type stopped struct{}

func (stopped) NextBackOff() time.Duration { return -1 }

func TestKeyIsAddedOnlyWhenAskedForAndStaysTheSame(t *testing.T) {
	t.Run("no Key: none is added", func(t *testing.T) {
		p := newPeer(t, status(200, ""))
		_, _ = client(t, &httpmw.Transport{}).Do(request(t, http.MethodPost, p.URL, "x"))
		if h := p.want(t, 1)[0].header; h.Get(httpmw.HeaderKey) != "" {
			t.Errorf("sent %v", h)
		}
	})
	t.Run("one key a call, for all its attempts", func(t *testing.T) {
		p := newPeer(t, status(503, ""), hangUp, status(200, ""), status(200, ""))
		c := client(t, &httpmw.Transport{Policy: atOnce(), Key: httpmw.NewKey})
		for range 2 {
			resp, err := c.Do(request(t, http.MethodPost, p.URL, "x"))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
		got := p.want(t, 4)
		key := func(n int) string { return got[n].header.Get(httpmw.HeaderKey) }
		if len(key(0)) != 36 || key(0) != key(1) || key(1) != key(2) || key(3) == key(2) || len(key(3)) != 36 {
			t.Errorf("keys %q %q %q, then %q", key(0), key(1), key(2), key(3))
		}
	})
	t.Run("the caller's own key stands, idempotent methods get none, an empty one is none", func(t *testing.T) {
		p := newPeer(t, status(200, ""))
		asked := 0
		c := client(t, &httpmw.Transport{Key: func(*http.Request) string { asked++; return "" }})
		_, _ = c.Do(request(t, http.MethodPost, p.URL, "x", "Idempotency-Key", "mine"))
		_, _ = c.Do(request(t, http.MethodPut, p.URL, "x"))
		_, _ = c.Do(request(t, http.MethodPost, p.URL, "x"))
		got := p.want(t, 3)
		for n, want := range []string{"mine", "", ""} {
			if k := got[n].header.Get(httpmw.HeaderKey); k != want {
				t.Errorf("request %d has key %q", n+1, k)
			}
		}
		if asked != 1 {
			t.Errorf("Key was called %d times, want 1", asked)
		}
	})
}

// FreshUUIDv7 on the server takes what NewKey makes on the client.
func TestNewKeySatisfiesFreshUUIDv7(t *testing.T) {
	rule := httpmw.FreshUUIDv7(1e9)
	seen := map[string]bool{}
	for range 1000 {
		k := httpmw.NewKey(nil)
		if err := rule(k); err != nil || seen[k] {
			t.Fatalf("%q: %v", k, err)
		}
		seen[k] = true
	}
}

func TestRequestIsNotModified(t *testing.T) {
	p := newPeer(t, status(503, ""), status(200, ""))
	r := request(t, http.MethodPost, p.URL+"/a?b=c", "x", "X-Mine", "1")
	before := fmt.Sprintf("%v %v %v %d %v", r.URL, r.Header, r.Trailer, r.ContentLength, r.TransferEncoding)
	body := r.Body
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := http.DefaultTransport.RoundTrip(r)
		r.Header.Set("X-Mine", "changed by a careless RoundTripper")
		r.URL.Path = "/elsewhere"
		return resp, err
	})
	tr := &httpmw.Transport{Base: base, Policy: atOnce(), Key: httpmw.NewKey}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if after := fmt.Sprintf("%v %v %v %d %v", r.URL, r.Header, r.Trailer, r.ContentLength, r.TransferEncoding); after != before || r.Body != body {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	for _, got := range p.want(t, 2) {
		if got.header.Get("X-Mine") != "1" {
			t.Errorf("an attempt inherited what the one before did: %v", got.header)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAttemptHeaderFromTheSecondOnAndItsMiddleware(t *testing.T) {
	var seen []int
	h := httpmw.Attempts(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, retry.Attempt(r.Context()))
		if retry.Nested(r.Context()) != (len(seen) > 1) {
			t.Errorf("request %d: Nested is %v", len(seen), retry.Nested(r.Context()))
		}
		w.WriteHeader(503)
	}))
	p := newPeer(t, h.ServeHTTP)
	resp, err := client(t, &httpmw.Transport{Policy: atOnce()}).Do(request(t, http.MethodGet, p.URL, ""))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if fmt.Sprint(seen) != "[1 2 3]" {
		t.Errorf("the handler saw attempts %v", seen)
	}
	for n, got := range p.want(t, 3) {
		if want := []string{"", "2", "3"}[n]; got.header.Get(httpmw.HeaderAttempt) != want {
			t.Errorf("request %d says %q", n+1, got.header.Get(httpmw.HeaderAttempt))
		}
	}
	for _, odd := range [][]string{{"1"}, {"0"}, {"-2"}, {"x"}, {""}, {"1001"}, {"99999999999999999999"}, {"2", "3"}} {
		seen = nil
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header[httpmw.HeaderAttempt] = odd
		h.ServeHTTP(httptest.NewRecorder(), r)
		if seen[0] != 1 {
			t.Errorf("%q counts as attempt %d", odd, seen[0])
		}
	}
}

// A service that is called by a retried attempt makes single attempts, and tells its own
// peers, so that three services in a row cost n+n-1+n-1 calls and not n³.
func TestRetriesDoNotMultiplyOverServices(t *testing.T) {
	last := newPeer(t, status(503, ""))
	relay := func(to *peer) http.HandlerFunc {
		tr := &httpmw.Transport{Policy: atOnce(), Base: &http.Transport{}}
		return httpmw.Attempts(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			out, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, to.URL, nil)
			resp, err := (&http.Client{Transport: tr}).Do(out)
			if err == nil {
				_ = resp.Body.Close()
			}
			w.WriteHeader(503)
		})).ServeHTTP
	}
	middle := newPeer(t, relay(last))
	first := newPeer(t, relay(middle))
	resp, err := client(t, &httpmw.Transport{Policy: atOnce()}).Do(request(t, http.MethodGet, first.URL, ""))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if a, b, c := len(first.requests()), len(middle.requests()), len(last.requests()); a != 3 || b != 5 || c != 7 {
		t.Errorf("%d, %d and %d calls, want 3, 5 and 7", a, b, c)
	}
}

func TestReplayedFailureIsFinal(t *testing.T) {
	p := newPeer(t, status(500, "recorded", "Idempotent-Replayed", "true"))
	resp, err := client(t, &httpmw.Transport{Policy: atOnce()}).Do(request(t, http.MethodPost, p.URL, "x", "Idempotency-Key", "k"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != 500 || string(body) != "recorded" {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
	p.want(t, 1)
}

func TestUsersClassifierJudgesAnswersAndMayLeaveThemUndecided(t *testing.T) {
	policy := atOnce()
	policy.Classify = func(err error) retry.Verdict {
		if e, ok := errors.AsType[*httpmw.StatusError](err); ok {
			switch {
			case e.StatusCode == 404:
				return retry.Verdict{Class: retry.NoEffect} // not there yet
			case e.Header.Get("X-Give-Up") != "":
				return retry.Verdict{Class: retry.Permanent}
			}
		}
		return retry.Verdict{}
	}
	for _, c := range []struct {
		answer http.HandlerFunc
		sends  int
	}{
		{status(404, ""), 3},
		{status(503, "", "X-Give-Up", "1"), 1},
		{status(503, ""), 3},
		{status(400, ""), 1},
	} {
		p := newPeer(t, c.answer)
		resp, err := client(t, &httpmw.Transport{Policy: policy}).Do(request(t, http.MethodGet, p.URL, ""))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if n := len(p.requests()); n != c.sends {
			t.Errorf("answered %d: %d requests, want %d", resp.StatusCode, n, c.sends)
		}
	}
}

func TestErrorTellsOfAllAttempts(t *testing.T) {
	p := newPeer(t, status(503, ""), hangUp)
	var events []retry.Event
	policy := atOnce()
	policy.Observe = func(_ context.Context, e retry.Event) { events = append(events, e) }
	resp, err := client(t, &httpmw.Transport{Policy: policy}).Do(request(t, http.MethodGet, p.URL, ""))
	e, ok := errors.AsType[*retry.Error](err)
	if !ok || e.Attempts != 3 || !errors.Is(err, retry.ErrAttempts) {
		t.Fatalf("got %v, %v", resp, err)
	}
	if s, ok := errors.AsType[*httpmw.StatusError](err); !ok || s.StatusCode != 503 || s.Error() != "httpmw: answered 503 Service Unavailable" {
		t.Errorf("got %v", err)
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("%v lost the real error", err)
	}
	if len(events) != 3 || events[0].Wait != 0 || !errors.Is(events[2].Reason, retry.ErrAttempts) {
		t.Errorf("events %+v", events)
	}
}
