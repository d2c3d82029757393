package outboxtest

import (
	"context"
	"time"

	"example.com/once/outbox"
)

// Park implements [outbox.Store].
func (m *Memory) Park(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	sh := m.current(l)
	if sh == nil {
		return outbox.ErrLeaseLost
	}
	for _, it := range items {
		var row *memoryRow
		if sh.hot, row = remove(sh.hot, it.Seq); row == nil {
			continue
		}
		row.apply(it)
		sh.park(row)
	}
	return nil
}

// Due implements [outbox.Store].
func (m *Memory) Due(ctx context.Context, held []outbox.Lease, limit int) ([]outbox.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := time.Now()
	var rows []outbox.Row
	for _, l := range held {
		sh := m.shards[l.Shard]
		if sh == nil {
			continue
		}
		open := map[string]bool{} // whether the key's messages so far are all in the answer
		for _, row := range sh.parked {
			key := row.delivery.OrderKey()
			if row.dead && !row.blocks {
				continue
			}
			due := !row.dead && !row.due.After(now)
			if key != "" {
				ahead, seen := open[key]
				due = due && (ahead || !seen)
				open[key] = due
			}
			if !due {
				continue
			}
			if rows = append(rows, outbox.Row{Delivery: row.read()}); len(rows) >= limit {
				return rows, nil
			}
		}
	}
	return rows, nil
}

// Settle implements [outbox.Store].
func (m *Memory) Settle(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	sh := m.current(l)
	lost := sh == nil
	if lost {
		if sh = m.shards[l.Shard]; sh == nil {
			return outbox.ErrLeaseLost
		}
	}
	for _, it := range items {
		if lost && it.Fate != outbox.Published {
			continue
		}
		row := sh.unpark(it.Seq)
		switch {
		case row == nil:
		case row.dead: // settled by another owner, or before
			sh.park(row)
		case it.Fate == outbox.Published:
		default:
			row.apply(it)
			sh.park(row)
		}
	}
	if lost {
		return outbox.ErrLeaseLost
	}
	return nil
}

func (sh *memoryShard) park(row *memoryRow) {
	sh.parked = insert(sh.parked, row)
	sh.hold(row, 1)
}

func (sh *memoryShard) unpark(seq int64) *memoryRow {
	var row *memoryRow
	if sh.parked, row = remove(sh.parked, seq); row != nil {
		sh.hold(row, -1)
	}
	return row
}

func (sh *memoryShard) hold(row *memoryRow, n int) {
	key := row.delivery.OrderKey()
	if key == "" || row.dead && !row.blocks {
		return
	}
	if sh.keys[key] += n; sh.keys[key] == 0 {
		delete(sh.keys, key)
	}
}

func (row *memoryRow) read() outbox.Delivery {
	d := row.delivery
	d.Attempt = row.attempts + 1
	return d
}

// apply records an outcome other than Published.
func (row *memoryRow) apply(o outbox.Outcome) {
	now := time.Now()
	if o.Err != "" {
		row.err = o.Err
	}
	switch o.Fate {
	case outbox.Again:
		row.attempts, row.due = o.Attempts, now.Add(o.Wait)
	case outbox.Behind:
		row.due = now
	case outbox.Dead, outbox.Block:
		row.attempts, row.dead, row.blocks, row.diedAt = o.Attempts, true, o.Fate == outbox.Block, now
	case outbox.Published:
	}
}
