package httpmw

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// flight is one attempt under way. Its context outlives the attempt: the body of the answer is
// read under it, so it ends with that.
type flight struct {
	ctx    context.Context         //nolint:containedctx // made by the attempt, for the attempt
	cancel context.CancelCauseFunc // nil = the attempt ends only with the call's context
	timer  *time.Timer             // nil = the answer may take as long as it wants
	unlink func() bool             // from the hedged attempt's context; nil = it is not hedged
	sent   sentinel

	request http.Request // of a first attempt: here so that it takes no allocation of its own
}

// attemptTimeoutError is the cause with which an attempt ends that took too long.
type attemptTimeoutError struct{}

func (attemptTimeoutError) Error() string        { return "httpmw: no answer within Policy.AttemptTimeout" }
func (attemptTimeoutError) Timeout() bool        { return true }
func (attemptTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// valuesContext is a context with the values of another one.
type valuesContext struct {
	context.Context //nolint:containedctx // it is one

	values context.Context //nolint:containedctx // another one's values
}

func (c valuesContext) Value(key any) any { return c.values.Value(key) }

// launch readies an attempt. One that nothing bounds needs no context of its own if net/http
// sends it.
func (c *call) launch(ctx context.Context) *flight {
	f := &flight{ctx: ctx}
	if c.hedged || c.timeout > 0 || !c.std {
		f.bound(ctx, c)
	}
	f.ctx = f.sent.watch(f.ctx)
	return f
}

func (f *flight) bound(ctx context.Context, c *call) {
	root := ctx
	if c.hedged {
		// A hedged attempt's context ends with the race; what has won it must not.
		root = valuesContext{c.req.Context(), ctx}
	}
	f.ctx, f.cancel = context.WithCancelCause(root)
	if c.hedged {
		f.unlink = context.AfterFunc(ctx, func() { f.cancel(context.Cause(ctx)) })
	}
	if c.timeout > 0 {
		f.timer = time.AfterFunc(c.timeout, func() { f.cancel(attemptTimeoutError{}) })
	}
}

// end ends the attempt's context, if it has one of its own.
func (f *flight) end() {
	if f.cancel != nil {
		f.cancel(nil)
	}
}

// landed ends what bounds the attempt, and says by an error if it was cut off.
func (f *flight) landed() error {
	late := f.timer != nil && !f.timer.Stop()
	lost := f.unlink != nil && !f.unlink()
	switch {
	case late:
		return attemptTimeoutError{}
	case lost:
		return context.Canceled
	}
	return nil
}

// bind makes the attempt's context end with the body of its answer.
func (f *flight) bind(resp *http.Response) io.ReadCloser {
	if resp.Body == nil || resp.Body == http.NoBody {
		f.end()
		return http.NoBody
	}
	if f.cancel == nil {
		return resp.Body
	}
	b := &boundBody{resp.Body, f.cancel}
	if w, ok := resp.Body.(io.Writer); ok && resp.StatusCode == http.StatusSwitchingProtocols {
		return struct {
			*boundBody
			io.Writer
		}{b, w}
	}
	return b
}

type boundBody struct {
	inner  io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *boundBody) Read(p []byte) (int, error) {
	n, err := b.inner.Read(p)
	if err != nil {
		b.cancel(nil)
	}
	return n, err
}

func (b *boundBody) Close() error {
	err := b.inner.Close()
	b.cancel(nil)
	return err
}

// discard reads a little of a body that nobody wants, so that its connection can be used
// again, and closes it.
func discard(resp *http.Response) {
	const (
		limit   = 4 << 10
		patient = 100 * time.Millisecond
	)
	giveUp := func() { _ = resp.Body.Close() } // net/http lets a reader be interrupted by it
	if b, ok := resp.Body.(*boundBody); ok {
		giveUp = func() { b.cancel(nil) }
	}
	timer := time.AfterFunc(patient, giveUp)
	defer timer.Stop()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, limit+1)) // one more, to meet the end
	_ = resp.Body.Close()
}

// sentinel watches what of a request leaves the process. It stays up over all connections
// that net/http tries for one attempt.
type sentinel struct {
	asked, wrote atomic.Bool
	hooks        httptrace.ClientTrace // here so that it takes no allocation
}

func (s *sentinel) watch(ctx context.Context) context.Context {
	s.hooks.GetConn = func(string) { s.asked.Store(true) } // always called before GotConn
	s.hooks.WroteHeaders = func() { s.wrote.Store(true) }
	return httptrace.WithClientTrace(ctx, &s.hooks)
}

// never reports whether the request surely was not sent. A server has to have the whole
// header before it can do anything. A Base that does not tell its connections to httptrace
// may have sent anything.
func (s *sentinel) never() bool { return s.asked.Load() && !s.wrote.Load() }

// refused reports whether net/http found fault with the request itself, before it asked for a connection.
func (s *sentinel) refused(base http.RoundTripper) bool {
	_, std := base.(*http.Transport)
	return std && !s.asked.Load() && !s.wrote.Load()
}

// unsentError is the error of an attempt that sent nothing.
type unsentError struct{ err error }

func (e *unsentError) Error() string  { return e.err.Error() }
func (e *unsentError) Unwrap() error  { return e.err }
func (e *unsentError) NoEffect() bool { return true }

// Timeout lets http.Client see through.
func (e *unsentError) Timeout() bool {
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](e.err)
	return ok && t.Timeout()
}
