package outboxsql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"example.com/once/outbox"
)

// state is what a message of the cold table waits for.
type state int

const (
	ready    state = iota // its time; if its key has earlier ones that are not dead, those, too
	behind                // an earlier one of its key that is not dead; a hint, see [Store.Due]
	dead                  // nothing
	blocking              // an operator, and so does its key
)

// Park implements [outbox.Store].
func (s *Store) Park(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
	items, err := checkOutcomes(items, outbox.Again, outbox.Behind, outbox.Dead, outbox.Block)
	if err != nil || len(items) == 0 {
		return err
	}
	return s.inTx(ctx, "park", func(tx *sql.Tx) error {
		if held, err := s.holds(ctx, tx, l); err != nil {
			return err
		} else if !held {
			return outbox.ErrLeaseLost
		}
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		rows, of := make([][]any, len(items)), []any{l.Shard}
		for i, it := range items {
			rows[i] = outcomeRow(it, now)
		}
		if err := s.execRows(ctx, tx, s.e.park, nil, rows, of); err != nil {
			return err
		}
		if err := s.execRows(ctx, tx, s.e.unhot, of, seqs(items), nil); err != nil {
			return err
		}
		// What they were to stay behind may have left already.
		return s.execRows(ctx, tx, s.e.lead, of, seqs(items, outbox.Behind), nil)
	})
}

// Settle implements [outbox.Store].
func (s *Store) Settle(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
	items, err := checkOutcomes(items, outbox.Published, outbox.Again, outbox.Dead, outbox.Block)
	if err != nil || len(items) == 0 {
		return err
	}
	held := false
	err = s.inTx(ctx, "settle", func(tx *sql.Tx) error {
		if held, err = s.holds(ctx, tx, l); err != nil {
			return err
		}
		return s.settle(ctx, tx, l.Shard, held, items)
	})
	if err == nil && !held {
		err = s.e.failed("settle", outbox.ErrLeaseLost)
	}
	return err
}

// settle records outcomes, of those that the owner does not hold only Published.
func (s *Store) settle(ctx context.Context, tx *sql.Tx, shard int, held bool, items []outbox.Outcome) error {
	now, err := s.now(ctx, tx)
	if err != nil {
		return err
	}
	gone := seqs(items, outbox.Published)
	leaving := gone
	var rows [][]any
	if held {
		leaving = seqs(items, outbox.Published, outbox.Dead)
		for _, it := range items {
			if it.Fate != outbox.Published {
				rows = append(rows, outcomeRow(it, now))
			}
		}
	}
	of := []any{shard}
	var keys [][]any
	err = s.eachOf(ctx, tx, s.e.keys, of, leaving, nil, func(scan func(...any) error) error {
		var key string
		err := scan(&key)
		keys = append(keys, []any{shard, key})
		return err
	})
	if err != nil {
		return err
	}
	if err := s.execRows(ctx, tx, s.e.remove, of, gone, nil); err != nil {
		return err
	}
	if err := s.execRows(ctx, tx, s.e.settle, nil, rows, of); err != nil {
		return err
	}
	return s.execRows(ctx, tx, s.e.wake, nil, keys, nil)
}

// holds says whether l is the current lease of its shard, late or not.
func (s *Store) holds(ctx context.Context, tx *sql.Tx, l outbox.Lease) (held bool, err error) {
	err = each(ctx, tx, s.e.fence, func(scan func(...any) error) error { return scan(&held) }, l.Shard, l.Epoch)
	return held, err
}

// outcomeRow is an outcome as the statements take it: seq, state, attempts, due, died and
// error.
func outcomeRow(o outbox.Outcome, now int64) []any {
	row := []any{o.Seq, ready, o.Attempts, now, nil, nil}
	switch o.Fate {
	case outbox.Again:
		row[3] = now + ceil(o.Wait)
	case outbox.Behind:
		row[1], row[2] = behind, 0
	case outbox.Dead:
		row[1], row[4] = dead, now
	case outbox.Block:
		row[1], row[4] = blocking, now
	case outbox.Published:
	}
	if o.Err != "" {
		row[5] = o.Err
	}
	return row
}

// checkOutcomes returns an error if an outcome is not one of fates. Of several outcomes of
// one message it returns the first.
func checkOutcomes(items []outbox.Outcome, fates ...outbox.Fate) ([]outbox.Outcome, error) {
	seen := make(map[int64]bool, len(items))
	first := make([]outbox.Outcome, 0, len(items))
	for i, it := range items {
		if !slices.Contains(fates, it.Fate) {
			return nil, fmt.Errorf("outboxsql: items[%d].Fate is %d, it must be one of %d", i, it.Fate, fates)
		}
		if !seen[it.Seq] {
			seen[it.Seq] = true
			first = append(first, it)
		}
	}
	return first, nil
}

// seqs returns the Seqs of the outcomes that are one of fates, or of all.
func seqs(items []outbox.Outcome, fates ...outbox.Fate) [][]any {
	var rows [][]any
	for _, it := range items {
		if len(fates) == 0 || slices.Contains(fates, it.Fate) {
			rows = append(rows, []any{it.Seq})
		}
	}
	return rows
}
