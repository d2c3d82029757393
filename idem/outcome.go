package idem

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
// err without the mark. Final(nil) is nil.
func Final(err error) error { return mark(err, verdictFinal) }

// Hold marks err as leaving the outcome unknown: the key becomes Abandoned, and nobody runs
// it again before it is resolved by [Guard.Resolve] or its retention ends. If the store does
// not confirm that it holds the key, the error matches [ErrUnknown] too. It is refused
// inside a transaction, whose outcome is never unknown to its own code. Hold(nil) is nil.
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

// consumed hides marks that lie too deep in an error to be taken off: a Guard has seen them,
// and they are not meant for another one around it.
type consumed struct{ error }

func (c *consumed) Unwrap() error { return c.error }

// consume returns the outermost mark in err's tree, and err without marks.
func consume(err error) (verdict, error) {
	v := markOf(err)
	for {
		m, ok := err.(*marked) //nolint:errorlint // what lies deeper is hidden below
		if !ok {
			break
		}
		err = m.error
	}
	if markOf(err) != verdictNone {
		err = &consumed{err}
	}
	return v, err
}

// markOf returns the first mark in err's tree that is not consumed.
func markOf(err error) verdict {
	switch e := err.(type) { //nolint:errorlint // the walk visits each node itself
	case *marked:
		return e.verdict
	case *consumed:
		return verdictNone
	case interface{ Unwrap() error }:
		return markOf(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if v := markOf(inner); v != verdictNone {
				return v
			}
		}
	}
	return verdictNone
}
