package retry_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"

	"example.com/once/retry"
)

type sqlError string

func (e sqlError) Error() string    { return "SQL error " + string(e) }
func (e sqlError) SQLState() string { return string(e) }

// dishonest claims that it is safe to repeat, as drivers do for statements that were executed.
type dishonest struct{ error }

func (dishonest) SafeToRetry() bool { return true }

type patient struct{ error }

func (patient) RetryAfter() time.Duration { return 7 * time.Second }
func (p patient) Unwrap() error           { return p.error }

func TestClassify(t *testing.T) {
	t.Parallel()
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, c := range []struct {
		name string
		err  error
		want retry.Class
	}{
		{"nil", nil, retry.Undecided},
		{"unknown", errFlaky, retry.Undecided},
		{"EOF", io.ErrUnexpectedEOF, retry.Undecided},
		{"cancelled", fmt.Errorf("x: %w", context.Canceled), retry.Ambiguous},
		{"timed out", context.DeadlineExceeded, retry.Ambiguous},
		{"unsupported", fmt.Errorf("x: %w", errors.ErrUnsupported), retry.Permanent},
		{"dial", dial(errFlaky), retry.NoEffect},
		{"dial timed out", dial(context.DeadlineExceeded), retry.NoEffect},
		{"proxy", &net.OpError{Op: "proxyconnect", Err: errFlaky}, retry.NoEffect},
		{"read", &net.OpError{Op: "read", Err: errFlaky}, retry.Undecided},
		{"write", &net.OpError{Op: "write", Err: errFlaky}, retry.Undecided},
		{"no such host", dial(&net.DNSError{IsNotFound: true}), retry.Permanent},
		{"resolver timed out", dial(&net.DNSError{IsTimeout: true}), retry.NoEffect},
		{"resolver", &net.DNSError{IsTemporary: true}, retry.NoEffect},
		{"address", dial(&net.AddrError{Err: "missing port"}), retry.Permanent},
		{"certificate", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, retry.Permanent},
		{"host name", x509.HostnameError{Certificate: &x509.Certificate{}}, retry.Permanent},
		{"not TLS", tls.RecordHeaderError{}, retry.Permanent},
		{"open circuit", gobreaker.ErrOpenState, retry.NoEffect},
		{"half-open circuit", gobreaker.ErrTooManyRequests, retry.NoEffect},
		{"serialization", sqlError("40001"), retry.NoEffect},
		{"deadlock", fmt.Errorf("x: %w", sqlError("40P01")), retry.NoEffect},
		{"starting", sqlError("57P03"), retry.NoEffect},
		{"standby", sqlError("25006"), retry.NoEffect},
		{"completion unknown", sqlError("40003"), retry.Ambiguous},
		{"connection failure", sqlError("08006"), retry.Ambiguous},
		{"transaction resolution unknown", sqlError("08007"), retry.Ambiguous},
		{"shutdown", sqlError("57P01"), retry.Ambiguous},
		{"unique", sqlError("23505"), retry.Permanent},
		{"syntax", sqlError("42601"), retry.Permanent},
		{"commit-time constraint", sqlError("40002"), retry.Permanent},
		{"password", sqlError("28P01"), retry.Permanent},
		{"unknown state", sqlError("XX000"), retry.Undecided},
		{"malformed state", sqlError("4"), retry.Undecided},
		{"bad connection", driver.ErrBadConn, retry.Undecided},
		{"claims to be safe", dishonest{errFlaky}, retry.Undecided},
		{"joined: all safe", errors.Join(dial(errFlaky), sqlError("40001")), retry.NoEffect},
		{"joined: one unknown", errors.Join(dial(errFlaky), errFlaky), retry.Ambiguous},
		{"joined: one permanent", errors.Join(dial(errFlaky), sqlError("23505")), retry.Permanent},
		{"gave up, nothing done", &retry.Error{}, retry.Ambiguous},
	} {
		if got := retry.Classify(c.err); got.Class != c.want {
			t.Errorf("%s: %v, want %v", c.name, got.Class, c.want)
		}
	}
	if v := retry.Classify(sqlError("53300")); v.Class != retry.NoEffect || !v.Overload {
		t.Errorf("too many connections: %+v", v)
	}
	if v := retry.Classify(fmt.Errorf("x: %w", patient{dial(errFlaky)})); v.Class != retry.NoEffect || v.After != 7*time.Second {
		t.Errorf("RetryAfter: %+v", v)
	}
}

