package retry

import (
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Stop marks err as permanent: the loop that sees it returns err, unmarked, at once. Stop(nil)
// is nil. A *backoff.PermanentError means the same.
//
// Markers may be wrapped, by fmt.Errorf with %w for one, and are consumed by the first
// loop that sees them: what stopped an inner call does not stop an outer one. The
// outermost of several markers has the last word. A marker keeps err's text, and
// errors.Is and errors.As see through it.
func Stop(err error) error { return wrap(err, kindStop, 0) }

// Safe marks err as having surely had no effect: it is repeated even under
// [Policy.NonIdempotent]. Safe(nil) is nil.
func Safe(err error) error { return wrap(err, kindSafe, 0) }

// After marks err as worth repeating, not before d from now; whether it may have had an effect
// remains the classifier's word. A negative d means 0. After(nil, d) is nil.
func After(err error, d time.Duration) error { return wrap(err, kindAfter, max(d, 0)) }

type kind uint8

const (
	kindStop kind = iota
	kindSafe
	kindAfter
)

type marker struct {
	err   error
	kind  kind
	after time.Duration
}

func wrap(err error, k kind, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &marker{err: err, kind: k, after: d}
}

func (m *marker) Error() string { return m.err.Error() }
func (m *marker) Unwrap() error { return m.err }

// apply lets the marker have its word over v.
func (m *marker) apply(v Verdict) Verdict {
	switch m.kind {
	case kindStop:
		v.Class = Permanent
	case kindSafe:
		v.Class = NoEffect
	case kindAfter:
		if v.Class == Permanent {
			v.Class = Ambiguous
		}
		v.After = m.after
	}
	return v
}

// consumed is an error whose markers have been seen by a loop: they lie deeper than its
// surface, so they cannot be taken off, only hidden from the loops outside.
type consumed struct{ err error }

func (c *consumed) Error() string { return c.err.Error() }
func (c *consumed) Unwrap() error { return c.err }

// asMarker returns err as a marker, without looking deeper. A *backoff.PermanentError
// without content has no text, so it is never taken off: it stays what it is.
func asMarker(err error) (*marker, bool) {
	switch e := err.(type) { //nolint:errorlint // the walk visits each node itself
	case *marker:
		return e, true
	case *backoff.PermanentError:
		if e != nil && e.Err != nil {
			return &marker{err: e.Err, kind: kindStop}, true
		}
	}
	return nil, false
}

// consume takes the markers off err: off its surface by unwrapping, deeper ones by
// hiding them.
func consume(err error) error {
	for {
		m, ok := asMarker(err)
		if !ok {
			break
		}
		err = m.err
	}
	if hasMarker(err) {
		return &consumed{err}
	}
	return err
}

func hasMarker(err error) bool {
	switch e := err.(type) { //nolint:errorlint // the walk visits each node itself
	case nil, *Error, *consumed:
		return false
	case *marker:
		return true
	case *backoff.PermanentError:
		return true
	case interface{ Unwrap() error }:
		return hasMarker(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), hasMarker)
	}
	return false
}

// overrule lets err's markers have their word over what a classifier said of it.
func overrule(err error, v Verdict) Verdict {
	switch e := err.(type) { //nolint:errorlint // the walk visits each node itself
	case nil, *Error, *consumed:
		return v
	case *marker:
		return e.apply(overrule(e.err, v))
	case *backoff.PermanentError:
		v.Class = Permanent
		return v
	case interface{ Unwrap() error }:
		return overrule(e.Unwrap(), v)
	case interface{ Unwrap() []error }:
		if hasMarker(err) {
			return combine(e.Unwrap(), func(child error) Verdict { return overrule(child, v) })
		}
	}
	return v
}
