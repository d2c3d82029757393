package httpmw_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

// faultStore is a store with something in the way of each method.
type faultStore struct {
	idem.Store

	calls    atomic.Int64
	claim    func(context.Context, idem.Claim) (idem.Record, error)
	renew    func(context.Context, idem.Lease, time.Duration, *idem.Progress) error
	complete func(context.Context, idem.Lease, []byte, time.Duration) (idem.Record, error)
	release  func(context.Context, idem.Lease, idem.Disposition) error
}

func (s *faultStore) Claim(ctx context.Context, c idem.Claim) (idem.Record, error) {
	s.calls.Add(1)
	if s.claim != nil {
		return s.claim(ctx, c)
	}
	return s.Store.Claim(ctx, c)
}

func (s *faultStore) Renew(ctx context.Context, l idem.Lease, d time.Duration, p *idem.Progress) error {
	s.calls.Add(1)
	if s.renew != nil {
		return s.renew(ctx, l, d, p)
	}
	return s.Store.Renew(ctx, l, d, p)
}

func (s *faultStore) Complete(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (idem.Record, error) {
	s.calls.Add(1)
	if s.complete != nil {
		return s.complete(ctx, l, result, keep)
	}
	return s.Store.Complete(ctx, l, result, keep)
}

func (s *faultStore) Release(ctx context.Context, l idem.Lease, d idem.Disposition) error {
	s.calls.Add(1)
	if s.release != nil {
		return s.release(ctx, l, d)
	}
	return s.Store.Release(ctx, l, d)
}

// middleware makes an Idempotency without a server around it.
func middleware(t testing.TB, s idem.Store, c httpmw.IdempotencyConfig) *httpmw.Idempotency {
	t.Helper()
	g, err := idem.New(s, idem.Config{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := httpmw.NewIdempotency(g, httpmw.SharedScope, c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
