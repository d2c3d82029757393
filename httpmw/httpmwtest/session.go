package httpmwtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// session is a Target at work.
type session struct{ Target }

// reply is an answer read whole.
type reply struct {
	status int
	header http.Header
	body   string
}

// unreachableError says that the service did not answer at all, or that the check was ended.
type unreachableError struct{ err error }

func (e *unreachableError) Error() string { return "httpmwtest: no answer: " + e.err.Error() }
func (e *unreachableError) Unwrap() error { return e.err }

// newKey is a key that nobody has used: 26 characters of 5 random bits.
func newKey() string { return rand.Text() }

func quoted(key string) string { return `"` + key + `"` }

// ask is one request: payload n, under the header lines given for the key.
type ask struct {
	n      int
	keys   []string
	header http.Header // nil = Target.Header
}

func (s *session) request(ctx context.Context, a ask) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, s.Method, s.URL, bytes.NewReader(s.Body(a.n)))
	if err != nil {
		return nil, fmt.Errorf("httpmwtest: %w", err)
	}
	header := a.header
	if header == nil {
		header = s.Header
	}
	if header != nil {
		r.Header = header.Clone()
	}
	r.Header.Set("Content-Type", s.ContentType)
	if a.keys != nil {
		r.Header["Idempotency-Key"] = a.keys
	}
	r.GetBody = nil // else net/http repeats requests with a key by itself
	return r, nil
}

func (s *session) send(ctx context.Context, a ask) (reply, error) {
	r, err := s.request(ctx, a)
	if err != nil {
		return reply{}, err
	}
	resp, err := s.Client.Do(r)
	if err != nil {
		return reply{}, &unreachableError{err}
	}
	defer func() { _ = resp.Body.Close() }()
	const most = 16 << 20
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return reply{}, &unreachableError{err}
	}
	return reply{resp.StatusCode, resp.Header, string(body)}, nil
}

// once sends payload n with a quoted key.
func (s *session) once(ctx context.Context, n int, key string) (reply, error) {
	return s.send(ctx, ask{n: n, keys: []string{quoted(key)}})
}

// first sends payload 0 with a new key, which has to succeed.
func (s *session) first(ctx context.Context) (key string, r reply, err error) {
	key = newKey()
	r, err = s.once(ctx, 0, key)
	if err == nil && !r.succeeded() {
		err = fmt.Errorf("the first request was answered with %s", r)
	}
	return key, r, err
}

func (r reply) succeeded() bool { return r.status >= 200 && r.status < 300 }

// same reports whether r is the same answer as other.
func (r reply) same(other reply) bool { return r.status == other.status && r.body == other.body }

// marked reports whether r says of itself that it is a replay.
func (r reply) marked() bool {
	return strings.EqualFold(r.header.Get("Idempotent-Replayed"), "true") || strings.EqualFold(r.header.Get("Idempotency-Replayed"), "true")
}

// explains reports whether r links to documentation, or is a problem document.
func (r reply) explains() bool {
	if strings.HasPrefix(r.header.Get("Content-Type"), "application/problem+") {
		return true
	}
	for _, link := range r.header.Values("Link") {
		if strings.Contains(link, "describedby") {
			return true
		}
	}
	return false
}

func (r reply) String() string {
	const most = 200
	body := r.body
	if len(body) > most {
		body = body[:most] + "..."
	}
	return fmt.Sprintf("%d %q", r.status, body)
}

// count is how many effects there were until now; 0 if nobody can tell.
func (s *session) count(ctx context.Context) (int, error) {
	if s.Effects == nil {
		return 0, nil
	}
	n, err := s.Effects(ctx)
	if err != nil {
		return 0, fmt.Errorf("Target.Effects: %w", err)
	}
	return n, nil
}

// tookEffect checks that the effects since before are as many as they should be.
func (s *session) tookEffect(ctx context.Context, before, want int) error {
	if s.Effects == nil {
		return nil
	}
	after, err := s.count(ctx)
	if err == nil && after-before != want {
		err = fmt.Errorf("the operation took effect %d times, want %d", after-before, want)
	}
	return err
}
