package idem

import "errors"

// verdict is what a function's error says of its outcome.
type verdict uint8

const (
	verdictNone   verdict = iota // unmarked: as the mode has it
	verdictFinal                 // record it
	verdictHold                  // unknown
	verdictForget                // nothing happened
)

// marked is an error with a verdict.
type marked struct {
	error

	verdict verdict
}

func (m *marked) Unwrap() error { return m.error }

// Final marks err as the outcome of the operation: it is recorded, and every later call
// with the key gets it as a [RecordedError] without running. Use it for answers that
// repeating cannot change, such as "card declined". The caller of the run that failed gets
// err itself. Final(nil) is nil.
func Final(err error) error { return mark(err, verdictFinal) }

// Hold marks err as leaving the outcome unknown: the key becomes Abandoned, and nobody runs
// it again before it is resolved through the store's [Inspector] or its retention ends. It
// is refused inside a transaction, whose outcome is never unknown to its own code.
// Hold(nil) is nil.
func Hold(err error) error { return mark(err, verdictHold) }

// Forget marks err as saying that nothing happened and nothing should be remembered: the
// key is free as if it had never been used, also for another fingerprint. Use it for
// requests that were refused before they had any effect. Forget(nil) is nil.
func Forget(err error) error { return mark(err, verdictForget) }

func mark(err error, v verdict) error {
	if err == nil {
		return nil
	}
	return &marked{err, v}
}

// verdictOf returns the outermost mark in err's tree.
func verdictOf(err error) verdict {
	if m, ok := errors.AsType[*marked](err); ok {
		return m.verdict
	}
	return verdictNone
}
