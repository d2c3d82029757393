package model

import (
	"context"
	"errors"
	"time"

	"example.com/once/idem"
)

var (
	_ idem.TxStore[*Tx] = (*Store)(nil)
	_ idem.Inspector    = (*Store)(nil)
	_ idem.Sweeper      = (*Store)(nil)
	_ idem.Savepointer  = inTx{}
)

// Claim implements idem.Store.
func (s *Store) Claim(ctx context.Context, c idem.Claim) (rec idem.Record, err error) {
	if s.Defect == ReadsThenWrites {
		return s.claimInTwoSteps(ctx, c)
	}
	err = s.step(ctx, func(st *state) error { rec = st.claim(c, s.Defect); return nil })
	return rec, err
}

// claimInTwoSteps is what a store does that reads a record and writes it back later.
func (s *Store) claimInTwoSteps(ctx context.Context, c idem.Claim) (rec idem.Record, err error) {
	var read state
	if err := s.step(ctx, func(st *state) error { read = st.clone(); return nil }); err != nil {
		return rec, err
	}
	time.Sleep(time.Microsecond) // let others read
	rec = read.claim(c, None)
	err = s.step(ctx, func(st *state) error {
		if rec.State == idem.Acquired {
			st.records[c.Key] = read.records[c.Key]
			st.fence = max(st.fence, read.fence)
		}
		return nil
	})
	return rec, err
}

// Renew implements idem.Store.
func (s *Store) Renew(ctx context.Context, l idem.Lease, d time.Duration, p *idem.Progress) error {
	return s.step(ctx, func(st *state) error { return st.renew(l, d, p, s.Defect) })
}

// Complete implements idem.Store.
func (s *Store) Complete(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (rec idem.Record, err error) {
	large := s.MaxResult > 0 && len(result) > s.MaxResult
	switch {
	case large && s.Defect == TakesLarge:
		result = result[:s.MaxResult]
	case large && s.Defect == DropsLarge:
		return rec, errors.Join(idem.ErrTooLarge, s.Release(ctx, l, idem.DispositionRetry))
	case large:
		return rec, idem.ErrTooLarge
	}
	err = s.step(ctx, func(st *state) (err error) { rec, err = st.complete(l, result, keep, s.Defect); return err })
	return rec, err
}

// Release implements idem.Store.
func (s *Store) Release(ctx context.Context, l idem.Lease, d idem.Disposition) error {
	return s.step(ctx, func(st *state) error { return st.release(l, d, s.Defect) })
}

// Sweep implements idem.Sweeper.
func (s *Store) Sweep(ctx context.Context, limit int) (n int, err error) {
	err = s.step(ctx, func(st *state) error { n = st.sweep(limit, s.Defect); return nil })
	return n, err
}

// Get implements idem.Inspector.
func (s *Store) Get(ctx context.Context, k idem.Key) (rec idem.Record, err error) {
	err = s.step(ctx, func(st *state) error {
		if r, ok := st.find(k); ok {
			rec = r.seen(r.inspected(), r.result)
			rec.Progress = r.progress
		}
		return nil
	})
	return rec, err
}

// List implements idem.Inspector.
func (s *Store) List(ctx context.Context, q idem.Query) (recs []idem.Record, err error) {
	err = s.step(ctx, func(st *state) error { recs = st.list(q, s.Defect); return nil })
	return recs, err
}

// Delete implements idem.Inspector.
func (s *Store) Delete(ctx context.Context, k idem.Key) error {
	return s.step(ctx, func(st *state) error { st.remove(k); return nil })
}

// Resolve implements idem.Inspector.
func (s *Store) Resolve(ctx context.Context, k idem.Key, result []byte, keep time.Duration) (rec idem.Record, err error) {
	err = s.step(ctx, func(st *state) (err error) { rec, err = st.resolve(k, result, keep, s.Defect); return err })
	return rec, err
}

// Tx is a transaction: a copy of the store that replaces it at commit. It holds the store's
// lock, so transactions come one after the other, and calls outside it wait.
type Tx struct {
	state  state
	defect Defect
	over   bool
}

// InTx implements idem.TxStore.
func (s *Store) InTx(ctx context.Context, fn func(*Tx) error) error {
	return s.step(ctx, func(st *state) error {
		tx := &Tx{state: st.clone(), defect: s.Defect}
		defer func() { tx.over = true }()
		err := fn(tx)
		switch {
		case err != nil && s.Defect == CommitsFailures:
			*st = tx.state
			return err
		case err != nil:
			return err
		case s.OnCommit == nil:
			*st = tx.state
			return nil
		}
		apply, err := s.OnCommit()
		if apply {
			*st = tx.state
		}
		return err
	})
}

// With implements idem.TxStore.
func (s *Store) With(tx *Tx) idem.Store {
	if s.Defect == WithLeavesTx {
		// The state of the store itself, which the transaction's lock protects.
		return inTx{&Tx{state: s.state, defect: s.Defect}}
	}
	return inTx{tx}
}

// inTx is the store inside a transaction.
type inTx struct{ tx *Tx }

func (s inTx) state(ctx context.Context) (*state, error) {
	if s.tx.over {
		return nil, context.Canceled
	}
	return &s.tx.state, ctx.Err()
}

func (s inTx) Claim(ctx context.Context, c idem.Claim) (idem.Record, error) {
	st, err := s.state(ctx)
	if err != nil {
		return idem.Record{}, err
	}
	return st.claim(c, s.tx.defect), nil
}

func (s inTx) Renew(ctx context.Context, l idem.Lease, d time.Duration, p *idem.Progress) error {
	st, err := s.state(ctx)
	if err != nil {
		return err
	}
	return st.renew(l, d, p, s.tx.defect)
}

func (s inTx) Complete(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (idem.Record, error) {
	st, err := s.state(ctx)
	if err != nil {
		return idem.Record{}, err
	}
	return st.complete(l, result, keep, s.tx.defect)
}

func (s inTx) Release(ctx context.Context, l idem.Lease, d idem.Disposition) error {
	st, err := s.state(ctx)
	if err != nil {
		return err
	}
	return st.release(l, d, s.tx.defect)
}

// Savepoint implements idem.Savepointer.
func (s inTx) Savepoint(ctx context.Context, fn func(context.Context) error) error {
	before := s.tx.state.clone()
	kept := false
	defer func() {
		if !kept && s.tx.defect != SavepointKeeps {
			s.tx.state = before
		}
	}()
	err := fn(ctx)
	kept = err == nil
	return err
}
