package idemsql

import (
	"context"
	"fmt"
	"math"
	"time"

	"example.com/once/idem"
)

// Renew implements [idem.Store].
func (s *records) Renew(ctx context.Context, l idem.Lease, d time.Duration, p *idem.Progress) error {
	if err := checkKey(l.Key); err != nil {
		return err
	}
	if d <= 0 {
		return fmt.Errorf("idemsql: lease of %v, it must be positive", d)
	}
	seq, data := int64(math.MinInt64), []byte(nil)
	if p != nil {
		seq, data = p.Seq, p.Data
	}
	lease := ceil(d)
	ok, err := s.changed(ctx, "renew", s.e.renew, lease, lease, seq, blob(data), seq, []byte(l.Key), l.Token[:], l.Fence)
	switch {
	case err != nil:
		return err
	case !ok:
		return idem.ErrLeaseLost
	default:
		return nil
	}
}

// Complete implements [idem.Store]. A result that the engine cannot take gets
// [idem.ErrTooLarge].
func (s *records) Complete(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (idem.Record, error) {
	if err := checkKey(l.Key); err != nil {
		return idem.Record{}, err
	}
	r, err := s.one(ctx, "complete", s.write, s.e.complete, noMore,
		phaseOf(result), blob(result), max(ceil(keep), 0), []byte(l.Key), l.Token[:], l.Fence)
	if err != nil {
		return idem.Record{}, err
	}
	if r != nil {
		r.result = result
		return r.record(l.Key, idem.Done), nil
	}
	r, err = s.get(ctx, "complete", s.write, l.Key)
	switch {
	case err != nil:
		return idem.Record{}, err
	case !r.live():
		return idem.Record{}, idem.ErrLeaseLost
	}
	rec := r.record(l.Key, r.state())
	if rec.State != idem.Done || !r.heldBy(l) {
		return rec, idem.ErrLeaseLost
	}
	return rec, nil
}

// Release implements [idem.Store].
func (s *records) Release(ctx context.Context, l idem.Lease, d idem.Disposition) error {
	if err := checkKey(l.Key); err != nil {
		return err
	}
	holding := []any{[]byte(l.Key), l.Token[:], l.Fence}
	var ok bool
	var err error
	switch d {
	case idem.DispositionRetry:
		ok, err = s.changed(ctx, "release", s.e.release, append([]any{released}, holding...)...)
	case idem.DispositionHold:
		ok, err = s.changed(ctx, "release", s.e.release, append([]any{held}, holding...)...)
	case idem.DispositionForget:
		ok, err = s.changed(ctx, "release", s.e.forget, holding...)
	default:
		return fmt.Errorf("idemsql: unknown disposition %d", d)
	}
	if err != nil {
		return err
	}
	if ok {
		return nil
	}
	r, err := s.get(ctx, "release", s.write, l.Key)
	switch {
	case err != nil:
		return err
	case !r.live() && d == idem.DispositionForget:
		return nil // a repeat, or nothing left to forget
	case r.heldBy(l) && (r.phase == released || r.phase == held):
		return nil // a repeat: what the first said stands
	default:
		return idem.ErrLeaseLost
	}
}

func phaseOf(result []byte) phase {
	if result == nil {
		return doneBare
	}
	return done
}
