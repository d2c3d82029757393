package httpmw

import (
	"context"
	"errors"
	"sync"
	"time"
)

var errClientGone = errors.New("httpmw: the client has gone")

// lifetime decides how long the work for one request may go on. It has two parts: until
// the handler starts, a client that leaves ends the waiting for somebody else's answer;
// afterwards the handler goes on for a while, since its effect may be under way.
type lifetime struct {
	mu      sync.Mutex
	linger  time.Duration
	waits   bool
	gone    bool
	ended   bool
	quit    context.CancelCauseFunc // ends the wait
	stop    context.CancelCauseFunc // ends the handler; nil = it does not run
	timer   *time.Timer
	unwatch func() bool
}

// begin returns the context for the Guard: detached from the request's.
func (l *lifetime) begin(ctx context.Context, waits bool, linger time.Duration) context.Context {
	l.waits, l.linger = waits, linger
	detached, quit := context.WithCancelCause(context.WithoutCancel(ctx))
	l.quit = quit
	l.unwatch = context.AfterFunc(ctx, l.clientGone)
	return detached
}

func (l *lifetime) clientGone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	switch {
	case l.ended:
	case l.stop != nil:
		l.armed()
	case l.waits:
		l.quit(errClientGone)
	}
}

// armed lets the running handler's time run out.
func (l *lifetime) armed() {
	if l.linger <= 0 {
		l.stop(errClientGone)
		return
	}
	l.timer = time.AfterFunc(l.linger, func() { l.stop(errClientGone) })
}

// start returns the handler's context, made from the Guard's, or false if the client has
// left a request that was waiting.
func (l *lifetime) start(ctx context.Context) (context.Context, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone && l.waits {
		return nil, false
	}
	ctx, l.stop = context.WithCancelCause(ctx)
	if l.gone {
		l.armed()
	}
	return ctx, true
}

func (l *lifetime) end() {
	l.unwatch()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.stop != nil {
		l.stop(nil)
	}
	l.quit(nil)
}
