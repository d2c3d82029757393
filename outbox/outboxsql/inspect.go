package outboxsql

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
)

// Stats implements [outbox.Inspector].
func (s *Store) Stats(ctx context.Context) (outbox.Stats, error) {
	var st outbox.Stats
	var hot, parked sql.NullInt64
	const most = outbox.CountLimit
	err := s.read.QueryRowContext(ctx, s.e.stats, most, most, most).Scan(&st.Hot, &st.Parked, &st.Dead, &hot, &parked)
	if err != nil {
		return outbox.Stats{}, s.e.failed("stats", err)
	}
	st.Oldest = micros(max(hot.Int64, parked.Int64, 0))
	return st, nil
}

// deadPage is how many dead letters are read at a time, and deadBytes how much of their
// payload.
const (
	deadPage  = 100
	deadBytes = 4 << 20
)

// Dead implements [outbox.Inspector]. A letter that cannot be decoded comes with what could
// be read of it.
func (s *Store) Dead(ctx context.Context, f outbox.Filter) iter.Seq2[outbox.DeadLetter, error] {
	return func(yield func(outbox.DeadLetter, error) bool) {
		pos := position{shard: math.MinInt32}
		for left := limitOf(f); left > 0; {
			page, last, err := s.deadAfter(ctx, f, pos, int(min(left, deadPage)))
			if err != nil {
				yield(outbox.DeadLetter{}, s.e.failed("dead letters", err))
				return
			}
			for _, letter := range page {
				if !yield(letter, nil) {
					return
				}
				pos = position{letter.Shard, letter.Seq}
			}
			if last {
				return
			}
			left -= int64(len(page))
		}
	}
}

// position is a place in the order by shard and Seq.
type position struct {
	shard int
	seq   int64
}

// deadAfter reads the next dead letters, and says whether they are the last.
func (s *Store) deadAfter(ctx context.Context, f outbox.Filter, pos position, most int) (page []outbox.DeadLetter, last bool, err error) {
	query, args := s.filtered(s.e.dead, f, pos, most)
	size := 0
	last = true
	err = each(ctx, s.read, query, func(scan func(...any) error) error {
		if size >= deadBytes {
			last = false
			return errEnough
		}
		var m stored
		var letter outbox.DeadLetter
		var why sql.NullString
		var died any
		if err := scan(m.dest(&letter.Blocks, &why, &died)...); err != nil {
			return err
		}
		letter.Delivery, _ = m.decode(s.names.shards)
		letter.Err = why.String
		if at, ok := died.(int64); ok {
			letter.DiedAt = time.UnixMicro(at).UTC()
		}
		page = append(page, letter)
		size += len(letter.Payload)
		return nil
	}, args...)
	return page, last && len(page) < most, err
}

// Redrive implements [outbox.Inspector]. It works in steps: what they did stays done if it
// fails, and repeating it goes on from there.
func (s *Store) Redrive(ctx context.Context, f outbox.Filter) (int64, error) {
	return s.resolve(ctx, "redrive", f, s.e.redrive)
}

// Skip implements [outbox.Inspector]. It works in steps, as Redrive.
func (s *Store) Skip(ctx context.Context, f outbox.Filter) (int64, error) {
	return s.resolve(ctx, "skip", f, s.e.skip)
}

// resolveStep is how many dead letters are changed in one transaction.
const resolveStep = 500

// resolve changes the dead letters that match f, each once, even if they die again
// meanwhile.
func (s *Store) resolve(ctx context.Context, doing string, f outbox.Filter, change list) (n int64, err error) {
	pos := position{shard: math.MinInt32}
	for left := limitOf(f); left > 0; {
		step := int(min(left, resolveStep))
		found := 0
		err := s.inTx(ctx, doing, func(tx *sql.Tx) error {
			var dead, keys [][]any
			seen := map[[2]any]bool{}
			query, args := s.filtered(s.e.matches, f, pos, step)
			err := each(ctx, tx, query, func(scan func(...any) error) error {
				var key string
				if err := scan(&pos.shard, &pos.seq, &key); err != nil {
					return err
				}
				dead = append(dead, []any{pos.seq})
				if k := [2]any{pos.shard, key}; key != "" && !seen[k] {
					seen[k] = true
					keys = append(keys, k[:])
				}
				return nil
			}, args...)
			if err != nil {
				return err
			}
			found = len(dead)
			if err := s.execRows(ctx, tx, change, nil, dead, nil); err != nil {
				return err
			}
			return s.execRows(ctx, tx, s.e.wake, nil, keys, nil)
		})
		if err != nil {
			return n, err
		}
		n += int64(found)
		left -= int64(found)
		if found < step {
			break
		}
	}
	return n, nil
}

// filtered returns query for the dead letters that match f beyond pos.
func (s *Store) filtered(query string, f outbox.Filter, pos position, limit int) (string, []any) {
	var where strings.Builder
	var args []any
	and := func(condition string, values ...any) {
		fmt.Fprintf(&where, " AND %s", condition)
		args = append(args, values...)
	}
	if f.ID != uuid.Nil {
		and("m.msg_id = ?", f.ID[:])
	}
	if f.Topic != "" {
		and("m.topic = ?", f.Topic)
	}
	if f.Key != "" {
		and("m.msg_key = ?", f.Key)
	}
	if f.Lane != nil {
		first := int(*f.Lane) * s.names.shards
		and("m.shard BETWEEN ? AND ?", first, first+s.names.shards-1)
	}
	return strings.Replace(query, "{filter}", where.String(), 1), append(args, pos.shard, pos.seq, limit)
}

func limitOf(f outbox.Filter) int64 {
	if f.Limit <= 0 {
		return math.MaxInt64
	}
	return int64(f.Limit)
}
