package outboxsql

import (
	"context"

	"example.com/once/outbox"
)

// dueBytes bounds the payload that one Due takes into memory.
const dueBytes = 16 << 20

// Due implements [outbox.Store].
//
// Messages of which nobody is ahead, the heads, are found through an index; what is behind
// them only through their keys, so that a key of ten thousand messages that wait costs
// nothing. The state behind keeps a message out of that index. Whoever takes a message away
// sees to it that no message without anybody ahead has that state.
func (s *Store) Due(ctx context.Context, held []outbox.Lease, limit int) ([]outbox.Row, error) {
	if limit <= 0 {
		return nil, errPositive("limit", limit)
	}
	var rows []outbox.Row
	size := 0
	for _, l := range held {
		p := plan{Store: s, shard: l.Shard, room: limit - len(rows), bytes: dueBytes - size}
		if p.room == 0 || p.bytes <= 0 {
			break
		}
		if err := p.heads(ctx); err != nil {
			return nil, s.e.failed("due", err)
		}
		if err := p.followers(ctx); err != nil {
			return nil, s.e.failed("due", err)
		}
		found, err := p.read(ctx)
		if err != nil {
			return nil, s.e.failed("due", err)
		}
		rows = append(rows, found...)
		for _, row := range found {
			size += len(row.Payload)
		}
	}
	return rows, nil
}

// plan collects what to read of one shard before any payload is read.
type plan struct {
	*Store
	shard  int
	room   int
	bytes  int // of payload; may be exceeded by one message
	parked []planned
	full   bool // bytes are used up
}

type planned struct {
	seq int64
	key string // "" = unordered
}

// add plans a message, unless there is no more room.
func (p *plan) add(seq int64, key string, size int) {
	if p.room == 0 || p.bytes <= 0 {
		p.full = true
		return
	}
	p.parked = append(p.parked, planned{seq, key})
	p.room--
	p.bytes -= size
}

// heads plans the messages that are due and have nobody ahead, the longest due first.
func (p *plan) heads(ctx context.Context) error {
	return each(ctx, p.Store.read, p.e.heads, func(scan func(...any) error) error {
		var seq int64
		var key string
		var size int
		if err := scan(&seq, &key, &size); err != nil {
			return err
		}
		p.add(seq, key, size)
		return nil
	}, p.shard, p.room)
}

// followers fills what room is left with what is behind the heads, up to the first of each
// key that is not due. Each key gets the same as long as it has enough.
func (p *plan) followers(ctx context.Context) error {
	last := map[string]int64{} // of the keys that may have more
	for _, h := range p.parked {
		if h.key != "" {
			last[h.key] = h.seq
		}
	}
	for p.room > 0 && !p.full && len(last) > 0 {
		most := (p.room + len(last) - 1) / len(last)
		var from [][]any
		for key, seq := range last {
			from = append(from, []any{key, seq})
		}
		found, stopped := map[string]int{}, map[string]bool{}
		err := p.eachOf(ctx, p.Store.read, p.e.followers, nil, from, []any{p.shard, most}, func(scan func(...any) error) error {
			var key string
			var seq int64
			var size int
			var due bool
			if err := scan(&key, &seq, &size, &due); err != nil {
				return err
			}
			if stopped[key] = stopped[key] || !due; stopped[key] {
				return nil
			}
			p.add(seq, key, size)
			found[key]++
			last[key] = seq
			return nil
		})
		if err != nil {
			return err
		}
		for key := range last {
			if stopped[key] || found[key] < most {
				delete(last, key)
			}
		}
	}
	return nil
}

// read reads what was planned. What has changed since is left out, with what is behind it;
// what is gone is not waited for.
func (p *plan) read(ctx context.Context) ([]outbox.Row, error) {
	wanted := make([][]any, len(p.parked))
	for i, m := range p.parked {
		wanted[i] = []any{m.seq}
	}
	type found struct {
		row outbox.Row
		due bool
	}
	bySeq := make(map[int64]found, len(wanted))
	err := p.eachOf(ctx, p.Store.read, p.e.parked, []any{p.shard}, wanted, nil, func(scan func(...any) error) error {
		var m stored
		var f found
		if err := scan(m.dest(&f.due)...); err != nil {
			return err
		}
		f.row = m.row(p.names.shards)
		bySeq[m.seq] = f
		return nil
	})
	if err != nil {
		return nil, err
	}
	var rows []outbox.Row
	stopped := map[string]bool{}
	for _, m := range p.parked {
		f, ok := bySeq[m.seq]
		switch {
		case !ok, stopped[m.key]:
		case f.due:
			rows = append(rows, f.row)
		case m.key != "":
			stopped[m.key] = true
		}
	}
	return rows, nil
}
