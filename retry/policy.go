package retry

import (
	"context"
	"time"
)

// Defaults of a zero [Policy].
const (
	defaultAttempts      = 3
	defaultMaxRetryAfter = 30 * time.Second
	defaultBase          = 50 * time.Millisecond
	defaultMax           = 20 * time.Second
)

// Policy says how often, how long and after which failures a call is repeated.
// It is plain data: the zero value, and a nil *Policy, are a good default; copy
// it and change the copy. A Policy is safe for concurrent use as long as nobody
// writes to it, and one Policy serves calls of every result type.
type Policy struct {
	// Name names the policy in events; "" is fine.
	Name string
	// MaxAttempts is the number of calls in all, the first included: 0 means 3, 1
	// means no repeat, negative means no limit. A policy without a limit is a
	// supervisor: see [Nested].
	MaxAttempts int
	// MaxElapsed bounds the whole call, waits included: no repeat begins later than
	// this after the start. It does not cut an attempt short; a context deadline or
	// AttemptTimeout does. 0 or negative means no bound.
	MaxElapsed time.Duration
	// AttemptTimeout bounds each attempt through its context. An attempt that ran
	// out of it is repeated like any other ambiguous failure. 0 or negative means
	// no bound.
	AttemptTimeout time.Duration
	// MaxRetryAfter is the longest wait asked for by the peer (see [After]) that is
	// taken here; a longer one ends the call with [ErrRetryAfter] and is handed back
	// in [Error.RetryAt]. 0 means 30s, negative means none is taken.
	MaxRetryAfter time.Duration
	// Backoff makes the schedule of waits; nil means Exponential(50ms, 20s).
	Backoff Backoff
	// Classify judges each failure; nil means [Classify]. Markers ([Stop], [Safe],
	// [After]) have the last word over it. It is called concurrently.
	Classify func(error) Verdict
	// NonIdempotent says that repeating the operation could double its effect: only
	// failures that surely had none are repeated.
	NonIdempotent bool
	// Budget limits repeats to a share of successes over all calls that use it; nil
	// means no limit.
	Budget *Budget
	// Breaker is asked before each attempt; nil means none.
	Breaker Breaker
	// Observe is called synchronously after each failed attempt, never on success;
	// nil means silence. It is called concurrently.
	Observe func(context.Context, Event)
}

// direct reports whether a first attempt needs nothing but its context.
func (p *Policy) direct() bool {
	return p == nil || (p.Breaker == nil && p.AttemptTimeout <= 0 && p.MaxElapsed <= 0)
}

// guarded reports whether a first attempt needs nothing but its context and the breaker.
func (p *Policy) guarded() bool {
	return p.Breaker != nil && p.AttemptTimeout <= 0 && p.MaxElapsed <= 0
}

// attempts returns the limit of attempts, negative for none.
func (p *Policy) limit() int {
	if p.MaxAttempts == 0 {
		return defaultAttempts
	}
	return p.MaxAttempts
}

func (p *Policy) maxRetryAfter() time.Duration {
	if p.MaxRetryAfter == 0 {
		return defaultMaxRetryAfter
	}
	return p.MaxRetryAfter
}

func (p *Policy) schedule() Schedule {
	if p.Backoff == nil {
		return newExponential(defaultBase, defaultMax)
	}
	s := p.Backoff()
	if r, ok := s.(interface{ Reset() }); ok {
		r.Reset() // cenkalti/backoff: "Reset must be called before using b"
	}
	return s
}

// Class says what a failed call may have done.
type Class uint8

// The classes, from least to most known.
const (
	Undecided Class = iota // the classifier does not know the error: treated as Ambiguous
	Permanent              // repeating cannot help
	Ambiguous              // may or may not have had its effect
	NoEffect               // surely had no effect
)

// String returns the class in lower case, for logs and metric labels.
func (c Class) String() string {
	switch c {
	case Undecided:
		return "undecided"
	case Permanent:
		return "permanent"
	case Ambiguous:
		return "ambiguous"
	case NoEffect:
		return "no-effect"
	default:
		return "unknown"
	}
}

// Verdict is what a classifier says of one error.
type Verdict struct {
	Class Class
	// After is the wait that the peer asked for; 0 means that it asked for none.
	After time.Duration
	// Overload says that the peer shed the call. Without After, the next attempt then
	// waits at least a second, whatever the jitter says.
	Overload bool
}
