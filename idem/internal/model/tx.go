package model

import (
	"context"
	"time"

	"example.com/once/idem"
)

// Tx is a transaction: a copy of the store that replaces it at commit. It holds the store's
// lock, so transactions come one after the other, and calls outside it wait.
type Tx struct {
	state  state
	before state // as it was at the start, for one defect
	saved  state // by the latest savepoint, for another
	defect Defect
	over   bool
}

// InTx implements idem.TxStore.
func (s *Store) InTx(ctx context.Context, fn func(*Tx) error) error {
	if s.Defect == TxOverlap {
		return s.inOverlappingTx(ctx, fn)
	}
	return s.step(ctx, func(st *state) error {
		tx := &Tx{state: st.clone(), before: st.clone(), defect: s.Defect}
		returned := false
		defer func() {
			tx.over = true
			if !returned && s.Defect == CommitsPanics {
				*st = tx.state
			}
		}()
		err := fn(tx)
		returned = true
		switch {
		case err != nil && s.Defect == CommitsFailures:
			*st = tx.state
			return err
		case err != nil, s.Defect == CommitsNothing:
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

// inOverlappingTx is what a store does that detects no conflict: the last commit wins.
func (s *Store) inOverlappingTx(ctx context.Context, fn func(*Tx) error) error {
	tx := &Tx{defect: s.Defect}
	if err := s.step(ctx, func(st *state) error { tx.state = st.clone(); return nil }); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return err
	}
	return s.step(ctx, func(st *state) error { *st = tx.state; return nil })
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
	if s.tx.defect == TxBlind {
		read := s.tx.before.clone()
		rec := read.claim(c, None)
		if rec.State == idem.Acquired {
			st.put(c.Key, read.records[c.Key])
		}
		return rec, nil
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
	s.tx.saved = before
	returned, kept := false, false
	defer func() {
		switch d := s.tx.defect; {
		case kept, d == SavepointKeeps, d == SavepointKeepsPanics && !returned:
		case d == SavepointFlat:
			s.tx.state = s.tx.saved
		default:
			s.tx.state = before
		}
	}()
	err := fn(ctx)
	returned, kept = true, err == nil
	return err
}
