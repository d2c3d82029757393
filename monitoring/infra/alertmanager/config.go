package alertmanager

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"example.com/once/monitoring/app"
)

// Config is a Publisher's configuration. URL is required; every other zero value works.
type Config struct {
	// URL is the instance, as in http://alertmanager:9093, with the prefix of its route if
	// it has one; what follows, /api/v2/alerts, is added.
	URL string
	// Header is sent with every request, for instance Authorization.
	Header http.Header
	// Page returns the address of an alert's page, for people who see the alert in
	// Alertmanager, or "" if there is none. nil = no alert has one.
	Page func(app.AlertRef) string
	// Refresh is how often a [Refresher] posts the alerts that fire. Alertmanager is told
	// that they hold four times as long, so that it outlives three posts that fail.
	// 0 = 30s.
	Refresh time.Duration
	// Timeout bounds one request. 0 = 10s.
	Timeout time.Duration
	// Client makes the requests. It is copied, so that redirects can be refused. nil = one
	// of its own.
	Client *http.Client
}

const (
	apiPath        = "/api/v2/alerts"
	defaultRefresh = 30 * time.Second
	minRefresh     = 100 * time.Millisecond
	defaultTimeout = 10 * time.Second
	// holds is how many refreshes a firing alert holds without being posted again.
	holds = 4
)

// ErrConfig is matched by every error that [New] returns.
var ErrConfig = errors.New("alertmanager configuration")

// New makes a Publisher for one instance. Its errors match [ErrConfig] and name the field.
func New(c Config) (*Publisher, error) {
	u, err := endpoint(c.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: URL %w", ErrConfig, err)
	case c.Refresh < 0 || c.Refresh > 0 && c.Refresh < minRefresh:
		return nil, fmt.Errorf("%w: Refresh is %v: it must be at least %v, or 0 for %v", ErrConfig, c.Refresh, minRefresh, defaultRefresh)
	case c.Timeout < 0:
		return nil, fmt.Errorf("%w: Timeout is negative (%v): use 0 for %v", ErrConfig, c.Timeout, defaultTimeout)
	}
	for name, values := range c.Header {
		for _, v := range values {
			if !sendable(name, v) {
				return nil, fmt.Errorf("%w: Header %q cannot be sent: it holds characters that a header must not", ErrConfig, name)
			}
		}
	}
	if c.Refresh == 0 {
		c.Refresh = defaultRefresh
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	var client http.Client
	if c.Client != nil {
		client = *c.Client
	} else {
		client.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: defaultTimeout,
		}
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Publisher{
		endpoint: u.String(), host: u.Host, header: c.Header.Clone(), page: c.Page,
		refresh: c.Refresh, timeout: c.Timeout, client: &client,
	}, nil
}

// endpoint is where an instance takes alerts.
func endpoint(s string) (*url.URL, error) {
	if s == "" {
		return nil, errors.New("is empty: it must be the instance's address, as in http://alertmanager:9093")
	}
	u, err := url.Parse(s)
	var parse *url.Error
	switch {
	case errors.As(err, &parse):
		return nil, fmt.Errorf("%q cannot be parsed: %w", s, parse.Err)
	case err != nil:
		return nil, fmt.Errorf("%q cannot be parsed: %w", s, err)
	case u.User != nil: // and not shown, since it may hold a password
		return nil, errors.New("holds credentials: put them into Header, as Authorization")
	case u.Scheme == "" || u.Host == "" && u.Opaque != "":
		return nil, fmt.Errorf("%q has no scheme: it must begin with http:// or https://", s)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q has the scheme %q: it must be http or https", s, u.Scheme)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q has no host", s)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q has a query or a fragment: remove what follows the path", s)
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), apiPath)
	return u.JoinPath(apiPath), nil
}

// sendable says whether a header can go over the wire.
func sendable(name, value string) bool {
	return name != "" && !strings.ContainsAny(name, " \t\r\n:\x00") &&
		strings.IndexFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
}