// harmless is how a package that does not know this one says that nothing happened.
type harmless struct {
	error
	none bool
}

func (h harmless) NoEffect() bool { return h.none }
func (h harmless) Unwrap() error  { return h.error }

// judged carries a verdict of its own.
type judged struct {
	error
	retry.Verdict
}

func (j judged) Unwrap() error { return j.error }

type ruled struct{ error }

func (ruled) Verdict() retry.Verdict {
	return retry.Verdict{Class: retry.Permanent, After: -time.Second, Overload: true}
}

func TestErrorTypesOptInByMethod(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		want retry.Verdict
	}{
		{"NoEffect", fmt.Errorf("x: %w", harmless{errFlaky, true}), retry.Verdict{Class: retry.NoEffect}},
		{"NoEffect that says no", harmless{errFlaky, false}, retry.Verdict{}},
		{"NoEffect around what cannot succeed", harmless{sqlError("42601"), true}, retry.Verdict{Class: retry.Permanent}},
		{"NoEffect around what may have had one", harmless{context.DeadlineExceeded, true}, retry.Verdict{Class: retry.NoEffect}},
		{"NoEffect keeps the wait", harmless{patient{errFlaky}, true}, retry.Verdict{Class: retry.NoEffect, After: 7 * time.Second}},
		{"Verdict", fmt.Errorf("x: %w", ruled{retry.Safe(errFlaky)}), retry.Verdict{Class: retry.Permanent, Overload: true}},
		{"a field named Verdict is no method", judged{errFlaky, retry.Verdict{Class: retry.NoEffect}}, retry.Verdict{}},
		{"a marker around it has the last word", retry.Safe(ruled{errFlaky}), retry.Verdict{Class: retry.NoEffect, Overload: true}},
	} {
		if got := retry.Classify(c.err); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestRealDialFailureHadNoEffect(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	_, err = net.Dial("tcp", addr)
	if v := retry.Classify(err); v.Class != retry.NoEffect {
		t.Errorf("%v: %v", err, v.Class)
	}
}

func TestNonIdempotentRepeatsOnlyWhatHadNoEffect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := &retry.Policy{NonIdempotent: true}
		op, calls := failing(always, errFlaky)
		err := retry.Do(t.Context(), p, op)
		e := gaveUp(t, err, retry.ErrNonIdempotent, 1)
		if *calls != 1 || e.Class() != retry.Ambiguous || !errors.Is(err, errFlaky) {
			t.Errorf("%d calls, class %v", *calls, e.Class())
		}
		op, calls = failing(2, retry.Safe(errFlaky))
		if err := retry.Do(t.Context(), p, op); err != nil || *calls != 3 {
			t.Errorf("%d calls, %v", *calls, err)
		}
		op, calls = failing(always, retry.Safe(errFlaky))
		e = gaveUp(t, retry.Do(t.Context(), p, op), retry.ErrAttempts, 3)
		if e.Class() != retry.NoEffect || *calls != 3 {
			t.Errorf("%d calls, class %v", *calls, e.Class())
		}
	})
}

// One attempt that may have had an effect makes the whole call ambiguous, whatever came after it.
func TestClassOfACallIsTheWorstOfItsAttempts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := 0
		err := retry.Do(t.Context(), nil, func(context.Context) error {
			if n++; n == 1 {
				return errFlaky
			}
			return retry.Safe(errFlaky)
		})
		if e := gaveUp(t, err, retry.ErrAttempts, 3); e.Class() != retry.Ambiguous {
			t.Errorf("class %v", e.Class())
		}
		if v := retry.Classify(fmt.Errorf("x: %w", err)); v.Class != retry.Ambiguous {
			t.Errorf("an outer loop sees %v", v.Class)
		}
	})
}
