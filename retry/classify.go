package retry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/sony/gobreaker/v2"
)

// Classify is the default classifier. It goes by the types and methods of err and of what
// err wraps, never by text:
//
//   - markers ([Stop], [Safe], [After], *backoff.PermanentError) say what they say; an
//     [*Error] of an inner call is NoEffect if every attempt of it was, else Ambiguous;
//   - a failure to dial or to resolve a name is NoEffect, a name that does not exist and
//     an address that cannot be parsed are Permanent;
//   - a certificate that does not verify, and a peer that does not speak TLS, are Permanent;
//   - a breaker's refusal (gobreaker) is NoEffect;
//   - SQLState() string: serialization failures, deadlocks, refused connections and read-only
//     servers are NoEffect, errors in the statement or its data are Permanent, an outcome
//     that the server does not know is Ambiguous;
//   - Verdict() Verdict decides by itself; NoEffect() bool, for types that do not want to import
//     this package, says by true that the call surely had none;
//   - RetryAfter() time.Duration sets [Verdict.After];
//   - errors.ErrUnsupported is Permanent;
//   - contexts that ended, time-outs, resets and everything unknown may have had an effect.
//     Whether the caller's own context ended is for the loop to ask, not for the error.
//
// Of several joined errors, one that is Permanent makes all of them so; they are NoEffect
// only if each is.
//
// Two widespread claims are not believed: driver.ErrBadConn and SafeToRetry() bool. Drivers in
// use make them of statements that the server has executed. Who knows better marks with [Safe].
func Classify(err error) Verdict { return inspect(err, true) }

// judge lets the policy's classifier and err's markers judge err, and returns err without
// the markers.
func (p *Policy) judge(err error) (Verdict, error) {
	rest := consume(err)
	if p.Classify == nil {
		return Classify(err), rest
	}
	v := p.Classify(rest)
	v.After = max(v.After, 0)
	return overrule(err, v), rest
}

// inspect judges err by its outermost node that is known. Markers count unless a loop has
// consumed them.
func inspect(err error, markers bool) Verdict {
	if err == nil {
		return Verdict{}
	}
	if m, ok := asMarker(err); ok {
		v := inspect(m.err, markers)
		if markers {
			v = m.apply(v)
		}
		return v
	}
	switch e := err.(type) { //nolint:errorlint // the walk visits each node itself
	case *consumed:
		return inspect(e.err, false)
	case *backoff.PermanentError: // without content: with content it is a marker
		if markers {
			return Verdict{Class: Permanent}
		}
		return Verdict{}
	case *Error:
		return e.verdict()
	case interface{ Verdict() Verdict }:
		v := e.Verdict()
		v.After = max(v.After, 0)
		return v
	}
	v := recognise(err, markers)
	if v.Class == Undecided {
		v = below(err, v, markers)
	}
	if e, ok := err.(interface{ RetryAfter() time.Duration }); ok {
		v.After = max(v.After, e.RetryAfter())
	}
	// What cannot succeed stays permanent: that it did nothing is then no reason to repeat it.
	if e, ok := err.(interface{ NoEffect() bool }); ok && v.Class != Permanent && e.NoEffect() {
		v.Class = NoEffect
	}
	return v
}

// below judges what err wraps.
func below(err error, v Verdict, markers bool) Verdict {
	switch e := err.(type) { //nolint:errorlint // the walk visits each node itself
	case interface{ Unwrap() error }:
		return inspect(e.Unwrap(), markers)
	case interface{ Unwrap() []error }:
		return combine(e.Unwrap(), func(child error) Verdict { return inspect(child, markers) })
	}
	return v
}

// recognise judges one node by its own type, value or methods.
func recognise(err error, markers bool) Verdict {
	switch err { //nolint:errorlint // the walk visits each node itself
	case context.Canceled, context.DeadlineExceeded:
		return Verdict{Class: Ambiguous}
	case errors.ErrUnsupported:
		return Verdict{Class: Permanent}
	case gobreaker.ErrOpenState, gobreaker.ErrTooManyRequests:
		return Verdict{Class: NoEffect}
	}
	switch e := err.(type) { //nolint:errorlint // the walk visits each node itself
	case *net.OpError:
		return dialing(e, markers)
	case *net.DNSError:
		if e.IsNotFound {
			return Verdict{Class: Permanent}
		}
		return Verdict{Class: NoEffect}
	case *net.AddrError, *net.ParseError, net.UnknownNetworkError, net.InvalidAddrError,
		*tls.CertificateVerificationError, tls.RecordHeaderError,
		x509.UnknownAuthorityError, x509.HostnameError, x509.CertificateInvalidError, x509.SystemRootsError:
		return Verdict{Class: Permanent}
	case interface{ SQLState() string }:
		return sqlState(e.SQLState())
	}
	return Verdict{}
}

// dialing judges a network operation: until a connection stands nothing can have been sent.
func dialing(e *net.OpError, markers bool) Verdict {
	switch e.Op {
	case "dial", "proxyconnect", "socks connect":
	default:
		return Verdict{}
	}
	v := inspect(e.Err, markers)
	if v.Class != Permanent {
		v.Class = NoEffect
	}
	return v
}

// combine judges several errors as one.
func combine(errs []error, judge func(error) Verdict) Verdict {
	var all Verdict
	seen := false
	for _, err := range errs {
		if err == nil {
			continue
		}
		v := judge(err)
		all.After = max(all.After, v.After)
		all.Overload = all.Overload || v.Overload
		switch {
		case !seen:
			all.Class = v.Class
		case all.Class == Permanent || v.Class == Permanent:
			all.Class = Permanent
		case all.Class != v.Class:
			all.Class = Ambiguous
		}
		seen = true
	}
	return all
}
