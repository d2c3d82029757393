package httpmw

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"example.com/once/retry"
)

// StatusError is how an answer from 400 up appears to a [Transport]'s Policy: to Classify and to
// Observe, and in the [retry.Error] of a call that ended without an answer. Its body is not
// in it.
type StatusError struct {
	StatusCode int
	Header     http.Header // the answer's; must not be changed

	after    time.Duration
	asked    bool // Retry-After was given
	inFlight bool
	resp     *http.Response
}

func newStatusError(resp *http.Response, keyed bool) *StatusError {
	e := &StatusError{StatusCode: resp.StatusCode, Header: resp.Header, resp: resp}
	e.after, e.asked = retryAfter(resp.Header)
	e.inFlight = keyed && e.asked && resp.StatusCode == http.StatusConflict
	return e
}

// Error names the status.
func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("httpmw: answered %d %s", e.StatusCode, http.StatusText(e.StatusCode)))
}

// RetryAfter is the wait that the answer asks for; 0 = none.
func (e *StatusError) RetryAfter() time.Duration { return e.after }

// Verdict says what the status means for a repeat.
//
//   - 421, 425 and 429 had no effect, and neither had 409 with Retry-After for a request with
//     a key: the first request with that key still runs.
//   - 408 and 5xx may have had one: even 503 may come from a proxy that gave up on a server
//     which did the work.
//   - Repeating cannot help 501, 505, 506, 508, 510, 511 and the rest of 4xx.
func (e *StatusError) Verdict() retry.Verdict {
	v := retry.Verdict{Class: retry.Permanent, After: e.after}
	switch e.StatusCode {
	case http.StatusMisdirectedRequest, http.StatusTooEarly:
		v.Class = retry.NoEffect
	case http.StatusTooManyRequests:
		v.Class, v.Overload = retry.NoEffect, !e.asked
	case http.StatusConflict:
		if e.inFlight {
			v.Class = retry.NoEffect
		}
	case http.StatusRequestTimeout:
		v.Class = retry.Ambiguous
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusVariantAlsoNegotiates,
		http.StatusLoopDetected, http.StatusNotExtended, http.StatusNetworkAuthenticationRequired:
	default:
		if e.StatusCode >= 500 {
			v.Class = retry.Ambiguous
		}
	}
	return v
}

// classifier is user with the statuses that it leaves undecided decided.
func classifier(user func(error) retry.Verdict) func(error) retry.Verdict {
	if user == nil {
		return retry.Classify
	}
	return func(err error) retry.Verdict {
		v := user(err)
		if failure, ok := err.(*StatusError); ok && v.Class == retry.Undecided { //nolint:errorlint // it is made here
			own := failure.Verdict()
			v.Class = own.Class
			v.After = max(v.After, own.After)
			v.Overload = v.Overload || own.Overload
		}
		return v
	}
}

// retryAfter reads Retry-After (RFC 9110, 10.2.3). A date counts from the answer's own Date,
// so that the two clocks need not agree. What is not understood was not said.
func retryAfter(h http.Header) (time.Duration, bool) {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0, false
	}
	if strings.Trim(v, "0123456789") == "" {
		const most = uint64(math.MaxInt64 / time.Second)
		s, err := strconv.ParseUint(v, 10, 64)
		if err != nil { // only digits: too many of them
			s = most
		}
		return time.Duration(min(s, most)) * time.Second, true
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return max(0, at.Sub(now)), true
}
