package scrape_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/infra/scrape"
	"example.com/once/retry"
)

const (
	text        = "text/plain; version=0.0.4; charset=utf-8"
	openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"
)

func answer(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		} else {
			w.Header()["Content-Type"] = nil
		}
		_, _ = io.WriteString(w, body)
	}
}

// fetch scrapes a handler.
func fetch(t *testing.T, h http.HandlerFunc, c scrape.Config) (app.Observation, error) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	c.URL = server.URL + "/metrics"
	s, err := scrape.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s.Fetch(t.Context())
}

func series(o app.Observation) []string {
	var out []string
	for _, s := range o.Samples {
		out = append(out, s.Labels.String()+" "+strconv.FormatFloat(s.Value, 'g', -1, 64))
	}
	slices.Sort(out)
	return out
}

func TestFormats(t *testing.T) {
	for _, c := range []struct {
		name, contentType, body string
		want                    []string
	}{
		{"nothing", text, "", nil},
		{
			"text", text, `# HELP up Is it?
# TYPE up gauge
up 1
requests_total{path="/a\"b\\\n",code="200"} 1027 1395066363000
odd NaN
big +Inf
small -Inf
`,
			[]string{"big +Inf", "odd NaN", `requests_total{code="200", path="/a\"b\\\n"} 1027`, "small -Inf", "up 1"},
		},
		{
			"histogram and summary", text, `# TYPE h histogram
h_bucket{le="0.5"} 2
h_bucket{le="+Inf"} 3
h_sum 1.5
h_count 3
# TYPE s summary
s{quantile="0.9"} 7
s_sum 9
s_count 2
`,
			[]string{"h_count 3", "h_sum 1.5", `h_bucket{le="+Inf"} 3`, `h_bucket{le="0.5"} 2`, "s_count 2", "s_sum 9", `s{quantile="0.9"} 7`},
		},
		{
			"OpenMetrics", openMetrics, `# TYPE requests counter
# HELP requests How many.
requests_total{path="/"} 5 1.5
requests_created{path="/"} 1000
# TYPE temperature_celsius gauge
# UNIT temperature_celsius celsius
temperature_celsius 21.5
# TYPE h histogram
h_bucket{le="1.0"} 2 # {trace_id="x"} 0.5
h_bucket{le="+Inf"} 3
h_sum 4
h_count 3
# EOF
`,
			[]string{ // the times at which counters began are no series
				"h_count 3", "h_sum 4", `h_bucket{le="+Inf"} 3`, `h_bucket{le="1"} 2`,
				`requests_total{path="/"} 5`, "temperature_celsius 21.5",
			},
		},
		{"no content type", "", "up 1\n", []string{"up 1"}},
		{"a plain one", "text/plain", "up 1\n", []string{"up 1"}},
		{"an odd one", "text/html", "up 1\n", []string{"up 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := fetch(t, answer(c.contentType, c.body), scrape.Config{})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(c.want)
			if got := series(o); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			for _, s := range o.Samples {
				if !s.At.IsZero() {
					t.Errorf("%s has the time %v; when it was seen is for the caller to say", s.Labels, s.At)
				}
			}
		})
	}
}

// once is a policy that shows what one attempt comes to.
func once() *retry.Policy { return &retry.Policy{MaxAttempts: 1} }

