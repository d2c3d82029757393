package httpmw

import (
	"context"
	"net/http"
)

// Outcome says what becomes of a key once its handler has answered.
type Outcome uint8

const (
	// Record keeps the answer; every retry gets it.
	Record Outcome = iota + 1
	// Release keeps nothing but the fingerprint: the same request may run again at once,
	// another request with this key is a mismatch.
	Release
	// Forget keeps nothing: a corrected request may use the key. It is for handlers that
	// refused before they did anything.
	Forget
	// Hold keeps the key and no answer: retries get 409 outcome-unknown until the operator
	// settles the key. It is for handlers that cannot tell whether they took effect. In a
	// transaction it counts as Release: what was rolled back had no effect.
	Hold
)

// RecordByStatus is the default of [IdempotencyConfig.Record]: 2xx, 3xx and 4xx are
// recorded, for they are the operation's result. What says "not now" or "not you" is
// released: 401, 403, 408, 425, 429 and 5xx. So a refusal never sticks to a key. What says
// "not here" is forgotten, 307 and 308: the client sends the same request, with the same key,
// to another address, and the address is part of what a key is bound to.
func RecordByStatus(status int, _ http.Header) Outcome {
	switch {
	case status >= 500:
		return Release
	case status == http.StatusTemporaryRedirect, status == http.StatusPermanentRedirect:
		return Forget
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		status == http.StatusRequestTimeout, status == http.StatusTooEarly,
		status == http.StatusTooManyRequests:
		return Release
	}
	return Record
}

// SetOutcome decides, from inside a handler, what becomes of the key of the request
// that ctx belongs to, whatever the status of the answer. The last call before the handler
// returns counts. It reports false, and does nothing, if no key is being served.
func SetOutcome(ctx context.Context, o Outcome) bool {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok || o < Record || o > Hold {
		return false
	}
	x.outcome.Store(uint32(o))
	return true
}
