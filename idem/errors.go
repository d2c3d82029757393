package idem

import (
	"errors"
	"time"
)

// Sentinels; typed errors match them where there is data to carry.
var (
	ErrInFlight  = errors.New("idem: key is in flight")
	ErrMismatch  = errors.New("idem: key is bound to another request")
	ErrLeaseLost = errors.New("idem: lease lost")
	ErrAbandoned = errors.New("idem: key is abandoned, its outcome unknown until resolved")
	ErrUnknown   = errors.New("idem: ran, but completion is unconfirmed")
	ErrRecorded  = errors.New("idem: recorded error")
	ErrNoResult  = errors.New("idem: done, but no result was kept")
	ErrTooLarge  = errors.New("idem: result too large")
	ErrKey       = errors.New("idem: invalid key")
	ErrFull      = errors.New("idem: store is full")
)

// InFlightError says that somebody else holds the key. It matches [ErrInFlight].
type InFlightError struct {
	RetryAfter time.Duration // a hint, at most what is left of the lease
}

func (e *InFlightError) Error() string        { return ErrInFlight.Error() }
func (e *InFlightError) Is(target error) bool { return target == ErrInFlight }
