package outboxsql

import (
	"context"
	"math"

	"example.com/once/outbox"
)

// Fetch implements [outbox.Store]. It reads shard by shard, so that no row is read that
// Limit and Bytes do not let through.
func (s *Store) Fetch(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
	if r.Limit <= 0 {
		return outbox.Page{}, errPositive("FetchRequest.Limit", r.Limit)
	}
	page := outbox.Page{Safe: math.MaxInt64}
	size, full := 0, false
	for _, c := range r.From {
		n := 0
		err := each(ctx, s.read, s.e.fetch, func(scan func(...any) error) error {
			if size >= r.Bytes && len(page.Rows) > 0 {
				full = true
				return errEnough
			}
			var m stored
			var behind bool
			if err := scan(m.dest(&behind)...); err != nil {
				return err
			}
			row := m.row(s.names.shards)
			row.Behind = behind
			page.Rows = append(page.Rows, row)
			size += len(row.Payload)
			n++
			return nil
		}, c.Shard, c.After, r.Limit)
		if err != nil {
			return outbox.Page{}, s.e.failed("fetch", err)
		}
		page.More = page.More || full || n == r.Limit
		if full {
			break
		}
	}
	return page, nil
}

// Ack implements [outbox.Store].
func (s *Store) Ack(ctx context.Context, refs []outbox.Ref) error {
	rows := make([][]any, len(refs))
	for i, ref := range refs {
		rows[i] = []any{ref.Shard, ref.Seq}
	}
	return s.e.failed("ack", s.execRows(ctx, s.db, s.e.ack, nil, rows, nil))
}
