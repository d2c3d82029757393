package idemsql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"example.com/once/idem"
)

// phase is what a key's last holder did.
type phase int

const (
	running phase = iota // claimed; the lease says whether it still holds
	released
	held
	done
	doneBare // done without a result; a phase of its own, since drivers mix up NULL and empty
)

// row is a record as it is stored. Times are relative to the statement that read it.
type row struct {
	phase       phase
	token       []byte
	fence, rev  int64
	attempt     int
	fingerprint []byte
	progressSeq int64
	progress    []byte
	lease       int64 // microseconds left of the lease
	keep        int64 // of the retention
	age         int64
	result      []byte

	tick int64 // of the engine's clock
}

// dest returns where rowColumns go.
func (r *row) dest(more ...any) []any {
	return append([]any{
		&r.phase, &r.token, &r.fence, &r.rev, &r.attempt, &r.fingerprint,
		&r.progressSeq, &r.progress, &r.lease, &r.keep, &r.age,
	}, more...)
}

// live says whether the row is within its retention. A clock that stands still for a tick may
// be late by as much, so that no lease ends before its time: neither does what holds it.
func (r *row) live() bool { return r != nil && r.keep > -r.tick }

// alive says whether the lease holds.
func (r *row) alive() bool { return r.lease > -r.tick }

// heldBy says whether l is the last holding of the key.
func (r *row) heldBy(l idem.Lease) bool {
	return r.live() && r.fence == l.Fence && bytes.Equal(r.token, l.Token[:])
}

// state is what an inspector sees.
func (r *row) state() idem.State {
	switch {
	case r.phase == done, r.phase == doneBare:
		return idem.Done
	case r.phase == held:
		return idem.Abandoned
	case r.phase == released:
		return idem.Released
	case r.alive():
		return idem.InFlight
	default:
		return idem.Expired
	}
}

// record is what leaves the store.
func (r *row) record(key idem.Key, s idem.State) (idem.Record, error) {
	token, err := uuid.FromBytes(r.token)
	if err != nil {
		return idem.Record{}, fmt.Errorf("idemsql: the stored record is damaged: token: %w", err)
	}
	rec := idem.Record{
		State:       s,
		Lease:       idem.Lease{Key: key, Token: token, Fence: r.fence, Attempt: r.attempt},
		Fingerprint: r.fingerprint,
		Age:         micros(max(r.age, 0)),
	}
	switch s {
	case idem.Acquired:
		rec.Progress = idem.Progress{Seq: r.progressSeq, Data: r.progress}
		rec.Left = micros(max(r.lease, 1))
	case idem.InFlight:
		rec.Left = micros(max(r.lease, 1))
	case idem.Done:
		rec.Left = micros(max(r.keep, 1))
		if r.phase == done {
			rec.Result = r.result
			if rec.Result == nil {
				rec.Result = []byte{}
			}
		}
	}
	return rec, nil
}

// one reads at most one row. It reads on to the end, because that is when a statement that
// changes something has done so.
func (s *records) one(ctx context.Context, q queryer, query string, more func(*row) []any, args ...any) (_ *row, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := rows.Close(); err == nil && e != nil {
			err = e
		}
	}()
	var found *row
	for rows.Next() {
		found = &row{tick: s.e.tick.Microseconds()}
		if err := rows.Scan(found.dest(more(found)...)...); err != nil {
			return nil, err
		}
	}
	return found, rows.Err()
}

func noMore(*row) []any       { return nil }
func withResult(r *row) []any { return []any{&r.result} }

// get reads a key from q.
func (s *records) get(ctx context.Context, q queryer, key idem.Key) (*row, error) {
	return s.one(ctx, q, s.e.get, withResult, []byte(key))
}

// changed runs a statement and says whether it changed a row.
func (s *records) changed(ctx context.Context, query string, args ...any) (bool, error) {
	res, err := s.write.ExecContext(ctx, query, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// longestKey is the length of the longest key, in bytes.
const longestKey = 255

func checkKey(k idem.Key) error {
	switch {
	case k == "":
		return fmt.Errorf("%w: it is empty", idem.ErrKey)
	case len(k) > longestKey:
		return fmt.Errorf("%w: %d bytes, at most %d are allowed; idem.NewKey digests what is longer", idem.ErrKey, len(k), longestKey)
	default:
		return nil
	}
}

var errBusyKey = errors.New("the key kept changing")

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// ceil turns d into microseconds without shortening it.
func ceil(d time.Duration) int64 {
	n := int64(d / time.Microsecond)
	if d%time.Microsecond > 0 {
		n++
	}
	return n
}

// blob makes an absent value NULL.
func blob(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}
