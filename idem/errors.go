package idem

import (
	"errors"
	"time"
)

// Sentinels, to be matched with [errors.Is]; typed errors match them where there is data
// to carry. A caller who gets ErrInFlight, ErrMismatch, ErrAbandoned, ErrNoResult, ErrKey,
// ErrFull or ErrNested knows that this call did not run its function.
var (
	// ErrInFlight says that somebody else holds the key; see [InFlightError].
	ErrInFlight = errors.New("idem: key is in flight")
	// ErrMismatch says that the key is bound to another fingerprint: it was used for
	// another request.
	ErrMismatch = errors.New("idem: key is bound to another request")
	// ErrLeaseLost says that the key is no longer the holder's. As the cause of a context
	// it says that the lease may be over before it could be renewed.
	ErrLeaseLost = errors.New("idem: lease lost")
	// ErrAbandoned says that an earlier attempt's outcome is unknown and that nobody may run
	// before it is settled; see [AtMostOnce], [Hold] and [Guard.Resolve].
	ErrAbandoned = errors.New("idem: key is abandoned, its outcome unknown until resolved")
	// ErrUnknown says that the function ran, but that the store did not confirm its
	// completion: it may be recorded or not. A later call with the same key finds out.
	ErrUnknown = errors.New("idem: ran, but completion is unconfirmed")
	// ErrRecorded marks the replay of an error that was recorded by [Final]; see
	// [RecordedError].
	ErrRecorded = errors.New("idem: recorded error")
	// ErrNoResult says that the operation is done, but that there is no result to replay:
	// it was too large, could not be encoded, or cannot be decoded any more.
	ErrNoResult = errors.New("idem: done, but no result was kept")
	// ErrTooLarge comes from stores that cannot take a result of this size. A [Guard] then
	// completes the key without it.
	ErrTooLarge = errors.New("idem: result too large")
	// ErrKey says that a key is empty or longer than [MaxKey].
	ErrKey = errors.New("idem: invalid key")
	// ErrFull comes from bounded stores that refuse a new key.
	ErrFull = errors.New("idem: store is full")
	// ErrNested says that a call was made inside the function of another one which it
	// would wait for without end: for the same key, or for the same store while that
	// function's transaction is open.
	ErrNested = errors.New("idem: call inside the function it would wait for")
)

// InFlightError says that somebody else holds the key. It matches [ErrInFlight].
type InFlightError struct {
	RetryAfter time.Duration // a hint, at most what is left of the lease
}

// Error implements error.
func (e *InFlightError) Error() string { return ErrInFlight.Error() }

// Is makes the error match [ErrInFlight].
func (e *InFlightError) Is(target error) bool { return target == ErrInFlight }

// NoEffect is true: the function of this call did not run. Package retry looks for it.
func (e *InFlightError) NoEffect() bool { return true }

// RecordedError is what later callers get for an error that was recorded by [Final]. It
// matches [ErrRecorded].
type RecordedError struct {
	Code    string // what the recorded error's Code method returned, if it had one
	Message string // what its Error method returned
}

// Error returns the recorded message as it was.
func (e *RecordedError) Error() string { return e.Message }

// Is makes the error match [ErrRecorded].
func (e *RecordedError) Is(target error) bool { return target == ErrRecorded }
