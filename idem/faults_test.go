package idem_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"example.com/once/idem"
)

// errLost is a lost connection: the caller cannot know whether the store acted.
var errLost = errors.New("connection lost")

// fault stands between the caller and the n-th call of a method, counted from 1. act lets the
// store do it.
type fault func(ctx context.Context, n int, act func() error) error

// faulty is a store with faults; a nil one does nothing. Being no Inspector is part of it.
type faulty struct {
	inner                                        idem.Store
	claim, renew, complete, release              fault
	claims, renewals, completions, releases      atomic.Int64
	claimedAt, renewedAt, completedAt, releaseAt atomic.Int64 // unix nanoseconds of the last call
}

func (f *faulty) through(ctx context.Context, flt fault, n *atomic.Int64, at *atomic.Int64, act func() error) error {
	count := int(n.Add(1))
	at.Store(time.Now().UnixNano())
	if flt == nil {
		return act()
	}
	return flt(ctx, count, act)
}

func (f *faulty) Claim(ctx context.Context, c idem.Claim) (rec idem.Record, err error) {
	err = f.through(ctx, f.claim, &f.claims, &f.claimedAt, func() (err error) { rec, err = f.inner.Claim(ctx, c); return err })
	if err != nil {
		return idem.Record{}, err
	}
	return rec, nil
}

func (f *faulty) Renew(ctx context.Context, l idem.Lease, d time.Duration, p *idem.Progress) error {
	return f.through(ctx, f.renew, &f.renewals, &f.renewedAt, func() error { return f.inner.Renew(ctx, l, d, p) })
}

func (f *faulty) Complete(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (rec idem.Record, err error) {
	err = f.through(ctx, f.complete, &f.completions, &f.completedAt, func() (err error) {
		rec, err = f.inner.Complete(ctx, l, result, keep)
		return err
	})
	return rec, err
}

func (f *faulty) Release(ctx context.Context, l idem.Lease, d idem.Disposition) error {
	return f.through(ctx, f.release, &f.releases, &f.releaseAt, func() error { return f.inner.Release(ctx, l, d) })
}

// before loses the first n calls on their way to the store.
func before(n int) fault {
	return func(_ context.Context, i int, act func() error) error {
		if i <= n {
			return errLost
		}
		return act()
	}
}

// after loses the acknowledgement of the first n calls.
func after(n int) fault {
	return func(_ context.Context, i int, act func() error) error {
		if err := act(); err != nil || i > n {
			return err
		}
		return errLost
	}
}

// hang makes the first n calls last until their context ends.
func hang(n int) fault {
	return func(ctx context.Context, i int, act func() error) error {
		if i > n {
			return act()
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

// deaf makes the first n calls last for d, whatever their context says.
func deaf(n int, d time.Duration) fault {
	return func(_ context.Context, i int, act func() error) error {
		if i > n {
			return act()
		}
		time.Sleep(d)
		return errLost
	}
}

const always = 1 << 30

func newGuard(t testing.TB, s idem.Store, c idem.Config) *idem.Guard {
	t.Helper()
	g, err := idem.New(s, c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// run is Do for a function that is not interesting.
func run(t testing.TB, g *idem.Guard, k idem.Key, opts ...idem.CallOption) error {
	t.Helper()
	return idem.Do(t.Context(), g, k, func(context.Context) error { return nil }, opts...)
}

// want fails unless err matches target.
func want(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: %v, want %v", what, err, target)
	}
}

var errBroken = errors.New("broken")

// logTo is a logger that writes to w.
func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
