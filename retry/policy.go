package retry

import (
	"context"
	"iter"
	"time"
)

// Policy says how often, how long and after which failures a call is repeated.
// It is plain data: the zero value, and a nil *Policy, are a good default; copy
// it and change the copy. A Policy is safe for concurrent use as long as nobody
// writes to it.
type Policy struct {
	Name           string                       // names the policy in events and errors; "" is fine
	MaxAttempts    int                          // calls in all; 0 = 3, negative = no limit
	MaxElapsed     time.Duration                // whole call, waits included; 0 = none
	AttemptTimeout time.Duration                // each attempt; 0 = none
	MaxRetryAfter  time.Duration                // longest requested wait taken here; 0 = 30s; longer is handed back in Error.RetryAt
	Backoff        Backoff                      // nil = Exponential(50ms, 20s)
	Classify       func(error) Verdict          // nil = Classify
	NonIdempotent  bool                         // repeat only failures that surely had no effect
	Budget         *Budget                      // nil = no budget
	Breaker        Breaker                      // nil = no breaker
	Observe        func(context.Context, Event) // nil = silent; called after failures only
}

// Backoff makes a [Schedule] for one failing call. It is a factory because
// schedules carry state; it is called after the first failure only.
type Backoff func() Schedule

// Schedule yields the waits of one failing call, one by one; a negative wait ends
// the call. The BackOff of any major version of cenkalti/backoff fits.
type Schedule interface{ NextBackOff() time.Duration }

// Class says what a failed call may have done.
type Class uint8

const (
	Undecided Class = iota // the classifier does not know the error: treated as Ambiguous
	Permanent              // repeating cannot help
	Ambiguous              // may or may not have had its effect
	NoEffect               // surely had no effect
)

// Verdict is what a classifier says of one error.
type Verdict struct {
	Class    Class
	After    time.Duration // the peer asked not to be called before; 0 = it did not
	Overload bool          // the peer shed the call
}

// Event tells an observer of one failed attempt.
type Event struct {
	Policy  string
	Attempt int           // 1-based
	Err     error         // the attempt's error
	Verdict Verdict       // what the classifier said of Err
	Wait    time.Duration // before the next attempt; 0 on the last event
	Reason  error         // nil while the call goes on, else why it ended
}

// Error reports a call that was given up. It unwraps to Reason and to the
// attempts' errors, latest first.
type Error struct {
	Attempts int
	Elapsed  time.Duration
	Reason   error     // one of the package's sentinels, or the context's cause
	Errs     []error   // first and latest, at most 8
	RetryAt  time.Time // set if the peer asked for a longer wait than was taken
}

// Breaker is asked before each attempt; done is called exactly once with the
// attempt's outcome. gobreaker v2's TwoStepCircuitBreaker fits as it is.
type Breaker interface {
	Allow() (done func(error), err error)
}

// Do calls op until it succeeds or p gives up.
func Do(ctx context.Context, p *Policy, op func(context.Context) error) error {
	panic("skeleton")
}

// DoValue is [Do] for an operation with a result.
func DoValue[T any](ctx context.Context, p *Policy, op func(context.Context) (T, error)) (T, error) {
	panic("skeleton")
}

// Attempts is the range form of [Do]. Assign with =, not :=, inside the loop, else err is shadowed.
func (p *Policy) Attempts(ctx context.Context, err *error) iter.Seq2[int, context.Context] {
	panic("skeleton")
}

// Next is one durable step without sleeping, for rows and queues: attempt number
// attempt has just failed with err. A nil reason means: go on after wait. It
// ignores Budget, Breaker and MaxElapsed and takes a requested wait uncapped.
func (p *Policy) Next(attempt int, err error) (wait time.Duration, reason error) {
	panic("skeleton")
}

// Exponential doubles from base to at most max, with full jitter.
func Exponential(base, max time.Duration) Backoff { panic("skeleton") }

// Constant always waits d.
func Constant(d time.Duration) Backoff { panic("skeleton") }

// Classify is the default classifier.
func Classify(err error) Verdict { panic("skeleton") }

// Stop marks err as permanent.
func Stop(err error) error { panic("skeleton") }

// Safe marks err as having had no effect.
func Safe(err error) error { panic("skeleton") }

// After marks err as retryable, not before d.
func After(err error, d time.Duration) error { panic("skeleton") }
