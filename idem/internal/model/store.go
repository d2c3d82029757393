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
	meanwhile(ctx) // others read
	rec = read.claim(c, None)
	err = s.step(ctx, func(st *state) error {
		if rec.State == idem.Acquired {
			st.put(c.Key, read.records[c.Key])
			st.fence = max(st.fence, read.fence)
		}
		return nil
	})
	return rec, err
}

// meanwhile lets others act.
func meanwhile(ctx context.Context) {
	t := time.NewTimer(time.Microsecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
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
	if s.Defect == CompletesInTwoSteps {
		return s.completeInTwoSteps(ctx, l, result, keep)
	}
	err = s.step(ctx, func(st *state) (err error) { rec, err = st.complete(l, result, keep, s.Defect); return err })
	return rec, err
}

// completeInTwoSteps is what a store does that checks the holder first and writes later.
func (s *Store) completeInTwoSteps(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (rec idem.Record, err error) {
	var read state
	if err := s.step(ctx, func(st *state) error { read = st.clone(); return nil }); err != nil {
		return rec, err
	}
	meanwhile(ctx) // others write
	if rec, err = read.complete(l, result, keep, None); err != nil {
		return rec, err
	}
	return rec, s.step(ctx, func(st *state) error { st.put(l.Key, read.records[l.Key]); return nil })
}

// Release implements idem.Store.
func (s *Store) Release(ctx context.Context, l idem.Lease, d idem.Disposition) error {
	return s.step(ctx, func(st *state) error { return st.release(l, d, s.Defect) })
}

// Writes counts what has been written so far.
func (s *Store) Writes(ctx context.Context) (n int64, err error) {
	err = s.step(ctx, func(st *state) error { n = st.writes; return nil })
	return n, err
}

// Sweep implements idem.Sweeper.
func (s *Store) Sweep(ctx context.Context, limit int) (n int, err error) {
	if s.Defect == SweepsInTwoSteps {
		return s.sweepInTwoSteps(ctx, limit)
	}
	err = s.step(ctx, func(st *state) error { n = st.sweep(limit, s.Defect); return nil })
	return n, err
}

// sweepInTwoSteps is what a store does that looks for ended keys and deletes them later.
func (s *Store) sweepInTwoSteps(ctx context.Context, limit int) (n int, err error) {
	var before, after state
	if err := s.step(ctx, func(st *state) error { before = st.clone(); return nil }); err != nil {
		return 0, err
	}
	after = before.clone()
	n = after.sweep(limit, None)
	meanwhile(ctx) // others write
	return n, s.step(ctx, func(st *state) error {
		for k := range before.records {
			if _, stays := after.records[k]; !stays {
				st.drop(k)
			}
		}
		return nil
	})
}

// Get implements idem.Inspector.
func (s *Store) Get(ctx context.Context, k idem.Key) (rec idem.Record, err error) {
	err = s.step(ctx, func(st *state) error {
		r, ok := st.find(k)
		if s.Defect == GetShowsEnded {
			r, ok = st.records[k]
		}
		if ok {
			rec = r.seen(r.inspected(), r.result)
			rec.Progress = r.progress
		}
		if s.Defect == GetHidesExpiry && rec.State == idem.Expired {
			rec.State = idem.InFlight
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