// TestAllOrNothing: of an answer with a fault nothing is used, and the fault is named.
func TestAllOrNothing(t *testing.T) {
	cutOff := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", text)
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "up 1\n")
	}
	cutOffGzip := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		var b strings.Builder
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, strings.Repeat("up 1\n", 1000))
		_ = z.Close()
		_, _ = io.WriteString(w, b.String()[:len(b.String())/2])
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		config  scrape.Config
		is      error
		want    string
	}{
		{"a line that is none", answer(text, "up 1\nthis is no metric\n"), scrape.Config{}, scrape.ErrFormat, "line 2"},
		{"a value that is none", answer(text, "up one\n"), scrape.Config{}, scrape.ErrFormat, `expected float as value, got "one"`},
		{"HTML", answer("text/html", "<html><body>Sign in</body></html>"), scrape.Config{}, scrape.ErrFormat, "line 1"},
		{"a half line at the end", answer(text, "up 1\ndown"), scrape.Config{}, scrape.ErrFormat, ""},
		{"protobuf", answer("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", "x"), scrape.Config{}, scrape.ErrFormat, "was not asked for"},
		{"OpenMetrics of a type that is not understood", answer(openMetrics, "# TYPE build info\nbuild_info 1\n# EOF\n"), scrape.Config{}, scrape.ErrFormat, `unsupported metric type "info"`},
		{"OpenMetrics without its end", answer(openMetrics, "# TYPE a gauge\na 1\n"), scrape.Config{}, scrape.ErrFormat, "EOF"},
		{"shorter than it said", cutOff, scrape.Config{}, io.ErrUnexpectedEOF, "reading the answer"},
		{"half a gzip", cutOffGzip, scrape.Config{}, io.ErrUnexpectedEOF, "reading the answer"},
		{"one byte too many", answer(text, "up 1\nup2 2\n"), scrape.Config{MaxBody: 10}, scrape.ErrTooLarge, "answer is too large"},
		{"one sample too many", answer(text, "a 1\nb 1\nc 1\n"), scrape.Config{MaxSamples: 2}, scrape.ErrTooLarge, "more than 2 samples"},
		{"404", http.NotFound, scrape.Config{}, scrape.ErrStatus, "404 Not Found"},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, scrape.Config{}, scrape.ErrStatus, "204"},
		{"503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, scrape.Config{}, scrape.ErrStatus, "503"},
		{"redirects without end", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, scrape.Config{}, nil, "more than 5 redirects"},
		{"a panic on the other side", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, scrape.Config{}, io.EOF, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.config.Policy = once()
			o, err := fetch(t, c.handler, c.config)
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %v and %q", err, c.is, c.want)
			}
			if len(o.Samples) != 0 {
				t.Errorf("%d samples of it are used", len(o.Samples))
			}
			if err != nil && strings.Contains(err.Error(), "http://") {
				t.Errorf("%v; whoever reads it knows the target", err)
			}
		})
	}
}

func TestLimitsAreExact(t *testing.T) {
	if o, err := fetch(t, answer(text, "up 1\nup2 2"+"\n"), scrape.Config{MaxBody: 11, MaxSamples: 2, Policy: once()}); err != nil || len(o.Samples) != 2 {
		t.Errorf("what just fits: %v, %v", o, err)
	}
}

// TestBombs: what is small when packed counts as what it is.
func TestBombs(t *testing.T) {
	bomb := func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Error("gzip is not asked for")
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for range 100 {
			_, _ = io.WriteString(z, strings.Repeat("#", 1<<20))
		}
		_ = z.Close()
	}
	if _, err := fetch(t, bomb, scrape.Config{Policy: once()}); !errors.Is(err, scrape.ErrTooLarge) {
		t.Errorf("%v", err)
	}
	packed := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for i := range 10_000 {
			_, _ = fmt.Fprintf(z, "x{i=\"%d\"} %d\n", i, i)
		}
		_ = z.Close()
	}
	if o, err := fetch(t, packed, scrape.Config{Policy: once()}); err != nil || len(o.Samples) != 10_000 {
		t.Errorf("%d samples, %v", len(o.Samples), err)
	}
}

