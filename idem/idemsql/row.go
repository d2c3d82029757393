package idemsql

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
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

// check refuses what this package cannot have written: a record that is damaged, or that a
// later release made, is neither replayed nor run again. Past its retention nothing of it
// counts.
func (r *row) check() error {
	switch {
	case !r.live():
		return nil
	case r.phase < running || r.phase > doneBare:
		return fmt.Errorf("%w: phase %d", errDamaged, r.phase)
	case len(r.token) != len(uuid.UUID{}):
		return fmt.Errorf("%w: a token of %d bytes", errDamaged, len(r.token))
	case r.fence <= 0 || r.attempt <= 0:
		return fmt.Errorf("%w: fence %d, attempt %d", errDamaged, r.fence, r.attempt)
	default:
		return nil
	}
}

var errDamaged = errors.New("the stored record is damaged, or of a later release")

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
func (r *row) record(key idem.Key, s idem.State) idem.Record {
	rec := idem.Record{
		State:       s,
		Lease:       idem.Lease{Key: key, Token: uuid.UUID(r.token), Fence: r.fence, Attempt: r.attempt},
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
	default:
	}
	return rec
}

// one reads at most one row. It reads on to the end, because that is when a statement that
// changes something has done so.
func (s *records) one(ctx context.Context, doing string, q queryer, query string, more func(*row) []any, args ...any) (*row, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.e.failed(doing, err)
	}
	defer func() { _ = rows.Close() }()
	var found *row
	for rows.Next() {
		found = &row{tick: s.e.tick.Microseconds()}
		if err := found.scan(rows, more(found)...); err != nil {
			return nil, s.e.failed(doing, err)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, s.e.failed(doing, err)
	}
	return found, nil
}

// scan reads what rows is at: rowColumns, and where more go.
func (r *row) scan(rows *sql.Rows, more ...any) error {
	if err := rows.Scan(r.dest(more...)...); err != nil {
		return fmt.Errorf("read a row: %w", err)
	}
	return r.check()
}

func noMore(*row) []any       { return nil }
func withResult(r *row) []any { return []any{&r.result} }

// get reads a key from q.
func (s *records) get(ctx context.Context, doing string, q queryer, key idem.Key) (*row, error) {
	return s.one(ctx, doing, q, s.e.get, withResult, []byte(key))
}

// changed runs a statement and says whether it changed a row.
func (s *records) changed(ctx context.Context, doing, query string, args ...any) (bool, error) {
	res, err := s.write.ExecContext(ctx, query, args...)
	if err != nil {
		return false, s.e.failed(doing, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return false, s.e.failed(doing, err)
	}
	return n > 0, nil
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

// micros is n microseconds, or as many as can be counted.
func micros(n int64) time.Duration {
	return time.Duration(min(n, math.MaxInt64/int64(time.Microsecond))) * time.Microsecond
}

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
