package idemsql

import (
	"context"
	"fmt"
	"time"

	"example.com/once/idem"
)

var _ idem.Inspector = (*Store)(nil)

// Get implements [idem.Inspector].
func (s *Store) Get(ctx context.Context, key idem.Key) (idem.Record, error) {
	if err := checkKey(key); err != nil {
		return idem.Record{}, err
	}
	r, err := s.get(ctx, "get", s.write, key)
	if err != nil {
		return idem.Record{}, err
	}
	if !r.live() {
		return idem.Record{}, nil
	}
	rec := r.record(key, r.state())
	rec.Progress = idem.Progress{Seq: r.progressSeq, Data: r.progress}
	return rec, nil
}

// List implements [idem.Inspector].
func (s *Store) List(ctx context.Context, q idem.Query) (_ []idem.Record, err error) {
	phases, alive, err := within(q.State)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	rows, err := s.read.QueryContext(ctx, s.e.list, []byte(q.After), phases[0], phases[1], alive[0], alive[1], limit)
	if err != nil {
		return nil, s.e.failed("list", err)
	}
	defer func() { _ = rows.Close() }()
	var found []idem.Record
	for rows.Next() {
		r := row{tick: s.e.tick.Microseconds()}
		var key []byte
		if err := r.scan(rows, &key); err != nil {
			return nil, s.e.failed("list", err)
		}
		rec := r.record(idem.Key(key), r.state())
		rec.Result, rec.Progress = nil, idem.Progress{}
		found = append(found, rec)
	}
	return found, s.e.failed("list", rows.Err())
}

// within turns a state into a range of phases and one of "the lease holds".
func within(s idem.State) (phases [2]phase, alive [2]int, err error) {
	switch s {
	case 0:
		return [2]phase{running, doneBare}, [2]int{0, 1}, nil
	case idem.InFlight:
		return [2]phase{running, running}, [2]int{1, 1}, nil
	case idem.Expired:
		return [2]phase{running, running}, [2]int{0, 0}, nil
	case idem.Released:
		return [2]phase{released, released}, [2]int{0, 1}, nil
	case idem.Abandoned:
		return [2]phase{held, held}, [2]int{0, 1}, nil
	case idem.Done:
		return [2]phase{done, doneBare}, [2]int{0, 1}, nil
	default:
		return phases, alive, fmt.Errorf("idemsql: Query.State is %v, which no record is in", s)
	}
}

// Delete implements [idem.Inspector]. What was recorded is gone at once; the key itself stays
// in the table, past its retention, until the next sweep.
func (s *Store) Delete(ctx context.Context, key idem.Key) error {
	if err := checkKey(key); err != nil {
		return err
	}
	_, err := s.changed(ctx, "delete", s.e.remove, []byte(key))
	return err
}

// Resolve implements [idem.Inspector].
func (s *Store) Resolve(ctx context.Context, key idem.Key, result []byte, keep time.Duration) (idem.Record, error) {
	if err := checkKey(key); err != nil {
		return idem.Record{}, err
	}
	for range rounds {
		r, err := s.get(ctx, "resolve", s.write, key)
		switch {
		case err != nil:
			return idem.Record{}, err
		case !r.live():
			return idem.Record{}, nil
		}
		switch state := r.state(); state {
		case idem.Done:
			return r.record(key, state), nil
		case idem.InFlight:
			rec := r.record(key, state)
			return rec, &idem.InFlightError{RetryAfter: rec.Left}
		default:
		}
		r, err = s.one(ctx, "resolve", s.write, s.e.resolve, noMore,
			phaseOf(result), blob(result), max(ceil(keep), 0), []byte(key), r.fence, r.rev)
		if err != nil {
			return idem.Record{}, err
		}
		if r != nil {
			r.result = result
			return r.record(key, idem.Done), nil
		}
	}
	return idem.Record{}, &unchangedError{s.e.failed("resolve", errBusyKey)}
}