// TestRepeats: what may pass is repeated, what stays is not.
func TestRepeats(t *testing.T) {
	for _, c := range []struct {
		status   int
		attempts int32
	}{
		{http.StatusServiceUnavailable, 3}, {http.StatusInternalServerError, 3}, {http.StatusTooManyRequests, 3}, {http.StatusGatewayTimeout, 3},
		{http.StatusNotFound, 1}, {http.StatusUnauthorized, 1}, {http.StatusNotImplemented, 1}, {http.StatusFound, 1},
	} {
		var asked atomic.Int32
		_, err := fetch(t, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.WriteHeader(c.status)
		}, scrape.Config{Policy: &retry.Policy{Backoff: retry.Constant(time.Microsecond)}})
		if !errors.Is(err, scrape.ErrStatus) && c.status != http.StatusFound || asked.Load() != c.attempts {
			t.Errorf("%d: asked %d times, want %d; %v", c.status, asked.Load(), c.attempts, err)
		}
	}
	var asked atomic.Int32
	o, err := fetch(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			panic(http.ErrAbortHandler)
		}
		answer(text, "up 1\n")(w, r)
	}, scrape.Config{Policy: &retry.Policy{Backoff: retry.Constant(time.Microsecond)}})
	if err != nil || len(o.Samples) != 1 || asked.Load() != 3 {
		t.Errorf("%v, %v, asked %d times", o, err, asked.Load())
	}
}

func TestRetryAfterIsHeeded(t *testing.T) {
	var asked atomic.Int32
	_, err := fetch(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}, scrape.Config{})
	var e *retry.Error
	if asked.Load() != 1 || !errors.As(err, &e) && !errors.Is(err, scrape.ErrStatus) {
		t.Errorf("asked %d times, %v; want that it is left alone for an hour", asked.Load(), err)
	}
}

func TestRequest(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	header := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header <- r.Header
		answer(text, "up 1\n")(w, r)
	}))
	defer server.Close()
	s, err := scrape.New(scrape.Config{URL: server.URL, BearerToken: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fetch(ctx); err != nil {
		t.Fatal(err)
	}
	h := <-header
	seconds, err := strconv.ParseFloat(h.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || math.Abs(seconds-60) > 10 {
		t.Errorf("timeout %q", h.Get("X-Prometheus-Scrape-Timeout-Seconds"))
	}
	h.Del("X-Prometheus-Scrape-Timeout-Seconds")
	want := map[string]string{
		"Accept":          "text/plain;version=0.0.4;q=0.9,*/*;q=0.1",
		"User-Agent":      "once-monitor",
		"Authorization":   "Bearer secret",
		"Accept-Encoding": "gzip",
	}
	got := make(map[string]string)
	for name := range h {
		got[name] = h.Get(name)
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(release)
	s, err := scrape.New(scrape.Config{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestConnectionRefused(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	s, err := scrape.New(scrape.Config{URL: server.URL, Policy: once()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "http://") {
		t.Errorf("%v", err)
	}
}

// TestConnectionIsKept: a scrape every few seconds does not open a connection each time, also
// not after answers that say only that they are bad.
func TestConnectionIsKept(t *testing.T) {
	var connections, asked atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1)%2 == 0 {
			http.Error(w, strings.Repeat("x", 30_000), http.StatusNotFound)
			return
		}
		answer(text, "up 1\n")(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	s, err := scrape.New(scrape.Config{URL: server.URL, Policy: once()})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		_, _ = s.Fetch(t.Context())
	}
	if connections.Load() != 1 {
		t.Errorf("%d connections for 10 scrapes", connections.Load())
	}
}

func TestNewRefuses(t *testing.T) {
	for want, c := range map[string]scrape.Config{
		`URL "": want http://HOST/PATH`:      {},
		`URL "localhost:9100": want http`:    {URL: "localhost:9100"},
		`URL "ftp://x/": want http`:          {URL: "ftp://x/"},
		`URL "http://": want http`:           {URL: "http://"},
		"URL: parse":                         {URL: "http://x/%zz"},
		"MaxBody -1 is negative; 0 means":    {URL: "http://x", MaxBody: -1},
		"MaxSamples -1 is negative; 0 means": {URL: "http://x", MaxSamples: -1},
	} {
		if _, err := scrape.New(c); !errors.Is(err, scrape.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %s", c, err, want)
		}
	}
}
