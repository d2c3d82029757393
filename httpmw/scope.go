package httpmw

import (
	"errors"
	"net/http"
)

// Scope says whose key a request's idempotency key is: the tenant, the account, the
// authenticated principal. Equal keys in two scopes are two keys, so that one caller
// can neither read nor block another's answers.
//
// The scope must be the same for a retry as for the first request. Take it from a stable
// subject (an account number), never from a token that is refreshed between the two. An
// error is answered with the status of the [Refusal] it matches, or with 500; an empty
// scope is such an error, for it would put all callers who are not known into one.
type Scope func(*http.Request) (string, error)

// SharedScope puts all callers into one scope. It is for services with one caller, and
// for keys that are meant to be shared; anywhere else it lets a caller who guesses a key
// read somebody else's answer.
func SharedScope(*http.Request) (string, error) { return "*", nil }

var errEmptyScope = errors.New("httpmw: the scope is empty")

// Refusal is an error with an HTTP status of its own. A [Scope],
// [IdempotencyConfig.KeyRule] or [IdempotencyConfig.Authorize] returns one to choose
// how the request is answered.
type Refusal struct { //nolint:errname // httpmw.Refusal says what it is
	Status int    // 400..599; anything else counts as 500
	Code   string // stable machine-readable code of the problem document; "" = the caller's default
	Detail string // for the client; must not hold secrets
	Err    error  // for the log; may be nil
}

func (e *Refusal) Error() string {
	switch {
	case e.Err != nil:
		return e.Err.Error()
	case e.Detail != "":
		return e.Detail
	}
	return "httpmw: refused: " + http.StatusText(e.Status)
}

func (e *Refusal) Unwrap() error { return e.Err }
