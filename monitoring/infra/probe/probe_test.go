package probe_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/infra/probe"
	"example.com/once/retry"
)

// result is what a probe said.
type result struct {
	problem string
	series  map[string]float64
}

func probed(t *testing.T, c probe.Config) result {
	t.Helper()
	p, err := probe.New(c)
	if err != nil {
		t.Fatal(err)
	}
	o, err := p.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := result{o.Problem, make(map[string]float64)}
	for _, s := range o.Samples {
		if s.Labels.Len() != 1 {
			t.Errorf("%v", s.Labels)
		}
		r.series[s.Labels.Get(domain.MetricName)] = s.Value
	}
	if d, ok := r.series["probe_duration_seconds"]; !ok || d < 0 {
		t.Errorf("probe_duration_seconds is %v", d)
	}
	return r
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func (r result) want(t *testing.T, problem string, series map[string]float64) {
	t.Helper()
	if problem == "" && r.problem != "" || !strings.Contains(r.problem, problem) {
		t.Errorf("problem %q, want %q", r.problem, problem)
	}
	series["probe_success"] = 0
	if problem == "" {
		series["probe_success"] = 1
	}
	for name, v := range series {
		if got, ok := r.series[name]; !ok || got != v {
			t.Errorf("%s is %v (there: %v), want %v", name, got, ok, v)
		}
	}
}

func TestProbe(t *testing.T) {
	ok := regexp.MustCompile
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		config  probe.Config
		problem string
		series  map[string]float64
	}{
		{"well", says(200, "hello"), probe.Config{}, "", map[string]float64{
			"probe_http_status_code": 200, "probe_http_content_length": 5, "probe_http_redirects": 0, "probe_http_ssl": 0,
		}},
		{"every status from 200 to 299 is fine", says(299, ""), probe.Config{}, "", map[string]float64{"probe_http_status_code": 299}},
		{"unwell", says(503, "x"), probe.Config{}, "unexpected status 503 Service Unavailable", map[string]float64{"probe_http_status_code": 503}},
		{"the status that is wanted", says(401, ""), probe.Config{Status: []int{401, 403}}, "", map[string]float64{"probe_http_status_code": 401}},
		{"not the status that is wanted", says(200, ""), probe.Config{Status: []int{401, 403}}, "unexpected status 200 OK", map[string]float64{"probe_http_status_code": 200}},
		{"the body that is wanted", says(200, "status: green"), probe.Config{BodyMatches: ok("green|yellow")}, "", map[string]float64{"probe_failed_due_to_regex": 0}},
		{"another body", says(200, "status: red"), probe.Config{BodyMatches: ok("green|yellow")}, "the body does not match the pattern",
			map[string]float64{"probe_failed_due_to_regex": 1, "probe_http_status_code": 200}},
		{"a body that is not looked at because of the status", says(500, "green"), probe.Config{BodyMatches: ok("green")}, "unexpected status 500",
			map[string]float64{"probe_failed_due_to_regex": 0}},
		{"beyond what is looked at", says(200, "12345green"), probe.Config{BodyMatches: ok("green"), MaxBody: 9}, "the body does not match", map[string]float64{}},
		{"a body of unknown length", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "b")
		}, probe.Config{BodyMatches: ok("^ab$")}, "", map[string]float64{"probe_http_content_length": -1}},
		{"a body that breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		}, probe.Config{}, "reading the body: unexpected EOF", map[string]float64{"probe_http_status_code": 200, "probe_http_content_length": 100}},
		{"no answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, probe.Config{}, "EOF", map[string]float64{"probe_http_status_code": 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.config.URL = serve(t, c.handler)
			probed(t, c.config).want(t, c.problem, c.series)
		})
	}
}

func TestProbeRequest(t *testing.T) {
	var got *http.Request
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r })
	probed(t, probe.Config{URL: url + "/health", Method: http.MethodPut, Header: map[string]string{"X-Probe": "1", "User-Agent": "mine"}})
	if got.Method != http.MethodPut || got.URL.Path != "/health" || got.Header.Get("X-Probe") != "1" || got.Header.Get("User-Agent") != "mine" {
		t.Errorf("%s %s %v", got.Method, got.URL, got.Header)
	}
	probed(t, probe.Config{URL: url})
	if got.Method != http.MethodGet || got.Header.Get("User-Agent") != "once-monitor" {
		t.Errorf("%s %v", got.Method, got.Header)
	}
}

