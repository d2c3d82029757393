package outboxhttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Config is a Publisher's configuration. URL is required; every other zero value works.
type Config struct {
	// URL is the receiver: http or https, with a host, without credentials and fragment. It
	// may be a secret itself, so errors name its host only.
	URL string

	// Secrets sign every request; make one with [NewSecret]. A request carries one
	// signature a secret, so a secret is rotated by listing the new one first until the
	// receiver knows it, then dropping the old. None = unsigned.
	Secrets []string

	// Header is sent with every request, for instance Authorization. It overrules what a
	// message brings, and may hold the default Content-Type, which else is
	// application/json. What the protocol itself sends cannot be set.
	Header http.Header

	// Client makes the requests. It is copied, so that redirects can be refused. nil, or
	// one with a nil Transport = a transport of the publisher's own: without a proxy,
	// with the guard against private addresses.
	Client *http.Client

	// Timeout bounds one request, together with what the relay allows. 0 = 20s. The
	// relay's is less unless [outbox.RelayConfig.LeaseTTL] is 40s or more.
	Timeout time.Duration

	// Parallel is how many requests of one batch are under way at a time. 0 = 8.
	Parallel int

	// AllowPrivate lets requests go to addresses that are not on the public internet:
	// loopback, private, link-local and other special ones. Else they are refused when
	// they are dialed, so that no name and no redirection of a name leads there. A Client
	// with a Transport of its own dials for itself: AllowPrivate must then be set, to say
	// that this is known. [PublicOnly] puts the guard into its dialer.
	AllowPrivate bool
}

// New makes a Publisher. The error names the field of c that is wrong.
func New(c Config) (*Publisher, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("outboxhttp: Config."+format, args...))
	}
	target, err := parseURL(c.URL)
	if err != nil {
		bad("URL %w", err)
	}
	keys, err := parseSecrets(c.Secrets)
	if err != nil {
		bad("Secrets%w", err)
	}
	for name, values := range c.Header {
		if err := checkHeader(name, values); err != nil {
			bad("Header %w", err)
		}
	}
	if c.Timeout < 0 {
		bad("Timeout is negative (%v): use 0 for 20s", c.Timeout)
	}
	if c.Parallel < 0 || c.Parallel > maxParallel {
		bad("Parallel is %d: it must be 1 to %d, or 0 for 8", c.Parallel, maxParallel)
	}
	if c.Client != nil && c.Client.Transport != nil && !c.AllowPrivate {
		bad("Client has a Transport of its own, which the guard against private addresses cannot see into: " +
			"set AllowPrivate as well, and PublicOnly in the Transport's dialer if the guard is wanted")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second
	}
	if c.Parallel == 0 {
		c.Parallel = 8
	}
	return &Publisher{
		url:      target.String(),
		host:     target.Host,
		signer:   keys,
		header:   canonical(c.Header),
		client:   client(c),
		timeout:  c.Timeout,
		parallel: c.Parallel,
		secrets:  redactions(c),
	}, nil
}

const maxParallel = 1024

func parseURL(s string) (*url.URL, error) {
	if s == "" {
		return nil, errors.New("is empty: it must be the receiver's address, as in https://example.com/hooks")
	}
	u, err := url.Parse(s)
	if parse, ok := errors.AsType[*url.Error](err); ok {
		err = parse.Err // without the address
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be parsed: %w", err)
	case u.Scheme == "" || u.Host == "" && u.Opaque != "":
		return nil, errors.New("has no scheme: it must begin with https:// or http://")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("has the scheme %q: it must be https or http", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("holds credentials: put them into Header, as Authorization")
	case u.Fragment != "":
		return nil, errors.New("has a fragment, which is never sent: remove what follows #")
	}
	return u, nil
}

func client(c Config) *http.Client {
	var copied http.Client
	if c.Client != nil {
		copied = *c.Client
	}
	if copied.Transport == nil {
		copied.Transport = transport(c)
	}
	copied.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &copied
}

func transport(c Config) http.RoundTripper {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if !c.AllowPrivate {
		dialer.ControlContext = func(_ context.Context, network, address string, raw syscall.RawConn) error {
			return PublicOnly(network, address, raw)
		}
	}
	return &http.Transport{
		// No Proxy: it would dial for us, past the guard.
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // nothing of an answer is worth unpacking
	}
}

func canonical(h http.Header) http.Header {
	c := http.Header{}
	for name, values := range h {
		for _, v := range values {
			c.Add(name, v)
		}
	}
	return c
}

// redactions are strings that no error may show, also if a receiver echoes them.
func redactions(c Config) *strings.Replacer {
	var pairs []string
	hide := func(s string) {
		if len(s) >= 8 { // shorter ones would blacken plain text
			pairs = append(pairs, s, "[redacted]")
		}
	}
	for _, s := range c.Secrets {
		hide(s)
		hide(strings.TrimPrefix(s, secretPrefix))
	}
	for name, values := range c.Header {
		if http.CanonicalHeaderKey(name) == "Content-Type" {
			continue
		}
		for _, v := range values {
			hide(v)
			if _, credential, found := strings.Cut(v, " "); found {
				hide(credential)
			}
		}
	}
	return strings.NewReplacer(pairs...)
}
