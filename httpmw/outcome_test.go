package httpmw_test

import (
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

func TestH62StatusDecidesWhatBecomesOfTheKey(t *testing.T) {
	for code, recorded := range map[int]bool{
		200: true, 201: true, 202: true, 204: true, 206: true, 301: true, 302: true, 303: true, 304: true,
		400: true, 402: true, 404: true, 405: true, 409: true, 410: true, 412: true, 415: true, 422: true, 423: true, 424: true,
		401: false, 403: false, 408: false, 425: false, 429: false, 500: false, 501: false, 502: false, 503: false, 504: false, 599: false,
		307: false, 308: false,
	} {
		var runs counter
		b := newBench(t, benchConfig{}, func(w http.ResponseWriter, _ *http.Request) {
			runs.add()
			w.WriteHeader(code)
		})
		b.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		b.post(t, "k", "x").want(t, code, "")
		if a := b.post(t, "k", "x").want(t, code, ""); a.replayed() != recorded {
			t.Errorf("%d: replayed %v", code, a.replayed())
		}
	}
}

func TestH62RecordOverridesTheStatus(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Record: func(status int, h http.Header) httpmw.Outcome {
		switch {
		case status == 503:
			return httpmw.Record
		case h.Get("X-Draft") != "":
			return httpmw.Release
		}
		return 0 // counts as Release
	}}}, func(w http.ResponseWriter, r *http.Request) {
		runs.add()
		switch body, _ := io.ReadAll(r.Body); string(body) {
		case "sticky":
			w.WriteHeader(503)
		case "draft":
			w.Header().Set("X-Draft", "1")
		}
	})
	for n, body := range []string{"sticky", "draft", "other"} {
		b.post(t, body, body)
		if a := b.post(t, body, body); a.replayed() != (n == 0) {
			t.Errorf("%s: replayed %v", body, a.replayed())
		}
	}
	runs.want(t, 5)
}

// A mux in front of the route answers /orders/ with 307 to /orders: the client repeats its request there, with
// the key that it has.
func TestKeyMayFollowATemporaryRedirect(t *testing.T) {
	for _, code := range []int{307, 308} {
		var runs counter
		b := newBench(t, benchConfig{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/orders" {
				http.Redirect(w, r, "/orders/", code)
				return
			}
			created(&runs)(w, r)
		})
		r := b.request(t, http.MethodPost, "/orders", "k", nil)
		r.Body, r.GetBody = io.NopCloser(strings.NewReader("x")), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }
		b.do(t, r).want(t, 201, "")
		r = b.request(t, http.MethodPost, "/orders/", "k", strings.NewReader("x"))
		if !b.do(t, r).want(t, 201, "").replayed() {
			t.Error("not recorded where it ran")
		}
		runs.want(t, 1)
	}
}

func TestH63HandlerDecidesForItself(t *testing.T) {
	for _, c := range []struct {
		outcome  httpmw.Outcome
		status   int
		replayed bool
		again    int    // status of the same request
		code     string // and its problem
		other    int    // status of another request with the key
	}{
		{httpmw.Record, 500, true, 500, "", 422},
		{httpmw.Release, 201, false, 201, "", 422},
		{httpmw.Forget, 400, false, 400, "", 400},
		{httpmw.Hold, 502, false, 409, httpmw.CodeOutcomeUnknown, 422},
	} {
		b := newBench(t, benchConfig{}, func(w http.ResponseWriter, r *http.Request) {
			if httpmw.SetOutcome(r.Context(), 0) || httpmw.SetOutcome(r.Context(), 99) {
				t.Error("took an outcome that is none")
			}
			if !httpmw.SetOutcome(r.Context(), httpmw.Release) || !httpmw.SetOutcome(r.Context(), c.outcome) { // the last counts
				t.Error("no key is served")
			}
			w.WriteHeader(c.status)
		})
		b.post(t, "k", "x").want(t, c.status, "")
		if a := b.post(t, "k", "x").want(t, c.again, c.code); a.replayed() != c.replayed {
			t.Errorf("outcome %d: replayed %v", c.outcome, a.replayed())
		}
		if a := b.post(t, "k", "other"); a.status != c.other {
			t.Errorf("outcome %d: another request got %d", c.outcome, a.status)
		}
	}
	if httpmw.SetOutcome(t.Context(), httpmw.Record) {
		t.Error("an outcome without a key")
	}
}

