package outboxtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
)

func storeCases() []kitCase[*C] {
	return slices.Concat(writeCases(), leaseCases(), balanceCases(), fetchCases(), parkCases(), dueCases(), settleCases(), inspectCases(), relayCases())
}

func writeCases() []kitCase[*C] {
	return []kitCase[*C]{
		{"W1 a message is read as it was written", "A committed message is read with its ID, topic, key, payload, headers and lane, at attempt 1.", w1},
		{"W2 commit and rollback", "A message exists if and only if the transaction that wrote it has committed.", w2},
		{"W3 identity", "A zero ID becomes a fresh UUIDv7; any other is kept.", w3},
		{"W4 what cannot be written", "A message that fails Validate is refused with ErrMessage, and nothing is written.", w4},
		{"W5 shards", "The shard is ShardOf the message, of as many shards as a lane has.", w5},
		{"W6 order of commits", "Writers that wait for each other get ascending Seqs, whatever began first.", w6},
		{"W7 limits", "The largest message that Validate lets through is written and read.", w7},
		{"W8 many at once", "Messages of one Write are read in the order given.", w8},
	}
}

func w1(c *C) {
	before := time.Now().Add(-c.opt.margin)
	messages := []outbox.Message{
		{ID: uuid.New(), Topic: "t", Payload: []byte("all"), Key: "κλειδί 'quoted\"", Lane: 0, Headers: []outbox.Header{
			{Key: "b", Value: "2"}, {Key: "a", Value: "1"}, {Key: "b", Value: ""}, {Key: "ж", Value: "значение;\t%s"},
		}},
		{ID: uuid.New(), Topic: "topic/with.signs", Payload: []byte{}},
		{ID: uuid.New(), Topic: "t", Payload: []byte{0, 1, 0xfe, 0xff, '\'', '\n'}, Lane: 7},
		{ID: uuid.New(), Topic: "t", Payload: nil, Key: "k", Lane: 255},
	}
	c.send(messages...)
	rows := c.relay("a").hot()
	if len(rows) != len(messages) {
		c.Fatalf("%d messages are read, want %d", len(rows), len(messages))
	}
	for _, want := range messages {
		i := slices.IndexFunc(rows, func(r outbox.Row) bool { return r.ID == want.ID })
		if i < 0 {
			c.Errorf("message %v is missing", want.ID)
			continue
		}
		got := rows[i]
		if got.Err != nil || got.Topic != want.Topic || got.Key != want.Key || !bytes.Equal(got.Payload, want.Payload) || got.Lane != want.Lane ||
			!slices.Equal(got.Headers, want.Headers) || !got.NotBefore.IsZero() {
			c.Errorf("read %+v (%v), wrote %+v", got.Message, got.Err, want)
		}
		if got.Attempt != 1 || got.Seq <= 0 || got.Behind {
			c.Errorf("attempt %d, Seq %d, behind %t; want attempt 1, a positive Seq, and nobody ahead", got.Attempt, got.Seq, got.Behind)
		}
		if day := 24 * time.Hour; got.CreatedAt.Before(before.Add(-day)) || got.CreatedAt.After(time.Now().Add(day)) {
			c.Errorf("created at %v, want about now", got.CreatedAt)
		}
	}
}

func w2(c *C) {
	r := c.relay("a")
	tx := c.begin()
	c.write(tx, keyed("k", "committed")...)
	if !c.opt.oneWriter {
		c.want("before the commit", r.hot())
	}
	c.commit(tx)
	tx = c.begin()
	c.write(tx, keyed("k", "rolled back")...)
	c.write(tx, outbox.Message{Topic: "t", Payload: []byte("delayed"), NotBefore: time.Now().Add(-time.Minute)})
	if err := tx.Rollback(); err != nil {
		c.Fatalf("rollback: %v", err)
	}
	c.want("after a commit and a rollback", append(r.hot(), r.due()...), "committed")
}

