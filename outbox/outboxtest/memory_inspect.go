package outboxtest

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"example.com/once/outbox"
	"github.com/google/uuid"
)

// Stats implements [outbox.Inspector].
func (m *Memory) Stats(ctx context.Context) (outbox.Stats, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return outbox.Stats{}, err
	}
	var s outbox.Stats
	now := time.Now()
	age := func(row *memoryRow) {
		since := row.delivery.CreatedAt
		if row.delivery.NotBefore.After(since) {
			since = row.delivery.NotBefore
		}
		s.Oldest = max(s.Oldest, now.Sub(since))
	}
	for _, sh := range m.shards {
		s.Hot += int64(len(sh.hot))
		if len(sh.hot) > 0 {
			age(sh.hot[0])
		}
		for _, row := range sh.parked {
			if row.dead {
				s.Dead++
				continue
			}
			s.Parked++
			age(row)
		}
	}
	s.Hot, s.Parked, s.Dead = min(s.Hot, outbox.CountLimit), min(s.Parked, outbox.CountLimit), min(s.Dead, outbox.CountLimit)
	return s, nil
}

// Dead implements [outbox.Inspector].
func (m *Memory) Dead(ctx context.Context, f outbox.Filter) iter.Seq2[outbox.DeadLetter, error] {
	return func(yield func(outbox.DeadLetter, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(outbox.DeadLetter{}, err)
			return
		}
		m.mu.Lock()
		var letters []outbox.DeadLetter
		m.eachDead(f, func(_ *memoryShard, row *memoryRow) {
			d := row.read()
			d.Attempt = row.attempts
			letters = append(letters, outbox.DeadLetter{Delivery: d, Err: row.err, DiedAt: row.diedAt, Blocks: row.blocks})
		})
		m.mu.Unlock()
		for _, l := range letters {
			if !yield(l, nil) {
				return
			}
		}
	}
}

// Redrive implements [outbox.Inspector].
func (m *Memory) Redrive(ctx context.Context, f outbox.Filter) (int64, error) {
	return m.resolve(ctx, f, func(sh *memoryShard, row *memoryRow) {
		row.dead, row.blocks, row.attempts, row.due = false, false, 0, time.Now()
		sh.park(row)
	})
}

// Skip implements [outbox.Inspector].
func (m *Memory) Skip(ctx context.Context, f outbox.Filter) (int64, error) {
	return m.resolve(ctx, f, func(*memoryShard, *memoryRow) {})
}

func (m *Memory) resolve(ctx context.Context, f outbox.Filter, then func(*memoryShard, *memoryRow)) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	var n int64
	m.eachDead(f, func(sh *memoryShard, row *memoryRow) {
		sh.unpark(row.delivery.Seq)
		then(sh, row)
		n++
	})
	return n, nil
}

// eachDead calls do for the dead letters that match f, by shard and Seq. The caller holds
// mu; do may change the tables.
func (m *Memory) eachDead(f outbox.Filter, do func(*memoryShard, *memoryRow)) {
	n := 0
	for _, number := range slices.Sorted(maps.Keys(m.shards)) {
		sh := m.shards[number]
		for _, row := range slices.Clone(sh.parked) {
			if !row.dead || !matches(f, row.delivery) {
				continue
			}
			if f.Limit > 0 && n >= f.Limit {
				return
			}
			n++
			do(sh, row)
		}
	}
}

func matches(f outbox.Filter, d outbox.Delivery) bool {
	return (f.ID == uuid.Nil || f.ID == d.ID) && (f.Topic == "" || f.Topic == d.Topic) &&
		(f.Key == "" || f.Key == d.Key) && (f.Lane == nil || *f.Lane == d.Lane)
}
