package httpmw

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"example.com/once/idem"
)

// Idempotency runs an HTTP handler once per idempotency key. It follows
// draft-ietf-httpapi-idempotency-key-header-07; what the draft leaves open is told in the
// package documentation. Make one with [NewIdempotency] or [NewTxIdempotency]; it is
// safe for concurrent use, and one can serve any number of handlers.
type Idempotency struct {
	c      IdempotencyConfig
	scope  Scope
	guard  *idem.Guard
	run    runner
	inTx   bool
	marked []string // the value of HeaderReplayed
}

// runner is the Guard's call; fn gets the handler's transaction, or nil.
type runner func(ctx context.Context, key idem.Key, fn func(ctx context.Context, tx any) ([]byte, error), opts ...idem.CallOption) ([]byte, error)

// NewIdempotency makes an Idempotency over g. The error names the argument or field
// that is wrong.
func NewIdempotency(g *idem.Guard, scope Scope, c IdempotencyConfig) (*Idempotency, error) {
	if g == nil {
		return nil, errors.New("httpmw: NewIdempotency: the Guard is nil: make one with idem.New")
	}
	return newIdempotency(g, scope, c, false,
		func(ctx context.Context, key idem.Key, fn func(context.Context, any) ([]byte, error), opts ...idem.CallOption) ([]byte, error) {
			return idem.DoValue(ctx, g, key, func(ctx context.Context) ([]byte, error) { return fn(ctx, nil) }, opts...)
		})
}

func newIdempotency(g *idem.Guard, scope Scope, c IdempotencyConfig, inTx bool, run runner) (*Idempotency, error) {
	if scope == nil {
		return nil, errors.New("httpmw: the Scope is nil: say whose key a request's key is, or pass SharedScope if all callers may share theirs")
	}
	c, err := prepared(c, inTx)
	if err != nil {
		return nil, err
	}
	return &Idempotency{c: c, scope: scope, guard: g, run: run, inTx: inTx, marked: []string{"true"}}, nil
}

// Handler puts m around next. It is a middleware of the usual form.
//
// A request that is not covered or carries no key goes to next as it is. All others have
// their body read whole before anything else happens, and next gets a ResponseWriter that
// holds the answer back until it has been recorded, and a context that outlives the
// client (see [IdempotencyConfig.Linger]) and is cancelled if the key is lost, with the
// cause idem.ErrLeaseLost. idem.Current tells next which attempt it is.
func (m *Idempotency) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(m.c.Methods, r.Method) {
			next.ServeHTTP(w, r)
			return
		}
		key, err := m.headerKey(r)
		if key == "" && err == nil && m.c.KeyFromBody == nil && !m.c.Required {
			next.ServeHTTP(w, r)
			return
		}
		m.serve(w, r, next, key, err)
	})
}

// headerKey returns the key in the headers, or "" if there is none.
func (m *Idempotency) headerKey(r *http.Request) (string, error) {
	var key string
	for _, name := range m.c.Headers {
		lines := r.Header[name]
		if len(lines) == 0 {
			continue
		}
		k, err := parseKey(lines, m.c.Strict)
		if err != nil {
			return "", err
		}
		if key != "" && key != k {
			return "", errKeyMany
		}
		key = k
	}
	return key, nil
}

// serve handles a request that has a key, should have one, or has an invalid one.
func (m *Idempotency) serve(w http.ResponseWriter, r *http.Request, next http.Handler, key string, err error) {
	if m.nested(r.Context()) {
		next.ServeHTTP(w, r)
		return
	}
	x := &exchange{m: m, w: w, r: r, next: next}
	defer x.close()
	switch {
	case err != nil:
		x.refuse(keyProblem(err), err)
		return
	case key == "" && m.c.KeyFromBody == nil:
		x.refuse(problemFor(CodeKeyMissing), nil)
		return
	case key != "":
		if !x.checkRule(key) {
			return
		}
	}
	scope, err := m.owner(r)
	if err != nil {
		x.refuse(refusal(err, CodeScopeFailed), err)
		return
	}
	if !x.readBody() {
		return
	}
	if key == "" {
		if key, err = x.bodyKey(); err != nil {
			x.refuse(keyProblem(err), err)
			return
		}
		if key == "" && m.c.Required {
			x.refuse(problemFor(CodeKeyMissing), nil)
			return
		}
		if key == "" {
			next.ServeHTTP(w, x.request(r.Context()))
			return
		}
		if !x.checkRule(key) {
			return
		}
	}
	fp, err := m.fingerprint(r, &x.body)
	if err != nil {
		x.refuse(problemFor(CodeBodyUnreadable), err)
		return
	}
	x.key = m.physicalKey(scope, key, r)
	x.claim(fp)
}

