package retry

import "context"

type attemptKey struct{}

// mark is what a context knows of the retried attempt it belongs to.
type mark struct {
	attempt int
	nested  bool
}

// marked is a context with a mark: one allocation where [context.WithValue] needs two.
type marked struct {
	context.Context //nolint:containedctx // it is a context
	mark
}

func (m *marked) Value(key any) any {
	if key == (attemptKey{}) {
		return m
	}
	return m.Context.Value(key)
}

func markOf(ctx context.Context) mark {
	if m, ok := ctx.Value(attemptKey{}).(*marked); ok {
		return m.mark
	}
	return mark{}
}

func markAttempt(ctx context.Context, n int, nested bool) context.Context {
	return &marked{ctx, mark{attempt: n, nested: nested}}
}

// Attempt returns the number of the attempt that ctx belongs to: 1 in a first attempt and outside of
// any.
func Attempt(ctx context.Context) int { return max(1, markOf(ctx).attempt) }

// WithAttempt says that ctx belongs to attempt number n of a call that something else repeats: a client
// elsewhere, a queue. From 2 on it is [Nested]. An n below 1 means 1.
func WithAttempt(ctx context.Context, n int) context.Context {
	return markAttempt(ctx, max(1, n), n > 1)
}

// Nested reports whether ctx belongs to a retried attempt. Inside of it policies make one attempt and end
// with [ErrNested], because the call outside repeats it already: calls of n attempts that are nested d
// deep then cost n+(d-1)(n-1) calls instead of n to the power of d. Attempts of a policy without a limit do not
// count: what such a supervisor runs may run for days.
func Nested(ctx context.Context) bool { return markOf(ctx).nested }

// Fresh lifts [Nested]: calls under the returned context are first attempts of their own.
func Fresh(ctx context.Context) context.Context { return markAttempt(ctx, 1, false) }
