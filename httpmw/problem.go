package httpmw

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// The codes of the problem documents that [Idempotency] answers with. They are part of
// the API: programs may branch on them.
const (
	CodeKeyMissing        = "key-missing"        // 400: this operation needs a key
	CodeKeyInvalid        = "key-invalid"        // 400: malformed, too long, given twice
	CodeKeyStale          = "key-stale"          // 400: older than answers are kept
	CodeBodyUnreadable    = "body-unreadable"    // 400: the request body could not be read whole
	CodeBodyTimeout       = "body-timeout"       // 408: the request body came too slowly
	CodeForbidden         = "forbidden"          // 403: Authorize refused the replay
	CodeInFlight          = "in-flight"          // 409: the first request with this key still runs; retry later
	CodeResultUnavailable = "result-unavailable" // 409: done, but the answer was not kept; do not retry
	CodeOutcomeUnknown    = "outcome-unknown"    // 409: an attempt ended without an outcome; do not retry
	CodeBodyTooLarge      = "body-too-large"     // 413
	CodeMismatch          = "mismatch"           // 422: the key belongs to another request
	CodeScopeFailed       = "scope-failed"       // 500: whose key it is could not be found out
	CodeTransactionEnded  = "transaction-ended"  // 500: the handler ended its transaction itself
	CodeAnswerTooLarge    = "answer-too-large"   // 500: in a transaction, rolled back
	CodeSpoolFailed       = "spool-failed"       // 500: the request body could not be stored temporarily
	CodeStoreUnavailable  = "store-unavailable"  // 503: the store of keys failed; retry later
)

// Problem is an RFC 9457 problem document. It never holds the key.
type Problem struct {
	Type   string `json:"type"`             // a URI: [IdempotencyConfig.Docs] with the code as fragment, or about:blank
	Title  string `json:"title"`            // same for every occurrence of a code
	Status int    `json:"status"`           // the HTTP status
	Detail string `json:"detail,omitempty"` // what to do about it
	Code   string `json:"code"`             // stable, for programs

	// OriginalStatus is the status of the first answer where that is all that was kept of
	// it (result-unavailable); 0 = none.
	OriginalStatus int `json:"original_status,omitempty"`
	// Reference names the record to the operator without revealing the key
	// (outcome-unknown); "" = none.
	Reference string `json:"reference,omitempty"`

	// RetryAfter is sent as a header, rounded up to seconds; 0 = none.
	RetryAfter time.Duration `json:"-"`
}

func problemFor(code string) Problem {
	p := Problem{Code: code}
	switch code {
	case CodeKeyMissing:
		p.Status, p.Title = 400, "Idempotency key is missing"
		p.Detail = "This operation needs an idempotency key: a value that is unique to the operation and the same on every retry of it."
	case CodeKeyInvalid:
		p.Status, p.Title = 400, "Idempotency key is invalid"
	case CodeKeyStale:
		p.Status, p.Title = 400, "Idempotency key is too old"
	case CodeBodyUnreadable:
		p.Status, p.Title = 400, "Request body could not be read"
	case CodeBodyTimeout:
		p.Status, p.Title = 408, "Request body came too slowly"
	case CodeForbidden:
		p.Status, p.Title = 403, "Access to the recorded answer is refused"
	case CodeInFlight:
		p.Status, p.Title = 409, "Request with this idempotency key is in flight"
		p.Detail = "The first request with this key has not been answered yet. Repeat the same request later."
	case CodeResultUnavailable:
		p.Status, p.Title = 409, "Recorded answer is unavailable"
		p.Detail = "The operation was done, but its answer was not kept. Do not repeat it; read its result another way."
	case CodeOutcomeUnknown:
		p.Status, p.Title = 409, "Outcome is unknown"
		p.Detail = "An earlier attempt ended without a known outcome, and the operation may not be run again. It has to be settled by the operator."
	case CodeBodyTooLarge:
		p.Status, p.Title = 413, "Request body is too large"
	case CodeMismatch:
		p.Status, p.Title = 422, "Idempotency key belongs to another request"
		p.Detail = "This key was used with another method, address or body. Use a new key for a new operation."
	case CodeScopeFailed:
		p.Status, p.Title = 500, "Owner of the idempotency key is unknown"
	case CodeTransactionEnded:
		p.Status, p.Title = 500, "Transaction was ended by the handler"
	case CodeAnswerTooLarge:
		p.Status, p.Title = 500, "Answer is too large"
		p.Detail = "The answer could not be recorded, so nothing was done."
	case CodeSpoolFailed:
		p.Status, p.Title = 500, "Request body could not be stored"
	case CodeStoreUnavailable:
		p.Status, p.Title = 503, "Idempotency cannot be assured at the moment"
		p.Detail = "Repeat the same request with the same key later."
		p.RetryAfter = unavailableRetryAfter
	default:
		p.Status, p.Title = 500, http.StatusText(http.StatusInternalServerError)
	}
	return p
}

// unavailableRetryAfter is sent with 503: longer than for a key in flight, since a store
// that fails is helped by fewer calls.
const unavailableRetryAfter = 5 * time.Second

// writeProblem is how a problem is answered unless [IdempotencyConfig.Problem] does it.
func writeProblem(w http.ResponseWriter, p Problem, docs string) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Del("Content-Length")
	h.Del("Content-Encoding")
	if docs != "" {
		h.Add("Link", "<"+docs+`>; rel="describedby"`)
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", seconds(p.RetryAfter))
	}
	body, err := json.Marshal(p)
	if err != nil { // a struct of strings and ints marshals
		body = []byte(`{"code":"internal"}`)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

// seconds renders d for Retry-After: whole seconds, rounded up, at least one.
func seconds(d time.Duration) string {
	return strconv.FormatInt(max(wholeSeconds(d), 1), 10)
}
