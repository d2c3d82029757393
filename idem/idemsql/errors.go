package idemsql

import (
	"fmt"

	"example.com/once/idem"
)

// unchangedError is a failure that surely changed nothing. It says so by a method that
// package retry looks for.
type unchangedError struct{ err error }

func (e *unchangedError) Error() string  { return e.err.Error() }
func (e *unchangedError) Unwrap() error  { return e.err }
func (e *unchangedError) NoEffect() bool { return true }

// failed wraps an engine's error with what was being done.
func (e *engine) failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("idemsql: %s: %w", doing, err)
	switch e.code(err) {
	case failureBusy:
		return &unchangedError{wrapped}
	case failureTooLarge:
		return fmt.Errorf("%w: %w", idem.ErrTooLarge, wrapped)
	default:
		return wrapped
	}
}

func errDialect(d Dialect) error {
	return fmt.Errorf("idemsql: %v is not a dialect; use idemsql.SQLite", d)
}
