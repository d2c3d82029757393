package httpmw

import (
	"net/http"
	"time"

	"example.com/once/retry"

	"github.com/google/uuid"
)

// Transport is an [http.RoundTripper] that repeats requests where repeating is safe. Put it
// into an http.Client. The zero value works; use it by pointer. It is safe for concurrent
// use as long as nobody writes to its fields, and must not be copied after first use.
//
// What is repeated depends on what may have happened. GET, HEAD, OPTIONS, TRACE, PUT and
// DELETE are idempotent, and so is every request that carries an Idempotency-Key; they are
// repeated after connection errors and after answers that say "not now" (see
// [StatusError.Verdict]). Anything else is repeated only after failures that surely had no
// effect: when no connection came about, so that nothing was sent, and after 421, 425 and
// 429. A key header with an empty slice for its value declares a request idempotent
// without sending anything, as it does for net/http.
//
// The last answer is handed over whole, whatever its status: when attempts, budget or time
// run out after a 503, the caller gets that 503 to read, without an error. An error means
// that the last attempt got no answer, or that the request's context ended or the breaker
// refused while waiting; it is a *[retry.Error] with the errors of all attempts, or the bare
// error of one that repeating cannot help. An answer that is a replay (see [HeaderReplayed])
// is final, even a failure: repeating would replay it again.
//
// The request is never modified; an attempt that has to change something sends a copy. From the second attempt on the
// copy carries [HeaderAttempt]. A body that comes without GetBody is recorded while it is
// sent; one that is longer than MaxBody is sent once. Answers that are not handed over are
// drained, up to 4 KiB and 100 ms, and closed before the wait. Retry-After is honoured, in
// seconds and as a date, up to the policy's MaxRetryAfter; 429 without one waits at least a
// second. No wait is begun that the request's deadline, http.Client.Timeout included, would
// cut off.
//
// A redirect is followed by the http.Client: every hop is a call of its own here, with
// attempts and, if Key adds one, a key of its own. net/http also repeats some requests by
// itself, at most while a reused connection turns out to be dead or a server goes away
// (GOAWAY): such a repeat happens inside one attempt, under net/http's rules, which are
// stricter than those above, and is not counted.
type Transport struct {
	// Base sends each attempt; nil = http.DefaultTransport.
	Base http.RoundTripper
	// Policy says how often and how long; nil = the zero Policy: 3 attempts. Its NonIdempotent holds for
	// all requests if set. Its AttemptTimeout bounds the time to the header of the answer; the
	// attempt's context lives on until the body is closed. Its Classify gets a *[StatusError] for
	// every answer from 400 up, and may be asked twice about one; Undecided leaves such an error
	// to [StatusError.Verdict].
	Policy *retry.Policy
	// Key returns the value of the Idempotency-Key header to add to a request that is not
	// idempotent and carries none; "" = none for this one. It is called once a call; all attempts
	// send the same. nil = no key is ever added: a key is a claim that the server honours it. See [NewKey].
	Key func(*http.Request) string
	// MaxBody is how many bytes of a request body are recorded for repeats when the request has no
	// GetBody; 0 = 1 MiB, negative = none.
	MaxBody int64
	// Budget limits the repeats of a request to those that its result allows; a nil result = no
	// limit. It wins over the Policy's. nil = the Policy's, or if that is nil as well one of this
	// Transport's own for each host, with the defaults of [retry.Budget].
	Budget func(*http.Request) *retry.Budget
	// Breaker is asked before each attempt; a nil result = none. It wins over the Policy's. nil = the
	// Policy's. An answer that repeating cannot help, such as 404, counts as a success of the peer.
	Breaker func(*http.Request) retry.Breaker
	// Hedge makes a further attempt beside the first of a GET, HEAD, OPTIONS or TRACE if
	// no header has come after this time, and takes the answer that comes first (see
	// [retry.Hedge]); 0 = off. Requests with a body or an Upgrade are not hedged.
	Hedge time.Duration

	hosts hostBudgets
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c := t.newCall(req)
	defer c.end()
	if c.hedged {
		won, err := retry.Hedge(req.Context(), &c.policy, t.Hedge, c.attempt)
		return c.answer(won, err)
	}
	won, err := retry.DoValue(req.Context(), &c.policy, c.attempt)
	return c.answer(won, err)
}

// CloseIdleConnections closes those of Base, if it can; http.Client calls it.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// NewKey is a [Transport.Key] that makes a random key: a version 7 UUID (RFC 9562). It is sent
// without quotes, as most services want it. For a service that follows the letter of
// draft-ietf-httpapi-idempotency-key-header-07:
//
//	Key: func(r *http.Request) string { return `"` + httpmw.NewKey(r) + `"` }
//
// A key that is made anew for every call does not survive the process. Where a restart
// repeats the call, derive the key from what is repeated: idem.Attempt.SubKey does.
func NewKey(*http.Request) string {
	return uuid.Must(uuid.NewV7()).String() // the system's randomness never fails: see crypto/rand
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

// policyFor is the policy for one request.
func (t *Transport) policyFor(req *http.Request) retry.Policy {
	var p retry.Policy
	if t.Policy != nil {
		p = *t.Policy
	}
	switch {
	case t.Budget != nil:
		p.Budget = t.Budget(req)
	case p.Budget == nil:
		p.Budget = t.hosts.of(req.URL)
	}
	if t.Breaker != nil {
		p.Breaker = t.Breaker(req)
	}
	return p
}

// isKeyed reports whether req carries an idempotency key, or claims to be as good as if it
// did: the rule is net/http's own.
func isKeyed(h http.Header) bool {
	_, ours := h[HeaderKey]
	_, theirs := h["X-Idempotency-Key"]
	return ours || theirs
}

func isSafe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

func isIdempotent(method string) bool {
	return isSafe(method) || method == http.MethodPut || method == http.MethodDelete
}
