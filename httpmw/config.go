package httpmw

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/once/idem"
)

// HeaderKey is the request header of draft-ietf-httpapi-idempotency-key-header-07.
const HeaderKey = "Idempotency-Key"

// HeaderReplayed marks an answer that comes from the record ("true"). The first answer
// does not carry it; a client that sends it changes nothing.
const HeaderReplayed = "Idempotent-Replayed"

// IdempotencyConfig configures an [Idempotency]; the zero value works.
type IdempotencyConfig struct {
	// Methods that are covered; nil = POST and PATCH. Requests with another method pass
	// through even with a key.
	Methods []string
	// Headers that may carry the key; nil = Idempotency-Key. A request that gives
	// different keys in two of them is answered with 400.
	Headers []string
	// Strict refuses keys that are not a quoted string, as the draft wants it; false =
	// `abc` and `"abc"` are the same key.
	Strict bool
	// Required answers covered requests without a key with 400; false = they pass through.
	Required bool
	// KeyRule checks a key after its syntax; nil = any. A [Refusal] chooses the answer, any other
	// error is 400 key-invalid. See [FreshUUIDv7].
	KeyRule func(key string) error
	// KeyFromBody finds the key of a request that has none in its headers; nil = not at all. It is called
	// once the body has been read whole; "" means that there is no key.
	KeyFromBody func(r *http.Request, body io.Reader) (string, error)
	// ScopeByRoute makes equal keys on two routes (method and ServeMux pattern; the path,
	// outside of a mux) two keys; false = the second use is a mismatch, 422.
	ScopeByRoute bool

	// Fingerprint of the body; nil = [MultipartParts] for multipart/form-data, else [RawBody].
	Fingerprint Fingerprint
	// FingerprintKey makes fingerprints HMACs under this key, at least 16 bytes; nil = plain
	// SHA-256. With it a stolen store cannot be searched for the bodies of requests. A change
	// of the key turns the retries of earlier requests into mismatches.
	FingerprintKey []byte

	// MaxBody is the largest request body, in bytes; 0 = 1 MiB, negative = no limit. More is
	// answered with 413.
	MaxBody int64
	// MaxMemory is how much of a request body is held in memory, in bytes; 0 = 1 MiB,
	// negative = all of it. Larger bodies go to a private temporary file.
	MaxMemory int64
	// SpoolDir is where such files are made; "" = os.TempDir().
	SpoolDir string
	// BodyTimeout limits how long the body may take to arrive; 0 = as the server does. No key is
	// held meanwhile.
	BodyTimeout time.Duration

	// MaxResponse is the largest answer that is recorded, headers included, in bytes; 0 = 1 MiB.
	// A larger one goes through to the first caller, and its retries get 409
	// result-unavailable; in a transaction it is rolled back, 500. Keep it at or below
	// idem.Config.MaxResult.
	MaxResponse int
	// BufferFlushes makes Flush do nothing as long as the answer fits MaxResponse, so that it is
	// recorded; false = a flushed answer goes through, and its retries get 409
	// result-unavailable. Set it around reverse proxies, which flush out of habit.
	BufferFlushes bool
	// Record decides what becomes of a key by the answer; nil = [RecordByStatus]. A result
	// other than the four outcomes counts as Release. The header must not be changed.
	Record func(status int, h http.Header) Outcome
	// KeepHeader says whether a header (canonical name) may be stored; nil = every one that
	// is not on the list of those that never are, which it cannot override.
	KeepHeader func(name string) bool

	// Wait is how long a request waits for an earlier one with its key to be answered; 0 =
	// not at all, 409 as the draft has it. It is used instead of idem.Config.Wait;
	// idem.Config.MaxWaiters applies.
	Wait time.Duration
	// StoreTimeout is how long the claim of a key may take, besides Wait; 0 = 5 s, negative = no
	// limit. A store that takes longer counts as failing.
	StoreTimeout time.Duration
	// RetryAfter is the longest Retry-After sent for a key in flight; 0 = 1 s.
	RetryAfter time.Duration
	// Linger is how long a handler may go on after its client has gone; 0 = 1 min, negative = not at all: its
	// context is the request's. The outcome is recorded in any case.
	Linger time.Duration

	// UnsafeFailOpen lets requests run without protection while the store fails, if it
	// reports true; nil = never: they are answered with 503. Not for transactions.
	UnsafeFailOpen func(*http.Request) bool
	// Authorize is asked before a recorded answer is handed out again; nil = no. A [Refusal]
	// chooses the answer, any other error is 403. The first request is the handler's own matter.
	Authorize func(*http.Request) error
	// AfterCommit is called after a handler's transaction has been committed, before the
	// answer is sent, to wake a relay for example; nil = nothing. Only for transactions.
	AfterCommit func(context.Context)

	// Docs is the address of the page that tells clients how keys work here, an absolute
	// URL; it is sent with every problem. "" = none.
	Docs string
	// Problem answers with a problem in another form; nil = application/problem+json. The
	// answer must not hold the key.
	Problem func(http.ResponseWriter, *http.Request, Problem)
	// Observe is called when a request with a key has been answered; nil = not. It is
	// called synchronously, also for requests that panicked.
	Observe func(context.Context, IdempotencyEvent)
	// Logger for what the operator should know; nil = discard. Keys are logged as
	// digests.
	Logger *slog.Logger
}