func TestH64RefusalsOfInnerAuthorizationDoNotStick(t *testing.T) {
	allowed := false
	b := newBench(t, benchConfig{}, func(w http.ResponseWriter, _ *http.Request) {
		if !allowed {
			w.WriteHeader(403)
		}
	})
	b.post(t, "k", "x").want(t, 403, "")
	allowed = true
	b.post(t, "k", "x").want(t, 200, "")

	b = newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Record: func(int, http.Header) httpmw.Outcome { return httpmw.Record }}},
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) })
	b.post(t, "k", "x").want(t, 403, "")
	if !b.post(t, "k", "x").want(t, 403, "").replayed() {
		t.Error("not recorded though asked to")
	}
}

// A handler that refused before it did anything lets the client mend its request and keep its key.
func TestH65CorrectedRequestMayUseTheKey(t *testing.T) {
	b := newBench(t, benchConfig{}, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); string(body) != "valid" {
			httpmw.SetOutcome(r.Context(), httpmw.Forget)
			w.WriteHeader(400)
		}
	})
	b.post(t, "k", "invalid").want(t, 400, "")
	b.post(t, "k", "valid").want(t, 200, "")
	b.post(t, "k", "invalid").want(t, 422, httpmw.CodeMismatch)
}

func TestH66PanicReleasesTheKeyAndGoesOn(t *testing.T) {
	boom := errors.New("boom")
	for _, value := range []any{boom, "boom", http.ErrAbortHandler} {
		var runs counter
		var events eventLog
		m := middleware(t, &idem.Memory{}, httpmw.IdempotencyConfig{Observe: events.add})
		var leaked http.ResponseWriter
		h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if runs.add() == 1 {
				leaked = w
				w.Header().Set("X-Half", "1")
				w.WriteHeader(201)
				_, _ = io.WriteString(w, "half")
				panic(value)
			}
		}))
		w := newPlainWriter()
		got := func() (got any) {
			defer func() { got = recover() }()
			h.ServeHTTP(w, newPost("k", "x"))
			return nil
		}()
		if got != value {
			t.Errorf("recovered %v, want %v", got, value)
		}
		if w.writes != 0 || len(w.header) != 0 {
			t.Errorf("the client got something: %d %v", w.status, w.header)
		}
		if n, err := leaked.Write([]byte("late")); n != 0 || err == nil {
			t.Errorf("wrote %d after the panic", n)
		}
		events.want(t, httpmw.ResultPanicked)
		other := newPlainWriter()
		h.ServeHTTP(other, newPost("k", "other"))
		if other.status != 422 {
			t.Errorf("another request got %d", other.status)
		}
		again := newPlainWriter()
		h.ServeHTTP(again, newPost("k", "x"))
		if again.status != 200 || again.header.Get(httpmw.HeaderReplayed) != "" {
			t.Errorf("the retry got %d %v", again.status, again.header)
		}
		runs.want(t, 2)
	}
}

// In at-most-once mode a panic leaves the outcome unknown.
func TestH66PanicInAtMostOnceModeHoldsTheKey(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{guard: idem.Config{Mode: idem.AtMostOnce}}, func(http.ResponseWriter, *http.Request) {
		runs.add()
		panic(http.ErrAbortHandler)
	})
	if _, err := send(b.Client(), b.request(t, http.MethodPost, "/orders", "k", strings.NewReader("x"))); err == nil {
		t.Error("got an answer")
	}
	b.events.want(t, httpmw.ResultPanicked)
	b.post(t, "k", "x").want(t, 409, httpmw.CodeOutcomeUnknown)
	runs.want(t, 1)
}

