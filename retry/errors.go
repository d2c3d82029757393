package retry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Reasons why a call was given up; match them with errors.Is. A call that its context ended
// has the context's cause as reason.
var (
	// ErrAttempts says that [Policy.MaxAttempts] calls were made.
	ErrAttempts = errors.New("retry: all attempts failed")
	// ErrElapsed says that the next attempt would begin after [Policy.MaxElapsed].
	ErrElapsed = errors.New("retry: the wait would pass the longest time allowed")
	// ErrDeadline says that the next attempt would begin after the context's deadline. The
	// wait was not begun. It matches context.DeadlineExceeded.
	ErrDeadline error = deadlineError{}
	// ErrBudget says that [Policy.Budget] was spent.
	ErrBudget = errors.New("retry: budget exhausted locally")
	// ErrBreaker says that [Policy.Breaker] refused; the breaker's own error is matched too.
	ErrBreaker = errors.New("retry: refused locally by the breaker")
	// ErrNonIdempotent says that the failed attempt may have had an effect that a repeat
	// would double.
	ErrNonIdempotent = errors.New("retry: may have had its effect and is not idempotent")
	// ErrNested says that the call ran inside a retried attempt of an outer call, which
	// repeats it if anyone does. [Fresh] lifts this.
	ErrNested = errors.New("retry: left to the outer call that is already retrying")
	// ErrRetryAfter says that the peer asked for a longer wait than [Policy.MaxRetryAfter];
	// see [Error.RetryAt].
	ErrRetryAfter = errors.New("retry: the peer asks for a longer wait than is taken here")
	// ErrBackoff says that the [Schedule] ended.
	ErrBackoff = errors.New("retry: the backoff schedule ended")
	// ErrPermanent is the reason in events and of [Policy.Next] when repeating cannot help. [Do]
	// returns such an error as it is, not in an [Error].
	ErrPermanent = errors.New("retry: repeating cannot help")
)

type deadlineError struct{}

func (deadlineError) Error() string        { return "retry: the wait would pass the deadline" }
func (deadlineError) Timeout() bool        { return true }
func (deadlineError) Is(target error) bool { return target == context.DeadlineExceeded }

// maxErrs is how many attempts' errors an Error keeps.
const maxErrs = 8

// Error reports a call that was given up. It unwraps to Reason and to the attempts' errors,
// latest first, so errors.Is and errors.As find the local cause and the real ones.
type Error struct {
	// Attempts is the number of calls made; 0 if the call was refused before the first.
	Attempts int
	// Elapsed is the time from the first failure to the end. With [Policy.MaxElapsed] it is
	// the time from the start of the call: only then is the clock read there.
	Elapsed time.Duration
	// Reason is why the call was given up: one of the package's sentinels, or the
	// context's cause. Match it with errors.Is.
	Reason error
	// Errs holds the attempts' errors in order: the first and the latest, at most 8.
	Errs []error
	// RetryAt is when the peer wants to be called again, if it said so after the last
	// attempt and the wait was not taken; else zero.
	RetryAt time.Time

	class Class // what the attempts together may have done
}

// Error names the local reason first, then the latest error.
func (e *Error) Error() string {
	if e == nil {
		return "retry: no error"
	}
	var b strings.Builder
	if e.Reason != nil {
		b.WriteString(e.Reason.Error())
	} else {
		b.WriteString("retry: given up")
	}
	switch {
	case e.Attempts == 1:
		b.WriteString(" after 1 attempt")
	case e.Attempts > 1:
		fmt.Fprintf(&b, " after %d attempts", e.Attempts)
	}
	if n := len(e.Errs); n > 0 {
		fmt.Fprintf(&b, ": %v", e.Errs[n-1])
	}
	return b.String()
}

// Unwrap returns Reason, then Errs, latest first.
func (e *Error) Unwrap() []error {
	if e == nil {
		return nil
	}
	all := make([]error, 0, 1+len(e.Errs))
	if e.Reason != nil {
		all = append(all, e.Reason)
	}
	for _, err := range slices.Backward(e.Errs) {
		all = append(all, err)
	}
	return all
}

// Timeout reports whether time ended the call, as net.Error and url.Error ask.
func (e *Error) Timeout() bool {
	return e != nil && errors.Is(e.Reason, context.DeadlineExceeded)
}

// Class says what the attempts together may have done: NoEffect if each of them surely did
// nothing, else Ambiguous.
func (e *Error) Class() Class {
	if e != nil && e.class == NoEffect {
		return NoEffect
	}
	return Ambiguous
}

func (e *Error) verdict() Verdict {
	if e == nil {
		return Verdict{}
	}
	v := Verdict{Class: e.Class()}
	if !e.RetryAt.IsZero() {
		v.After = max(0, time.Until(e.RetryAt))
	}
	return v
}

// endOf returns why ctx ended: its cause, which then also matches ctx.Err().
func endOf(ctx context.Context) error {
	cause, err := context.Cause(ctx), ctx.Err()
	if cause == nil {
		return err
	}
	if errors.Is(cause, err) {
		return cause
	}
	return &ended{cause: cause, err: err}
}

type ended struct{ cause, err error }

func (e *ended) Error() string   { return e.cause.Error() }
func (e *ended) Unwrap() []error { return []error{e.cause, e.err} }
