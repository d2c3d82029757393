package httpmw

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"example.com/once/idem"
)

// answer sends what the Guard's call led to.
func (x *exchange) answer(result []byte, err error) {
	switch {
	case err == nil && (!x.ran || x.info.Replayed):
		x.replay(result)
	case err == nil:
		if x.m.c.AfterCommit != nil {
			x.m.c.AfterCommit(context.WithoutCancel(x.r.Context()))
		}
		x.commit()
		if x.whole {
			x.observe(ResultFirst, nil)
		} else {
			x.observe(ResultTombstone, nil)
		}
	case !x.ran:
		x.answerUnrun(err)
	case errors.Is(err, errReleased), errors.Is(err, errHeld):
		x.commit()
		x.observe(ResultReleased, nil)
	case x.m.inTx:
		x.answerFailedTx(err)
	default:
		x.answerUnrecorded(err)
	}
}

// commit sends the handler's answer, unless it is on its way already.
func (x *exchange) commit() {
	if !x.rec.sent() {
		x.rec.commit()
	}
}

// answerUnrun answers when the handler was not started.
func (x *exchange) answerUnrun(err error) {
	switch {
	case errors.Is(err, errClientGone):
		x.observe(ResultGone, err)
	case errors.Is(err, idem.ErrInFlight):
		p := problemFor(CodeInFlight)
		p.RetryAfter = x.m.c.RetryAfter
		if f, ok := errors.AsType[*idem.InFlightError](err); ok && f.RetryAfter > 0 {
			p.RetryAfter = min(p.RetryAfter, f.RetryAfter)
		}
		x.refuse(p, nil)
	case errors.Is(err, idem.ErrMismatch):
		x.refuse(problemFor(CodeMismatch), nil)
	case errors.Is(err, idem.ErrAbandoned):
		p := problemFor(CodeOutcomeUnknown)
		p.Reference = string(x.key)
		x.refuse(p, err)
	case errors.Is(err, idem.ErrNoResult), errors.Is(err, idem.ErrRecorded):
		x.refuse(problemFor(CodeResultUnavailable), nil)
	case errors.Is(err, idem.ErrNested):
		// An outer Idempotency over the same store runs this handler: it is protected there.
		x.next.ServeHTTP(x.w, x.request(x.r.Context()))
		x.observe(ResultNested, nil)
	case x.m.c.UnsafeFailOpen != nil && x.m.c.UnsafeFailOpen(x.r):
		x.m.c.Logger.Error("httpmw: request runs unprotected", "key", x.key, "error", err)
		x.next.ServeHTTP(x.w, x.request(x.r.Context()))
		x.observe(ResultUnprotected, err)
	default:
		x.m.c.Logger.Error("httpmw: idempotency store failed", "key", x.key, "error", err)
		x.refuse(problemFor(CodeStoreUnavailable), err)
	}
}

// answerUnrecorded answers when the handler has run, and the Guard could not record it or
// is not sure.
func (x *exchange) answerUnrecorded(err error) {
	if errors.Is(err, idem.ErrLeaseLost) && !x.rec.sent() {
		// Another run has taken the key over; its answer will be the one that counts.
		replaceHeader(x.w.Header(), x.rec.base)
		p := problemFor(CodeInFlight)
		p.RetryAfter = x.m.c.RetryAfter
		x.refuse(p, err)
		return
	}
	if !errors.Is(err, idem.ErrTooLarge) {
		x.m.c.Logger.Error("httpmw: answer sent, but not recorded", "key", x.key, "error", err)
	}
	x.commit()
	x.observe(ResultUnrecorded, err)
}

// answerFailedTx answers when the transaction was not committed, or not surely.
func (x *exchange) answerFailedTx(err error) {
	code := CodeStoreUnavailable
	switch {
	case errors.Is(err, errAnswerTooLarge):
		code = CodeAnswerTooLarge
	case errors.Is(err, sql.ErrTxDone):
		code = CodeTransactionEnded
	}
	x.m.c.Logger.Error("httpmw: transaction not committed", "key", x.key, "code", code, "error", err)
	replaceHeader(x.w.Header(), x.rec.base)
	x.refuse(problemFor(code), err)
}

// replay sends a recorded answer.
func (x *exchange) replay(result []byte) {
	if x.ran {
		if x.rec.sent() {
			x.observe(ResultUnrecorded, idem.ErrLeaseLost)
			return
		}
		replaceHeader(x.w.Header(), x.rec.base)
	}
	if x.m.c.Authorize != nil {
		if err := x.m.c.Authorize(x.r); err != nil {
			x.refuse(refusal(err, CodeForbidden), err)
			return
		}
	}
	rec, err := openRecord(result)
	if err != nil {
		x.m.c.Logger.Error("httpmw: unreadable record", "key", x.key, "error", err)
	}
	if err != nil || rec.tombstone {
		p := problemFor(CodeResultUnavailable)
		p.OriginalStatus = rec.status
		x.refuse(p, err)
		return
	}
	rec.write(x.w, x.m.marked)
	x.observe(ResultReplayed, nil)
}

func (rec *record) write(w http.ResponseWriter, marked []string) {
	h := w.Header()
	setFields(h, rec.headers)
	h[HeaderReplayed] = marked
	if _, ok := h["Cache-Control"]; !ok {
		h.Set("Cache-Control", "no-store")
	}
	var declared []string
	for _, f := range rec.trailers {
		if !strings.HasPrefix(f.name, http.TrailerPrefix) {
			declared = append(declared, f.name)
		}
	}
	switch {
	case declared != nil:
		h["Trailer"] = declared
	case len(rec.trailers) == 0 && len(rec.body) > autoLength:
		h["Content-Length"] = []string{strconv.Itoa(len(rec.body))}
	}
	w.WriteHeader(rec.status)
	if len(rec.body) > 0 {
		_, _ = w.Write(rec.body) // the client may be gone
	}
	setFields(h, rec.trailers)
}

// refuse answers with a problem and tells of it.
func (x *exchange) refuse(p Problem, err error) {
	x.problem(p)
	x.observe(p.Code, err)
}

func (x *exchange) problem(p Problem) {
	p.Type = "about:blank"
	if x.m.c.Docs != "" {
		p.Type = x.m.c.Docs + "#" + p.Code
	}
	if x.m.c.Problem != nil {
		x.m.c.Problem(x.w, x.r, p)
	} else {
		writeProblem(x.w, p, x.m.c.Docs)
	}
}

func (x *exchange) observe(result string, err error) {
	x.done = true
	if x.m.c.Observe != nil {
		x.m.c.Observe(x.r.Context(), IdempotencyEvent{Result: result, Key: x.key, Info: x.info, Err: err})
	}
}

// close ends the exchange, whether it was answered or the handler panicked.
func (x *exchange) close() {
	x.body.close()
	if x.ran && !x.done {
		x.observe(ResultPanicked, nil)
	}
}
