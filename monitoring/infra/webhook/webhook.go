package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxhttp"
)

// Config is a sink's configuration. URL is required; every other zero value works.
type Config struct {
	// URL is the receiver: http or https, without credentials. It may lie in a private
	// network, since an operator sets it and nobody else.
	URL string
	// Secrets sign every request, the newest first; each is whsec_ followed by the secret in
	// base64. None = unsigned.
	Secrets []string
	// Header is sent with every request, for instance Authorization.
	Header http.Header
	// Timeout bounds one request, together with what the relay allows. 0 = 20s.
	Timeout time.Duration
	// Client makes the requests. It is copied, so that redirects can be refused. nil = one
	// of its own.
	Client *http.Client
}

// ErrConfig is matched by every error that [New] returns.
var ErrConfig = errors.New("webhook configuration")

// New makes the publisher of a sink. Its errors match [ErrConfig] and name the field.
func New(c Config) (outbox.Publisher, error) {
	p, err := outboxhttp.New(outboxhttp.Config{
		URL: c.URL, Secrets: c.Secrets, Header: c.Header, Timeout: c.Timeout, Client: c.Client, AllowPrivate: true,
	})
	if err != nil {
		// The fields are those of this package's Config; a reader of the message has no
		// use for the name of the other one.
		text := strings.ReplaceAll(err.Error(), "outboxhttp: Config.", "")
		return nil, fmt.Errorf("%w: %s", ErrConfig, strings.ReplaceAll(text, "\n", "; "))
	}
	return p, nil
}
