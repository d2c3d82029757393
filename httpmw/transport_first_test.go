package httpmw_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"example.com/once/httpmw"
	"example.com/once/retry"
)

// A first attempt over net/http's own transport takes shortcuts. What they must not change:

// stubborn answers 503 with a body that does not end before the client goes away.
func stubborn(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, "one moment ")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func TestBodyThatDoesNotEndIsGivenUp(t *testing.T) {
	for name, policy := range map[string]*retry.Policy{
		"unbounded": atOnce(),
		"bounded":   {Backoff: retry.Constant(0), AttemptTimeout: 1e12},
	} {
		p := newPeer(t, stubborn, status(200, "done"))
		resp, err := client(t, &httpmw.Transport{Policy: policy}).Do(request(t, http.MethodGet, p.URL, ""))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(got) != "done" || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		p.want(t, 2)
	}
}

func TestRequestIsNotModifiedOverNetHTTP(t *testing.T) {
	for name, header := range map[string]http.Header{"nil": nil, "some": {"X-Mine": {"1"}}} {
		p := newPeer(t, status(503, ""), status(200, ""))
		r := request(t, http.MethodPost, p.URL+"/a?b=c", "x")
		r.Header = header
		look := func() string {
			return fmt.Sprintf("%v %v %v %v %d", r.URL, r.Header, r.Header == nil, r.Trailer, r.ContentLength)
		}
		before, body := look(), r.Body
		tr := &httpmw.Transport{Policy: atOnce(), Key: func(*http.Request) string { return "k-1" }}
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if after := look(); after != before || r.Body != body {
			t.Errorf("%s: before %s\nafter  %s", name, before, after)
		}
		for n, got := range p.want(t, 2) {
			if got.header.Get(httpmw.HeaderKey) != "k-1" || got.header.Get("X-Mine") != header.Get("X-Mine") || got.body != "x" {
				t.Errorf("%s: request %d: %v %q", name, n+1, got.header, got.body)
			}
		}
	}
}

func TestSuccessfulGETAllocatesLittle(t *testing.T) {
	const most = 1
	base := &http.Transport{}
	empty := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
	base.RegisterProtocol("http", roundTripper(func(*http.Request) (*http.Response, error) { return empty, nil }))
	r := request(t, http.MethodGet, "http://x.test/", "")
	count := func(rt http.RoundTripper) float64 {
		return testing.AllocsPerRun(100, func() {
			if _, err := rt.RoundTrip(r); err != nil {
				t.Fatal(err)
			}
		})
	}
	bare, ours := count(base), count(&httpmw.Transport{Base: base})
	if ours-bare > most {
		t.Errorf("%v allocations, %v without the Transport: want at most %v more", ours, bare, most)
	}
}

// What goes out by the short way is what net/http surely takes; everything else is looked at on the way.
func TestOddHeadersAreSentOrRefusedOnce(t *testing.T) {
	for _, test := range []struct {
		name, value string
		ok          bool
	}{
		{"X-Plain", "a b~", true},
		{"X_Under.score", "1", true},
		{"X-Tab", "a\tb", true},
		{"X-Latin", "caf\xc3\xa9", true},
		{"X-Empty", "", true},
		{"X-Break", "a\nb", false},
		{"X-Nul", "a\x00b", false},
		{"X-Del", "a\x7fb", false},
		{"", "1", false},
		{"X Space", "1", false},
		{"X:Colon", "1", false},
		{"X-\xc3\xa9", "1", false},
	} {
		p := newPeer(t, status(200, ""))
		failures := 0
		policy := atOnce()
		policy.Observe = func(context.Context, retry.Event) { failures++ }
		r := request(t, http.MethodGet, p.URL, "")
		r.Header[test.name] = []string{test.value}
		resp, err := (&httpmw.Transport{Policy: policy}).RoundTrip(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		if test.ok != (err == nil) || !test.ok && failures != 1 {
			t.Errorf("%q: %q: %v after %d failures", test.name, test.value, err, failures)
		}
		if test.ok {
			p.want(t, 1)
		}
	}
}
