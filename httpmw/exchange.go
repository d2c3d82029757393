package httpmw

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"example.com/once/idem"
	"example.com/once/retry"
)

// exchangeKey is the context key of the innermost exchange.
type exchangeKey struct{}

// exchange is the handling of one request with a key.
type exchange struct {
	m      *Idempotency
	w      http.ResponseWriter
	r      *http.Request
	next   http.Handler
	parent *exchange // of another Guard, around this one

	key     idem.Key
	body    reqBody
	life    lifetime
	rec     recorder
	info    idem.Info
	tx      any
	outcome atomic.Uint32 // an Outcome set by the handler; 0 = none

	ran     bool // the handler was started
	decided Outcome
	whole   bool // the answer is in the record, not only the fact
	done    bool // told to Observe
}

var (
	errReleased = errors.New("httpmw: the answer is not recorded")
	errHeld     = errors.New("httpmw: the handler cannot tell its outcome")
)

// claim runs the handler under the key and answers.
func (x *exchange) claim(fingerprint []byte) {
	m := x.m
	x.parent, _ = x.r.Context().Value(exchangeKey{}).(*exchange)
	limit := m.c.StoreTimeout
	if limit >= 0 {
		limit += m.c.Wait
	}
	ctx := x.life.begin(x.r.Context(), m.c.Wait > 0, m.c.Linger, limit)
	defer x.life.end()
	run := func(ctx context.Context) ([]byte, error) {
		return m.run(ctx, x.key, x.handle,
			idem.WithFingerprint(fingerprint), idem.WithWait(m.c.Wait), idem.Report(&x.info))
	}
	if m.inTx {
		run = x.repeated(run)
	}
	result, err := run(ctx)
	if !x.ran && err != nil && context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	x.answer(result, err)
}

// repeated repeats a transaction that failed and surely changed nothing: a serialization
// failure, a deadlock, a database that was busy.
func (x *exchange) repeated(run func(context.Context) ([]byte, error)) func(context.Context) ([]byte, error) {
	policy := retry.Policy{
		NonIdempotent: true,
		Backoff:       retry.Exponential(10*time.Millisecond, time.Second),
		Observe: func(_ context.Context, e retry.Event) {
			if e.Reason == nil {
				x.ran = false
				x.life.again()
			}
		},
	}
	return func(ctx context.Context) ([]byte, error) {
		result, err := retry.DoValue(ctx, &policy, run)
		if e, ok := err.(*retry.Error); ok && errors.Is(e.Reason, retry.ErrNonIdempotent) { //nolint:errorlint // the loop's own
			err = e.Errs[len(e.Errs)-1] // nothing to repeat: most of all an answer that is not recorded
		}
		return result, err
	}
}

// handle is what the Guard runs. Its result is the record to store.
func (x *exchange) handle(ctx context.Context, tx any) ([]byte, error) {
	ctx, err := x.life.start(ctx)
	if err != nil {
		return nil, err
	}
	x.ran, x.tx, x.decided, x.whole = true, tx, 0, false
	x.outcome.Store(0)
	x.rec.init(x.w, x.r, x.limits())
	x.runHandler(context.WithValue(ctx, exchangeKey{}, x))
	return x.settle()
}

func (x *exchange) limits() recorderLimits {
	return recorderLimits{
		max:     x.m.c.MaxResponse,
		hold:    x.m.inTx,
		noFlush: x.m.c.BufferFlushes,
		logExtra: func(status int) {
			x.m.c.Logger.Warn("httpmw: superfluous WriteHeader call", "status", status, "path", x.r.URL.Path)
		},
	}
}

func (x *exchange) runHandler(ctx context.Context) {
	r := x.request(ctx)
	finished := false
	defer func() {
		if !finished { // a panic, or Goexit
			x.rec.abort()
		}
		// The server removes the files of the request that it made, which is not this one.
		if r.MultipartForm != nil && r.MultipartForm != x.r.MultipartForm {
			_ = r.MultipartForm.RemoveAll()
		}
	}()
	x.next.ServeHTTP(x.rec.writer(), r)
	x.rec.finish()
	finished = true
}

// request is the request with its body at the first byte again.
func (x *exchange) request(ctx context.Context) *http.Request {
	r := x.r.WithContext(ctx)
	r.Body = x.body.open()
	return r
}

// settle turns the handler's answer into the record, or into the error that makes the
// Guard give the key up.
func (x *exchange) settle() ([]byte, error) {
	w := &x.rec
	if w.tooLarge {
		return nil, errAnswerTooLarge
	}
	x.decided = Outcome(x.outcome.Load()) //nolint:gosec // it was one
	if x.decided == 0 {
		x.decided = x.m.c.Record(w.status, w.frozen)
	}
	if w.hijacked && x.outcome.Load() == 0 {
		x.decided = Record // it did run, and nothing else is known
	}
	switch x.decided {
	case Record:
	case Forget:
		return nil, idem.Forget(errReleased)
	case Hold:
		return nil, idem.Hold(errHeld)
	default:
		x.decided = Release
		return nil, errReleased
	}
	if w.sent() || w.short() {
		return sealRecord(make([]byte, recordPrefix), w.status, true, nil, nil), nil
	}
	sealed := w.seal(x.m.c.KeepHeader)
	if len(sealed) > x.m.c.MaxResponse {
		if x.m.inTx {
			return nil, errAnswerTooLarge
		}
		return sealRecord(make([]byte, recordPrefix), w.status, true, nil, nil), nil
	}
	x.whole = true
	return sealed, nil
}

// seal encodes the answer that w holds back.
func (w *recorder) seal(keep func(string) bool) []byte {
	if w.buf == nil {
		w.buf = make([]byte, recordPrefix, 256)
	}
	body := len(w.buf)
	w.sniff()
	sealed := sealRecord(w.buf, w.status, false,
		changedFields(w.base, w.frozen, keep), trailerFields(w.frozen["Trailer"], w.header))
	w.buf = sealed[:body:body]
	return sealed
}

// sniff sets the Content-Type that net/http would, so that a replay has the same.
func (w *recorder) sniff() {
	if len(w.buf) <= recordPrefix || w.frozen.Get("Content-Encoding") != "" {
		return
	}
	_, typed := w.frozen["Content-Type"]
	_, coded := w.frozen["Transfer-Encoding"]
	if !typed && !coded {
		w.frozen["Content-Type"] = []string{http.DetectContentType(w.buf[recordPrefix:])}
	}
}

// autoLength is the size of body up to which net/http finds the Content-Length itself.
const autoLength = 2 << 10

// commit sends the answer that was held back.
func (w *recorder) commit() {
	h := w.out.Header()
	replaceHeader(h, w.frozen)
	var body []byte
	if len(w.buf) > recordPrefix {
		body = w.buf[recordPrefix:]
	}
	trailers := trailerFields(w.frozen["Trailer"], w.header)
	if w.declared < 0 && len(trailers) == 0 && len(body) > autoLength && w.frozen["Transfer-Encoding"] == nil {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.out.WriteHeader(w.status)
	if len(body) > 0 {
		_, _ = w.out.Write(body) // the client may be gone
	}
	setFields(h, trailers)
}