func w3(c *C) {
	own := uuid.New()
	c.send(append(keyed("", "zero", "another"), outbox.Message{ID: own, Topic: "t", Payload: []byte("own")})...)
	r := c.relay("a")
	rows := r.hot()
	zero, another := r.row(rows, "zero").ID, r.row(rows, "another").ID
	if zero.Version() != 7 || another.Version() != 7 || zero == another {
		c.Errorf("zero IDs became %v and %v, want two version 7 UUIDs", zero, another)
	}
	if got := r.row(rows, "own").ID; got != own {
		c.Errorf("ID %v became %v", own, got)
	}
}

func w4(c *C) {
	for what, m := range map[string]outbox.Message{
		"no topic":                  {Payload: []byte("x")},
		"a payload that is too big": {Topic: "t", Payload: make([]byte, outbox.MaxPayload+1)},
		"a header with a line feed": {Topic: "t", Headers: []outbox.Header{{Key: "k", Value: "a\nb"}}},
		"a key that is no UTF-8":    {Topic: "t", Key: "\xff"},
	} {
		tx := c.begin()
		err := tx.Write(c.ctx, outbox.Message{Topic: "t", Payload: []byte("good")}, m)
		if !errors.Is(err, outbox.ErrMessage) {
			c.Errorf("%s: %v, want ErrMessage", what, err)
		}
		if err := tx.Rollback(); err != nil {
			c.Fatalf("rollback: %v", err)
		}
	}
	c.want("after refusals", c.relay("a").hot())
}

func w5(c *C) {
	r := c.relay("a")
	shards := 0
	for _, l := range r.held {
		if l.Lane == 0 {
			shards++
		}
	}
	for lane := range uint8(3) {
		for i := range 50 {
			c.send(outbox.Message{Topic: "t", Key: fmt.Sprint("k", i%20), Lane: lane * 100, Payload: []byte("x")},
				outbox.Message{Topic: "t", Lane: lane * 100, Payload: []byte("x")})
		}
	}
	r.again()
	if len(r.held) != 3*shards {
		c.Errorf("one relay holds %d shards of three lanes with %d each", len(r.held), shards)
	}
	rows := r.hot()
	if len(rows) != 300 {
		c.Fatalf("%d of 300 messages are read", len(rows))
	}
	for _, row := range rows {
		if want := outbox.ShardOf(&row.Message, shards); row.Shard != want {
			c.Fatalf("a message of key %q, ID %v and lane %d is in shard %d, want %d", row.Key, row.ID, row.Lane, row.Shard, want)
		}
		if l := r.held[row.Shard]; l.Lane != row.Lane {
			c.Fatalf("shard %d is leased as of lane %d and holds a message of lane %d", row.Shard, l.Lane, row.Lane)
		}
	}
}

func w6(c *C) {
	if c.opt.oneWriter {
		c.Skipf("the database has one writer at a time")
	}
	early := c.begin()
	c.write(early, keyed("other", "unrelated")...)
	for i := range 20 {
		c.put("k", fmt.Sprintf("%02d", i))
	}
	c.write(early, keyed("k", "20")...) // it has waited for all of them
	c.commit(early)
	c.ordered("the key", of(c.relay("a").hot(), "k"), sequence("", 21)...)
}

func w7(c *C) {
	long := strings.Repeat("n", outbox.MaxName)
	m := outbox.Message{
		ID: uuid.New(), Topic: long, Key: long, Payload: bytes.Repeat([]byte{0xa5}, outbox.MaxPayload),
		Headers: []outbox.Header{{Key: long, Value: strings.Repeat("v", outbox.MaxHeaders-outbox.MaxName)}},
	}
	c.send(m)
	rows := c.relay("a").hot()
	if len(rows) != 1 || rows[0].Err != nil || rows[0].Topic != m.Topic || rows[0].Key != m.Key || !bytes.Equal(rows[0].Payload, m.Payload) ||
		!slices.Equal(rows[0].Headers, m.Headers) {
		c.Errorf("%d messages are read, or not what was written", len(rows))
	}
}

func w8(c *C) {
	want := sequence("m", 500)
	c.put("k", want...)
	c.ordered("one Write", c.relay("a").hot(), want...)
}