// owner is whose key r's key is.
func (m *Idempotency) owner(r *http.Request) (string, error) {
	scope, err := m.scope(r)
	if err == nil && scope == "" {
		err = errEmptyScope
	}
	return scope, err
}

// nested reports whether an outer Idempotency with the same Guard already serves the
// request. A second claim would find the first one in flight.
func (m *Idempotency) nested(ctx context.Context) bool {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	for ; x != nil; x = x.parent {
		if x.m.guard == m.guard {
			return true
		}
	}
	return false
}

// physicalKey is what the store knows a key by: a digest of fixed length, so that no
// byte of a client's reaches a statement, a file name or a log.
func (m *Idempotency) physicalKey(scope, key string, r *http.Request) idem.Key {
	var room [512]byte
	b := append(room[:0], "once/httpmw key 1"...)
	b = appendPart(b, scope)
	b = appendPart(b, key)
	if m.c.ScopeByRoute {
		route := r.Pattern
		if route == "" {
			route = r.URL.EscapedPath()
		}
		b = appendPart(b, r.Method)
		b = appendPart(b, route)
	}
	sum := sha256.Sum256(b)
	var text [5 + 43]byte
	copy(text[:], "http-")
	base64.RawURLEncoding.Encode(text[5:], sum[:])
	return idem.Key(text[:])
}

// readBody reads the body whole, or answers and returns false.
func (x *exchange) readBody() bool {
	c := &x.m.c
	ctl := http.NewResponseController(x.w)
	limited := c.BodyTimeout > 0 && ctl.SetReadDeadline(time.Now().Add(c.BodyTimeout)) == nil
	body, err := readBody(x.w, x.r, c.MaxMemory, c.MaxBody, c.SpoolDir)
	if err == nil {
		if limited {
			_ = ctl.SetReadDeadline(time.Time{}) // it could be set, so it can be taken back
		}
		x.body = body
		return true
	}
	// The server would wait for the rest of the body before it answers, and the deadline, if there is one,
	// has to go on for that.
	x.w.Header().Set("Connection", "close")
	code := CodeBodyUnreadable
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		code = CodeBodyTooLarge
	} else if errors.Is(err, errSpool) {
		code = CodeSpoolFailed
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		code = CodeBodyTimeout
	}
	x.refuse(problemFor(code), err)
	return false
}

func (x *exchange) bodyKey() (string, error) {
	key, err := x.m.c.KeyFromBody(x.r, io.Reader(x.body.open()))
	if err != nil || key == "" {
		return "", err
	}
	return checkFreeKey(key)
}

func (x *exchange) checkRule(key string) bool {
	if x.m.c.KeyRule == nil {
		return true
	}
	err := x.m.c.KeyRule(key)
	if err != nil {
		x.refuse(keyProblem(err), err)
	}
	return err == nil
}

// keyProblem is the answer to a key that was refused. The detail says why, never what.
func keyProblem(err error) Problem {
	if _, ok := errors.AsType[*Refusal](err); ok {
		return refusal(err, CodeKeyInvalid)
	}
	p := problemFor(CodeKeyInvalid)
	switch {
	case errors.Is(err, errKeyMany), errors.Is(err, errKeyEmpty), errors.Is(err, errKeyLong),
		errors.Is(err, errKeyForm), errors.Is(err, errKeyBare), errors.Is(err, errKeyStrange):
		p.Detail = "Refused: " + err.Error() + "."
	}
	return p
}

// refusal is the answer to an error of one of the configured functions.
func refusal(err error, code string) Problem {
	p := problemFor(code)
	var r *Refusal
	if !errors.As(err, &r) {
		return p
	}
	if r.Code != "" && r.Code != code {
		p = problemFor(r.Code)
		p.Code = r.Code
	}
	if r.Status >= 400 && r.Status <= 599 && r.Status != p.Status {
		p.Status, p.Title = r.Status, http.StatusText(r.Status)
	}
	if r.Detail != "" {
		p.Detail = r.Detail
	}
	return p
}
