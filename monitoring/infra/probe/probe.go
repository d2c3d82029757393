package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/retry"
)

// Config is a Prober's configuration; all but URL may be zero.
type Config struct {
	URL         string            // http or https; required
	Method      string            // "" = GET
	Header      map[string]string // sent with the request
	Status      []int             // accepted; nil = 200 to 299
	BodyMatches *regexp.Regexp    // must be found in the body; nil = the body does not matter
	NoRedirects bool              // the first answer counts; false = at most 10 are followed
	MaxBody     int64             // bytes looked at; 0 = 1 MiB. What comes after is not read
	Client      *http.Client      // nil = one of its own that opens a new connection each time
	Policy      *retry.Policy     // nil = one attempt: what fails is what is to be seen
}

const (
	defaultMaxBody = 1 << 20
	maxRedirects   = 10
)

// ErrConfig is matched by every error that [New] returns.
var ErrConfig = errors.New("probe configuration")

// errBody is the problem of an answer whose body does not match.
var errBody = errors.New("the body does not match the pattern")

// Prober probes one endpoint. It is safe for concurrent use.
type Prober struct{ c Config }

var _ app.Fetcher = (*Prober)(nil)

// New makes a Prober. Its errors match [ErrConfig] and name the field.
func New(c Config) (*Prober, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: URL: %w", ErrConfig, err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("%w: URL %q: want http://HOST/PATH or https://HOST/PATH", ErrConfig, c.URL)
	case c.MaxBody < 0:
		return nil, fmt.Errorf("%w: MaxBody %d is negative; 0 means %d", ErrConfig, c.MaxBody, defaultMaxBody)
	}
	for _, s := range c.Status {
		if s < 100 || s > 599 {
			return nil, fmt.Errorf("%w: Status %d is not between 100 and 599", ErrConfig, s)
		}
	}
	if c.Method == "" {
		c.Method = http.MethodGet
	}
	if _, err := http.NewRequestWithContext(context.Background(), c.Method, c.URL, http.NoBody); err != nil {
		return nil, fmt.Errorf("%w: Method: %w", ErrConfig, err)
	}
	if c.MaxBody == 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.Client == nil {
		// A new connection each time: an old one would hide that the endpoint takes none.
		c.Client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true}}
	}
	client := *c.Client
	client.CheckRedirect = func(_ *http.Request, via []*http.Request) error {
		if c.NoRedirects {
			return http.ErrUseLastResponse
		}
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil
	}
	c.Client = &client
	c.Status = slices.Clone(c.Status)
	if c.Policy == nil {
		c.Policy = &retry.Policy{Name: "probe", MaxAttempts: 1}
	}
	return &Prober{c}, nil
}

// seen is what one attempt saw.
type seen struct {
	status    int
	redirects int
	length    int64
	tls       bool
	expiry    time.Time // of the certificate that expires first; zero = none
	bodyBad   bool
}

// Fetch probes the endpoint. It returns an error only if the caller's context was
// cancelled, so that nothing was learnt.
func (p *Prober) Fetch(ctx context.Context) (app.Observation, error) {
	var last seen
	start := time.Now()
	err := retry.Do(ctx, p.c.Policy, func(ctx context.Context) error {
		var err error
		last, err = p.once(ctx)
		return err
	})
	took := time.Since(start)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return app.Observation{}, fmt.Errorf("probe: %w", context.Cause(ctx))
	}
	o := app.Observation{Samples: p.samples(last, err == nil, took)}
	if err != nil {
		o.Problem = problem(ctx, err)
	}
	return o, nil
}

// problem says in short what was wrong.
func problem(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return "timeout: " + context.Cause(ctx).Error()
	}
	if e, ok := errors.AsType[*retry.Error](err); ok && len(e.Errs) > 0 {
		err = e.Errs[len(e.Errs)-1]
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return err.Error()
}

// once is one attempt.
func (p *Prober) once(ctx context.Context) (seen, error) {
	var s seen
	req, err := http.NewRequestWithContext(ctx, p.c.Method, p.c.URL, http.NoBody)
	if err != nil {
		return s, fmt.Errorf("request: %w", err)
	}
	req.Header.Set("User-Agent", "once-monitor")
	for name, value := range p.c.Header {
		req.Header.Set(name, value)
	}
	resp, err := p.c.Client.Do(req)
	if err != nil {
		return s, err //nolint:wrapcheck // its text becomes the problem
	}
	defer func() { _ = resp.Body.Close() }()
	s.status, s.length = resp.StatusCode, resp.ContentLength
	for r := resp.Request.Response; r != nil; r = r.Request.Response {
		s.redirects++
	}
	if t := resp.TLS; t != nil {
		s.tls = true
		for _, c := range t.PeerCertificates {
			if s.expiry.IsZero() || c.NotAfter.Before(s.expiry) {
				s.expiry = c.NotAfter
			}
		}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, p.c.MaxBody))
	if err != nil {
		return s, fmt.Errorf("reading the body: %w", err)
	}
	if !p.accepts(s.status) {
		return s, fmt.Errorf("unexpected status %s", resp.Status)
	}
	if p.c.BodyMatches != nil && !p.c.BodyMatches.Match(body) {
		s.bodyBad = true
		return s, errBody
	}
	return s, nil
}

func (p *Prober) accepts(status int) bool {
	if p.c.Status == nil {
		return status >= 200 && status <= 299
	}
	return slices.Contains(p.c.Status, status)
}

func (p *Prober) samples(s seen, success bool, took time.Duration) []domain.Sample {
	var out []domain.Sample
	add := func(name string, value float64) {
		out = append(out, domain.Sample{Labels: domain.LabelsOf(domain.MetricName, name), Value: value})
	}
	flag := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	add("probe_success", flag(success))
	add("probe_duration_seconds", took.Seconds())
	add("probe_http_status_code", float64(s.status))
	add("probe_http_redirects", float64(s.redirects))
	add("probe_http_content_length", float64(s.length))
	add("probe_http_ssl", flag(s.tls))
	if !s.expiry.IsZero() {
		add("probe_ssl_earliest_cert_expiry", float64(s.expiry.Unix()))
		add("probe_ssl_expires_in_seconds", time.Until(s.expiry).Seconds())
	}
	if p.c.BodyMatches != nil {
		add("probe_failed_due_to_regex", flag(s.bodyBad))
	}
	return out
}