// IdempotencyEvent tells how a request with a key ended.
type IdempotencyEvent struct {
	// Result is one of the Result constants, or the code of the problem that was answered.
	Result string
	// Key is the digest that the store knows the key by; "" if it did not come to that.
	Key idem.Key
	// Info is the Guard's report.
	Info idem.Info
	// Err is what went wrong, if anything did. It may be set for Result values of
	// success: an answer that was sent but could not be recorded.
	Err error
}

// The results of requests that were not answered with a problem.
const (
	ResultFirst       = "first"       // the handler ran and its answer was recorded
	ResultTombstone   = "tombstone"   // the handler ran, and only the fact was recorded
	ResultReplayed    = "replayed"    // the recorded answer was sent
	ResultReleased    = "released"    // the handler ran; the answer was not recorded, as decided
	ResultUnrecorded  = "unrecorded"  // the handler ran; recording the answer failed or is unconfirmed
	ResultUnprotected = "unprotected" // UnsafeFailOpen
	ResultNested      = "nested"      // passed through: an outer Idempotency over the same store serves it
	ResultPanicked    = "panicked"    // the handler panicked; the key was released
	ResultGone        = "gone"        // the client left before anything was done
)

// prepared is a configuration, checked, with its defaults filled in.
func prepared(c IdempotencyConfig, tx bool) (IdempotencyConfig, error) {
	c.Methods = slices.Clone(c.Methods)
	if c.Methods == nil {
		c.Methods = []string{http.MethodPost, http.MethodPatch}
	}
	for _, m := range c.Methods {
		if m == "" || m != strings.ToUpper(m) || strings.ContainsAny(m, " ,") {
			return c, fmt.Errorf("httpmw: IdempotencyConfig.Methods: %q is not an HTTP method in capitals", m)
		}
	}
	c.Headers = slices.Clone(c.Headers)
	if c.Headers == nil {
		c.Headers = []string{HeaderKey}
	}
	for i, h := range c.Headers {
		if h == "" || strings.ContainsAny(h, " :,;\"\r\n\t") {
			return c, fmt.Errorf("httpmw: IdempotencyConfig.Headers: %q is not a header name", h)
		}
		c.Headers[i] = textproto.CanonicalMIMEHeaderKey(h)
	}
	if len(c.Headers) == 0 && c.KeyFromBody == nil {
		return c, errors.New("httpmw: IdempotencyConfig.Headers is empty and KeyFromBody is nil: there is no place for a key; leave Headers nil for Idempotency-Key")
	}
	if c.FingerprintKey != nil && len(c.FingerprintKey) < 16 {
		return c, fmt.Errorf("httpmw: IdempotencyConfig.FingerprintKey has %d bytes: give at least 16, or nil", len(c.FingerprintKey))
	}
	c.FingerprintKey = slices.Clone(c.FingerprintKey)
	if tx && c.UnsafeFailOpen != nil {
		return c, errors.New("httpmw: IdempotencyConfig.UnsafeFailOpen: a handler cannot run without its transaction; leave it nil")
	}
	if !tx && c.AfterCommit != nil {
		return c, errors.New("httpmw: IdempotencyConfig.AfterCommit: there is no commit without NewTxIdempotency; leave it nil")
	}
	if c.Docs != "" {
		u, err := url.Parse(c.Docs)
		if err != nil || !u.IsAbs() || u.Fragment != "" || strings.ContainsAny(c.Docs, "<>\" \r\n") {
			return c, fmt.Errorf("httpmw: IdempotencyConfig.Docs: %q is not an absolute URL without a fragment", c.Docs)
		}
	}
	return c, c.fillLimits()
}

const mebibyte = 1 << 20

func (c *IdempotencyConfig) fillLimits() error {
	for _, limit := range []struct {
		name  string
		value *int64
	}{{"MaxBody", &c.MaxBody}, {"MaxMemory", &c.MaxMemory}} {
		switch {
		case *limit.value == 0:
			*limit.value = mebibyte
		case *limit.value < 0:
			*limit.value = math.MaxInt64 - 1
		}
	}
	switch {
	case c.MaxResponse == 0:
		c.MaxResponse = mebibyte
	case c.MaxResponse < 1<<10 || c.MaxResponse > math.MaxInt32:
		return fmt.Errorf("httpmw: IdempotencyConfig.MaxResponse is %d: give 1024 to %d bytes, or 0 for 1 MiB", c.MaxResponse, math.MaxInt32)
	}
	if c.Wait < 0 {
		return fmt.Errorf("httpmw: IdempotencyConfig.Wait is %v: give 0 for no waiting", c.Wait)
	}
	if c.BodyTimeout < 0 {
		return fmt.Errorf("httpmw: IdempotencyConfig.BodyTimeout is %v: give 0 for none", c.BodyTimeout)
	}
	switch {
	case c.RetryAfter == 0:
		c.RetryAfter = time.Second
	case c.RetryAfter < 0:
		return fmt.Errorf("httpmw: IdempotencyConfig.RetryAfter is %v: it has to be positive", c.RetryAfter)
	}
	if c.StoreTimeout == 0 {
		c.StoreTimeout = 5 * time.Second
	}
	if c.Linger == 0 {
		c.Linger = time.Minute
	}
	if c.Record == nil {
		c.Record = RecordByStatus
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}
