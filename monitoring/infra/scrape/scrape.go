package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/retry"
)

// Config is a Scraper's configuration; all but URL may be zero.
type Config struct {
	URL         string        // http or https; required
	Client      *http.Client  // nil = one of its own, without a proxy, with at most 5 redirects
	Policy      *retry.Policy // of one scrape; nil = 3 attempts, 50ms to 1s apart
	MaxBody     int64         // bytes of an answer, unpacked; 0 = 32 MiB
	MaxSamples  int           // of an answer; 0 = 200,000
	BearerToken string        // sent as Authorization; "" = none. Without TLS it travels in the clear
}

const (
	defaultMaxBody    = 32 << 20
	defaultMaxSamples = 200_000
	// OpenMetrics is not asked for: every target that has it has the text format too, and the parser of
	// package expfmt does not know all of OpenMetrics and takes a millisecond for each line of it.
	accept = "text/plain;version=0.0.4;q=0.9,*/*;q=0.1"
)

// Errors of a scrape.
var (
	ErrConfig   = errors.New("scrape configuration")
	ErrStatus   = errors.New("unexpected status")
	ErrTooLarge = errors.New("answer is too large")
	ErrFormat   = errors.New("answer is not in a known exposition format")
)

// Scraper reads one target. It is safe for concurrent use.
type Scraper struct {
	c Config
}

var _ app.Fetcher = (*Scraper)(nil)

// New makes a Scraper. Its errors match [ErrConfig] and name the field.
func New(c Config) (*Scraper, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: URL: %w", ErrConfig, err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("%w: URL %q: want http://HOST/PATH or https://HOST/PATH", ErrConfig, c.URL)
	case c.MaxBody < 0:
		return nil, fmt.Errorf("%w: MaxBody %d is negative; 0 means %d", ErrConfig, c.MaxBody, defaultMaxBody)
	case c.MaxSamples < 0:
		return nil, fmt.Errorf("%w: MaxSamples %d is negative; 0 means %d", ErrConfig, c.MaxSamples, defaultMaxSamples)
	}
	if c.Client == nil {
		c.Client = newClient()
	}
	if c.Policy == nil {
		c.Policy = &retry.Policy{
			Name: "scrape", MaxAttempts: 3,
			Backoff: retry.Exponential(50*time.Millisecond, time.Second),
			Budget:  new(retry.Budget),
		}
	}
	if c.MaxBody == 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.MaxSamples == 0 {
		c.MaxSamples = defaultMaxSamples
	}
	return &Scraper{c}, nil
}

func newClient() *http.Client {
	t := &http.Transport{
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   1,
		IdleConnTimeout:       5 * time.Minute,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 0, // the caller's deadline judges
	}
	return &http.Client{Transport: t, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) >= 5 {
			return errors.New("more than 5 redirects")
		}
		return nil
	}}
}

// Fetch scrapes the target.
func (s *Scraper) Fetch(ctx context.Context) (app.Observation, error) {
	o, err := retry.DoValue(ctx, s.c.Policy, s.once)
	if err != nil {
		return app.Observation{}, plain(err)
	}
	return o, nil
}

// plain leaves out what the page does not need: that a failure was met by one attempt.
func plain(err error) error {
	if e, ok := errors.AsType[*retry.Error](err); ok && e.Attempts == 1 && len(e.Errs) > 0 {
		return e.Errs[0]
	}
	return err
}

// once is one attempt.
func (s *Scraper) once(ctx context.Context) (app.Observation, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.c.URL, http.NoBody)
	if err != nil {
		return app.Observation{}, retry.Stop(fmt.Errorf("%w: URL: %w", ErrConfig, err))
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "once-monitor")
	if s.c.BearerToken != "" {
		req.Header.Set("Authorization", "Bearer "+s.c.BearerToken)
	}
	if deadline, ok := ctx.Deadline(); ok {
		req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(time.Until(deadline).Seconds(), 'f', 3, 64))
	}
	resp, err := s.c.Client.Do(req)
	if err != nil {
		return app.Observation{}, shorten(err)
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
		_ = resp.Body.Close()
	}()
	if resp.StatusCode != http.StatusOK {
		return app.Observation{}, statusError(resp)
	}
	body := &capped{r: resp.Body, left: s.c.MaxBody}
	samples, err := parse(body, resp.Header, s.c.MaxSamples)
	if err != nil {
		return app.Observation{}, err
	}
	return app.Observation{Samples: samples}, nil
}

// shorten takes the method and the URL off a client's error: whoever reads it knows the target.
func shorten(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// statusError says what a status other than 200 means for a repeat.
func statusError(resp *http.Response) error {
	err := fmt.Errorf("%w: %s", ErrStatus, resp.Status)
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return retry.Stop(err)
	}
	if seconds, e := strconv.Atoi(resp.Header.Get("Retry-After")); e == nil && seconds >= 0 {
		return retry.After(err, time.Duration(seconds)*time.Second)
	}
	return err
}

// capped reads at most left bytes and fails, not ends, beyond.
type capped struct {
	r    io.Reader
	left int64
	err  error
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		if n, err := c.r.Read(make([]byte, 1)); n == 0 {
			c.err = err
			return 0, err
		}
		c.err = retry.Stop(ErrTooLarge)
		return 0, c.err
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.err = err
	return n, err
}
