package outboxsql

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"example.com/once/outbox"
)

// messageColumns are the columns that both tables of messages have, of the table m. After
// them a query names not_before and attempts, and what it needs besides.
const messageColumns = `m.seq, m.shard, m.msg_id, m.created, m.topic, m.msg_key, m.headers, m.payload`

// stored is a row as it comes. Numbers are taken as they are: whatever else the engine let
// into the column must spoil that row only.
type stored struct {
	seq                          int64
	shard                        int
	id, topic, key               []byte
	headers, payload             []byte
	created, notBefore, attempts any
}

// dest returns where the columns go.
func (r *stored) dest(more ...any) []any {
	return append([]any{
		&r.seq, &r.shard, &r.id, &r.created, &r.topic, &r.key, &r.headers, &r.payload, &r.notBefore, &r.attempts,
	}, more...)
}

// decode returns the message with the number of attempts spent, and what could not be
// decoded. Everything else is filled in then, too.
func (r *stored) decode(shards int) (d outbox.Delivery, err error) {
	keep := func(e error) {
		if err == nil && e != nil {
			err = fmt.Errorf("outboxsql: message %d of shard %d cannot be decoded: %w", r.seq, r.shard, e)
		}
	}
	d.Seq, d.Shard, d.Payload = r.seq, r.shard, r.payload
	if lane := r.shard / shards; lane >= 0 && lane <= 255 {
		d.Lane = uint8(lane)
	} else {
		keep(errors.New("shard: beyond the last lane"))
	}
	var e error
	d.ID, e = uuid.FromBytes(r.id)
	if e != nil {
		keep(fmt.Errorf("id: %w", e))
	}
	d.Topic, e = text("topic", r.topic)
	keep(e)
	d.Key, e = text("key", r.key)
	keep(e)
	d.Headers, e = decodeHeaders(r.headers)
	keep(e)
	created, e := integer("created", r.created)
	keep(e)
	d.CreatedAt = time.UnixMicro(created).UTC()
	if r.notBefore != nil {
		at, e := integer("not_before", r.notBefore)
		keep(e)
		d.NotBefore = time.UnixMicro(at).UTC()
	}
	attempts, e := integer("attempts", r.attempts)
	keep(e)
	d.Attempt = int(attempts)
	return d, err
}

// row returns the message for its next attempt.
func (r *stored) row(shards int) outbox.Row {
	d, err := r.decode(shards)
	d.Attempt++
	return outbox.Row{Delivery: d, Err: err}
}

func text(column string, b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", fmt.Errorf("%s: not valid UTF-8", column)
	}
	return string(b), nil
}

func integer(column string, v any) (int64, error) {
	n, ok := v.(int64)
	if !ok {
		return 0, fmt.Errorf("%s: a %T, not a number", column, v)
	}
	return n, nil
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// ceil turns d into microseconds without shortening it.
func ceil(d time.Duration) int64 {
	n := int64(d / time.Microsecond)
	if d%time.Microsecond > 0 {
		n++
	}
	return n
}

// blob makes an absent value NULL: drivers mix the two up.
func blob(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}