func TestProbeRedirects(t *testing.T) {
	hops := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if len(r.URL.Path)-1 < n {
				http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
			}
		}
	}
	probed(t, probe.Config{URL: serve(t, hops(3)) + "/"}).want(t, "", map[string]float64{"probe_http_redirects": 3, "probe_http_status_code": 200})
	probed(t, probe.Config{URL: serve(t, hops(10)) + "/"}).want(t, "", map[string]float64{"probe_http_redirects": 10})
	probed(t, probe.Config{URL: serve(t, hops(11)) + "/"}).want(t, "more than 10 redirects", map[string]float64{"probe_http_status_code": 0})
	probed(t, probe.Config{URL: serve(t, hops(3)) + "/", NoRedirects: true}).want(t, "unexpected status 302 Found", map[string]float64{
		"probe_http_redirects": 0, "probe_http_status_code": 302,
	})
	probed(t, probe.Config{URL: serve(t, hops(3)) + "/", NoRedirects: true, Status: []int{302}}).want(t, "", map[string]float64{"probe_http_status_code": 302})
}

func TestProbeTLS(t *testing.T) {
	server := httptest.NewTLSServer(says(200, ""))
	t.Cleanup(server.Close)
	probed(t, probe.Config{URL: server.URL}).want(t, "certificate signed by unknown authority", map[string]float64{"probe_http_ssl": 0})
	r := probed(t, probe.Config{URL: server.URL, Client: server.Client()})
	expiry := server.Certificate().NotAfter
	r.want(t, "", map[string]float64{"probe_http_ssl": 1, "probe_ssl_earliest_cert_expiry": float64(expiry.Unix())})
	if left := r.series["probe_ssl_expires_in_seconds"]; left <= 0 || left > time.Until(expiry).Seconds()+60 {
		t.Errorf("the certificate expires in %v seconds", left)
	}
	plain := probed(t, probe.Config{URL: serve(t, says(200, ""))})
	for _, name := range []string{"probe_ssl_earliest_cert_expiry", "probe_ssl_expires_in_seconds", "probe_failed_due_to_regex"} {
		if _, ok := plain.series[name]; ok {
			t.Errorf("%s is there though there is nothing to say", name)
		}
	}
}

func TestProbeConnectionRefused(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	r := probed(t, probe.Config{URL: server.URL})
	r.want(t, "connection refused", map[string]float64{"probe_http_status_code": 0, "probe_http_content_length": 0})
	if strings.Contains(r.problem, "http://") {
		t.Errorf("%q; whoever reads it knows the address", r.problem)
	}
}

// hang answers when its client has gone.
func hang(t *testing.T) string {
	t.Helper()
	return serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// TestProbeTimeout: that nobody answers in time is what a probe is there to see.
func TestProbeTimeout(t *testing.T) {
	p, err := probe.New(probe.Config{URL: hang(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errors.New("no answer within 20ms"))
	defer cancel()
	o, err := p.Fetch(ctx)
	if err != nil || o.Problem != "timeout: no answer within 20ms" || len(o.Samples) < 6 {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestProbeCancelled: a monitor that is being stopped has seen nothing.
func TestProbeCancelled(t *testing.T) {
	p, err := probe.New(probe.Config{URL: hang(t)})
	if err != nil {
		t.Fatal(err)
	}
	stopping := errors.New("stopping")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(stopping) })
	if o, err := p.Fetch(ctx); !errors.Is(err, stopping) || len(o.Samples) != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestProbeOpensAConnectionEachTime(t *testing.T) {
	addresses := make(map[string]bool)
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { addresses[r.RemoteAddr] = true })
	p, err := probe.New(probe.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := p.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(addresses) != 3 {
		t.Errorf("%d connections for 3 probes; an old one would hide that the endpoint takes none", len(addresses))
	}
}

func TestProbeRepeatsOnlyIfAsked(t *testing.T) {
	var asked atomic.Int32
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1)%3 != 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	probed(t, probe.Config{URL: url}).want(t, "unexpected status 503", map[string]float64{})
	if asked.Swap(0) != 1 {
		t.Error("it is repeated without having been asked to")
	}
	probed(t, probe.Config{URL: url, Policy: &retry.Policy{Backoff: retry.Constant(time.Microsecond)}}).want(t, "", map[string]float64{})
	if asked.Load() != 3 {
		t.Errorf("asked %d times, want 3", asked.Load())
	}
}

func TestNewRefuses(t *testing.T) {
	for want, c := range map[string]probe.Config{
		`URL "": want http://HOST/PATH`:           {},
		`URL "ftp://x": want http://HOST/PATH`:    {URL: "ftp://x"},
		"URL: parse":                              {URL: "http://x/%zz"},
		"MaxBody -1 is negative; 0 means 1048576": {URL: "http://x", MaxBody: -1},
		"Status 99 is not between 100 and 599":    {URL: "http://x", Status: []int{200, 99}},
		"Status 600 is not between":               {URL: "http://x", Status: []int{600}},
		`Method: net/http: invalid method "G T"`:  {URL: "http://x", Method: "G T"},
	} {
		if _, err := probe.New(c); !errors.Is(err, probe.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %s", c, err, want)
		}
	}
}
