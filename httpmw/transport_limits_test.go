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
	"example.com/once/retry"
)

func TestTransportsBudgetAndBreakerWinOverThePolicys(t *testing.T) {
	mine, theirs := &retry.Budget{PerSecond: -1, Ratio: -1}, &retry.Budget{PerSecond: -1, Ratio: -1}
	ours, refusing := &countingBreaker{}, &countingBreaker{refuse: errors.New("open")}
	policy := atOnce()
	policy.Budget, policy.Breaker = theirs, refusing
	p := newPeer(t, status(503, ""), status(200, ""))
	tr := &httpmw.Transport{
		Policy:  policy,
		Budget:  func(*http.Request) *retry.Budget { return mine },
		Breaker: func(*http.Request) retry.Breaker { return ours },
	}
	get := func() (*http.Response, error) {
		resp, err := client(t, tr).Do(request(t, http.MethodGet, p.URL, ""))
		if err == nil {
			_ = resp.Body.Close()
		}
		return resp, err
	}
	if resp, err := get(); err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %v, %v", resp, err)
	}
	if mine.Tokens() != 99 || theirs.Tokens() != 100 || ours.asked != 2 || refusing.asked != 0 {
		t.Errorf("tokens %v and %v, breakers asked %d and %d", mine.Tokens(), theirs.Tokens(), ours.asked, refusing.asked)
	}
	tr.Breaker = nil
	if _, err := get(); !errors.Is(err, retry.ErrBreaker) || !errors.Is(err, refusing.refuse) {
		t.Errorf("the Policy's breaker was not asked: %v", err)
	}
	tr.Breaker = func(*http.Request) retry.Breaker { return nil }
	if _, err := get(); err != nil {
		t.Errorf("a nil Breaker refuses: %v", err)
	}
}

type countingBreaker struct {
	asked    int
	outcomes []error
	refuse   error
}

func (b *countingBreaker) Allow() (func(error), error) {
	b.asked++
	if b.refuse != nil {
		return nil, b.refuse
	}
	return func(err error) { b.outcomes = append(b.outcomes, err) }, nil
}

func TestBreakerHearsWhatAnswersSayOfThePeer(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  http.HandlerFunc
		healthy bool
	}{
		{"200", status(200, ""), true},
		{"404", status(404, ""), true},
		{"501", status(501, ""), true},
		{"409 in flight", status(409, "", "Retry-After", "0"), true},
		{"500", status(500, ""), false},
		{"429", status(429, "", "Retry-After", "0"), false},
		{"hangs up", hangUp, false},
	} {
		b := &countingBreaker{}
		p := newPeer(t, c.answer)
		tr := &httpmw.Transport{Policy: &retry.Policy{MaxAttempts: 1}, Breaker: func(*http.Request) retry.Breaker { return b }}
		if resp, err := client(t, tr).Do(request(t, http.MethodPost, p.URL, "x", "Idempotency-Key", "k")); err == nil {
			_ = resp.Body.Close()
		}
		if len(b.outcomes) != 1 || (b.outcomes[0] == nil) != c.healthy {
			t.Errorf("%s: the breaker heard %v", c.name, b.outcomes)
		}
	}
}

func TestOneBudgetAHostByDefault(t *testing.T) {
	f := &fake{next: []func(*http.Request) (*http.Response, error){breaks(errCut)}}
	tr := &httpmw.Transport{Base: f, Policy: atOnce()}
	get := func(url string) int {
		before := f.n
		_, _ = tr.RoundTrip(request(t, http.MethodGet, url, ""))
		return f.n - before
	}
	// 100 tokens and a trickle of 10 a second are soon spent by one host.
	for n := 0; get("http://a.test/") == 3; n++ {
		if n > 1000 {
			t.Fatal("the budget of a.test does not end")
		}
	}
	if n := get("http://A.test/"); n == 3 {
		t.Error("the case of a host's name makes another host of it")
	}
	if n := get("http://b.test/"); n != 3 {
		t.Errorf("b.test pays for a.test: %d attempts", n)
	}
}

// Whatever became of the calls: nothing goes on after them.
func TestTransportLeavesNoGoroutines(t *testing.T) {
	p := newPeer(t, status(503, strings.Repeat("x", 10_000)), hangUp, status(200, "ok"), status(404, ""), status(429, "", "Retry-After", "0"))
	before := runtime.NumGoroutine()
	for _, tr := range []*httpmw.Transport{
		{Policy: atOnce()},
		{Policy: &retry.Policy{Backoff: retry.Constant(0), AttemptTimeout: time.Minute}},
		{Policy: atOnce(), Hedge: time.Millisecond},
	} {
		base := &http.Transport{}
		tr.Base = base
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodGet, http.MethodPut} {
			body := ""
			if method != http.MethodGet {
				body = "x"
			}
			r := request(t, method, p.URL, body)
			if body != "" {
				r.Body, r.GetBody = io.NopCloser(strings.NewReader(body)), nil
			}
			if resp, err := tr.RoundTrip(r); err == nil {
				_ = resp.Body.Close()
			}
		}
		base.CloseIdleConnections()
	}
	p.CloseClientConnections()
	waitFor(t, func() bool { return runtime.NumGoroutine() <= before })
}