func TestH67GoexitReleasesTheKey(t *testing.T) {
	var runs counter
	m := middleware(t, &idem.Memory{}, httpmw.IdempotencyConfig{})
	h := m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if runs.add() == 1 {
			runtime.Goexit() // as t.FailNow does
		}
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(newPlainWriter(), newPost("k", "x"))
		t.Error("Goexit did not")
	}()
	<-done
	w := newPlainWriter()
	h.ServeHTTP(w, newPost("k", "x"))
	if w.status != 200 {
		t.Errorf("the retry got %d", w.status)
	}
	runs.want(t, 2)
}

// A key that its handler fails again and again is told which attempt it is; whoever wants an end to it sets Hold.
func TestCrashLoopCanBeEndedByTheHandler(t *testing.T) {
	b := newBench(t, benchConfig{}, func(w http.ResponseWriter, r *http.Request) {
		if a, ok := idem.Current(r.Context()); ok && a.Number >= 3 {
			httpmw.SetOutcome(r.Context(), httpmw.Hold)
		}
		w.WriteHeader(500)
	})
	for range 3 {
		b.post(t, "k", "x").want(t, 500, "")
	}
	b.post(t, "k", "x").want(t, 409, httpmw.CodeOutcomeUnknown)
}

// Of what a released attempt wrote nothing reaches the next one.
func TestReleasedAnswersHeadersAreTheCallersOnly(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{}, func(w http.ResponseWriter, _ *http.Request) {
		if runs.add() == 1 {
			w.Header().Set("X-First", "1")
			w.WriteHeader(503)
			_, _ = io.WriteString(w, "tired")
		}
	})
	if a := b.post(t, "k", "x").want(t, 503, ""); a.body != "tired" || a.header.Get("X-First") != "1" {
		t.Errorf("got %q %v", a.body, a.header)
	}
	if a := b.post(t, "k", "x").want(t, 200, ""); a.body != "" || a.header.Get("X-First") != "" {
		t.Errorf("got %q %v", a.body, a.header)
	}
}

// A handler behind http.TimeoutHandler goes on when that has answered 503: to release the key then would let a second run
// start beside it. TimeoutHandler belongs outside; where it is inside, Hold is the honest outcome.
func TestH77TimeoutHandler(t *testing.T) {
	t.Run("outside: the handler goes on and is recorded", func(t *testing.T) {
		var runs counter
		release := make(chan struct{})
		b := newBench(t, benchConfig{outer: func(next http.Handler) http.Handler {
			return http.TimeoutHandler(next, 20*time.Millisecond, "timed out")
		}}, func(w http.ResponseWriter, r *http.Request) {
			runs.add()
			<-release
			if r.Context().Err() != nil {
				t.Error("the handler's context ended with the client's patience")
			}
			w.WriteHeader(201)
		})
		b.post(t, "k", "x").want(t, 503, "")
		b.post(t, "k", "x").want(t, 409, httpmw.CodeInFlight)
		close(release)
		b.events.want(t, httpmw.CodeInFlight, httpmw.ResultFirst)
		if !b.post(t, "k", "x").want(t, 201, "").replayed() {
			t.Error("not recorded")
		}
		runs.want(t, 1)
	})
	t.Run("inside: hold, do not release", func(t *testing.T) {
		var runs counter
		stop := make(chan struct{})
		inner := http.TimeoutHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			runs.add()
			<-stop
		}), 20*time.Millisecond, "timed out")
		b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Record: func(status int, h http.Header) httpmw.Outcome {
			if status == http.StatusServiceUnavailable {
				return httpmw.Hold
			}
			return httpmw.RecordByStatus(status, h)
		}}}, inner.ServeHTTP)
		b.post(t, "k", "x").want(t, 503, "")
		b.post(t, "k", "x").want(t, 409, httpmw.CodeOutcomeUnknown)
		runs.want(t, 1)
		close(stop)
	})
}
