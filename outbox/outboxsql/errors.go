package outboxsql

import "fmt"

// unchangedError is a failure that surely changed nothing. It says so by method, which is
// how package retry finds out.
type unchangedError struct{ err error }

func (e *unchangedError) Error() string  { return e.err.Error() }
func (e *unchangedError) Unwrap() error  { return e.err }
func (e *unchangedError) NoEffect() bool { return true }

// failed wraps an engine's error with what was being done.
func (e engine) failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("outboxsql: %s: %w", doing, err)
	if e.code(err) == failureBusy {
		return &unchangedError{wrapped}
	}
	return wrapped
}

func errDialect(d Dialect) error {
	return fmt.Errorf("outboxsql: %v is not a dialect; use outboxsql.SQLite", d)
}
