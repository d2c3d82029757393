package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"math"
	"slices"
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
		pos := beginning()
		for left := limitOf(f); left > 0; {
			page, more, err := s.deadPage(ctx, f, &pos, min(left, deadPage))
			if err != nil {
				yield(outbox.DeadLetter{}, s.e.failed("dead letters", err))
				return
			}
			for _, letter := range page {
				if !yield(letter, nil) {
					return
				}
			}
			if !more {
				return
			}
			left -= len(page)
		}
	}
}

// deadPage reads the dead letters after pos, and says whether there may be more.
func (s *Store) deadPage(ctx context.Context, f outbox.Filter, pos *position, most int) (page []outbox.DeadLetter, more bool, err error) {
	size := 0
	more, err = s.eachDead(ctx, s.read, s.e.dead, f, pos, most, func(scan func(...any) error) error {
		if size >= deadBytes {
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
		*pos = position{m.shard, m.seq}
		return nil
	})
	return page, more, err
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
	pos := beginning()
	more := true
	for left := limitOf(f); more && left > 0; {
		var dead, keys [][]any
		err := s.inTx(ctx, doing, func(tx *sql.Tx) (err error) {
			seen := map[[2]any]bool{}
			more, err = s.eachDead(ctx, tx, s.e.matches, f, &pos, min(left, resolveStep), func(scan func(...any) error) error {
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
			})
			if err != nil {
				return err
			}
			if err := s.execRows(ctx, tx, change, nil, dead, nil); err != nil {
				return err
			}
			return s.execRows(ctx, tx, s.e.wake, nil, keys, nil)
		})
		if err != nil {
			return n, err
		}
		n += int64(len(dead))
		left -= len(dead)
	}
	return n, nil
}

// position is a place among the dead letters, which are in the order of shard and Seq.
type position struct {
	shard int
	seq   int64
}

func beginning() position { return position{shard: math.MinInt32} }

// eachDead calls each with the scanner of at most so many dead letters that match f and
// come after pos, which each may move. It says whether there may be more.
func (s *Store) eachDead(ctx context.Context, q queryer, query string, f outbox.Filter, pos *position, most int,
	use func(scan func(...any) error) error,
) (more bool, err error) {
	n, stopped := 0, false
	counted := func(scan func(...any) error) error {
		err := use(scan)
		if stopped = errors.Is(err, errEnough); !stopped {
			n++
		}
		return err
	}
	// The rest of the shard, then the shards after it: no engine makes one good plan of both.
	from := *pos
	where, args := s.matching(f)
	err = each(ctx, q, strings.Replace(query, "{filter}", where+" AND m.shard = ? AND m.seq > ?", 1), counted,
		append(args, from.shard, from.seq, most)...)
	if err != nil || stopped || n == most {
		return true, err
	}
	err = each(ctx, q, strings.Replace(query, "{filter}", where+" AND m.shard > ?", 1), counted,
		append(args, from.shard, most-n)...)
	return stopped || n == most, err
}

// matching returns the condition of f.
func (s *Store) matching(f outbox.Filter) (where string, args []any) {
	and := func(condition string, values ...any) {
		where += " AND " + condition
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
	return where, slices.Clip(args)
}

func limitOf(f outbox.Filter) int {
	if f.Limit <= 0 {
		return math.MaxInt
	}
	return f.Limit
}
