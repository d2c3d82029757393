package integration_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
)

// graveyard writes n messages of several keys, topics and lanes that are all dead.
func graveyard(t *testing.T, o *outboxDB, n int) []outbox.Message {
	t.Helper()
	msgs := make([]outbox.Message, n)
	for i := range msgs {
		msgs[i] = outbox.Message{ID: uuid.New(), Topic: fmt.Sprint("t", i%2), Key: fmt.Sprint("k", i%7), Lane: uint8(i % 3), Payload: []byte("x")}
	}
	o.write(t, msgs...)
	for _, l := range o.lease(t, "a") {
		var items []outbox.Outcome
		for _, row := range o.fetch(t, []outbox.Lease{l}) {
			items = append(items, outbox.Outcome{Seq: row.Seq, Fate: outbox.Dead, Attempts: 3, Err: "no"})
		}
		o.park(t, l, items...)
	}
	return msgs
}

func (o *outboxDB) letters(tb testing.TB, f outbox.Filter) []outbox.DeadLetter {
	tb.Helper()
	var all []outbox.DeadLetter
	for l, err := range o.Dead(tb.Context(), f) {
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

func TestOutboxDeadLettersArePaged(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{Shards: 2})
		msgs := graveyard(t, o, 730)
		// The only connection: were a page held open, the write in between would never end.
		o.db.SetMaxOpenConns(1)
		byShardAndSeq := func(a, b outbox.DeadLetter) int {
			return slices.Compare([]int64{int64(a.Shard), a.Seq}, []int64{int64(b.Shard), b.Seq})
		}
		n := 0
		var last outbox.DeadLetter
		for l, err := range o.Dead(t.Context(), outbox.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if n%50 == 0 {
				o.write(t, outbox.Message{Topic: "more"})
			}
			if n > 0 && byShardAndSeq(last, l) >= 0 {
				t.Fatalf("%d/%d comes after %d/%d", l.Shard, l.Seq, last.Shard, last.Seq)
			}
			last = l
			n++
		}
		if n != len(msgs) {
			t.Errorf("%d dead letters, want %d", n, len(msgs))
		}
		lane := uint8(2)
		for _, tt := range []struct {
			f    outbox.Filter
			want func(i int) bool
		}{
			{outbox.Filter{Topic: "t1"}, func(i int) bool { return i%2 == 1 }},
			{outbox.Filter{Key: "k3"}, func(i int) bool { return i%7 == 3 }},
			{outbox.Filter{Lane: &lane}, func(i int) bool { return i%3 == 2 }},
			{outbox.Filter{Lane: &lane, Topic: "t0", Key: "k5"}, func(i int) bool { return i%42 == 26 }},
			{outbox.Filter{ID: msgs[17].ID}, func(i int) bool { return i == 17 }},
			{outbox.Filter{Key: "k9"}, func(int) bool { return false }},
		} {
			var want, got []string
			for i, m := range msgs {
				if tt.want(i) {
					want = append(want, m.ID.String())
				}
			}
			letters := o.letters(t, tt.f)
			for _, l := range letters {
				got = append(got, l.ID.String())
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%+v: %d letters, want %d", tt.f, len(got), len(want))
			}
			for _, limit := range []int{1, 100, 101, 150} {
				tt.f.Limit = limit
				if got := o.letters(t, tt.f); !slices.EqualFunc(got, letters[:min(limit, len(letters))], func(a, b outbox.DeadLetter) bool { return a.ID == b.ID }) {
					t.Errorf("%+v: %d letters", tt.f, len(got))
				}
			}
		}
		for range o.Dead(t.Context(), outbox.Filter{}) {
			break // must not leave anything open
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		n = 0
		for _, err := range o.Dead(ctx, outbox.Filter{}) {
			if n++; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if n != 1 {
			t.Errorf("%d errors", n)
		}
	})
}

// TestOutboxRedriveMany redrives more than one step takes, while a relay lets the messages
// die again at once: each is redriven once.
func TestOutboxRedriveMany(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{Shards: 2})
		graveyard(t, o, 1300)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			held := o.lease(t, "a")
			for ctx.Err() == nil {
				for _, l := range held {
					var items []outbox.Outcome
					for _, row := range o.due(t, []outbox.Lease{l}) {
						items = append(items, outbox.Outcome{Seq: row.Seq, Fate: outbox.Dead})
					}
					o.settle(t, l, items...)
				}
			}
		})
		n, err := o.Redrive(t.Context(), outbox.Filter{})
		cancel()
		wg.Wait()
		if n != 1300 || err != nil {
			t.Errorf("redriven %d, %v", n, err)
		}
		if n, err := o.Skip(t.Context(), outbox.Filter{Limit: 600}); n > 600 || err != nil {
			t.Errorf("skipped %d, %v", n, err)
		}
	})
}

func TestOutboxStatsStopCounting(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{Shards: 1})
		if s, err := o.Stats(t.Context()); err != nil || s != (outbox.Stats{}) {
			t.Errorf("empty: %+v, %v", s, err)
		}
		o.write(t, outbox.Message{Topic: "t"}, outbox.Message{Topic: "t"}, outbox.Message{Topic: "t"})
		l := o.lease(t, "a")[0]
		o.park(t, l, outbox.Outcome{Seq: 1, Fate: outbox.Again, Wait: time.Hour}, outbox.Outcome{Seq: 2, Fate: outbox.Dead})
		exec(t, o.db, "UPDATE once_outbox_parked SET created = created - ?", time.Hour.Microseconds())
		if s, err := o.Stats(t.Context()); err != nil || s.Oldest < time.Hour || s.Oldest > time.Hour+time.Minute || s.Hot != 1 || s.Parked != 1 || s.Dead != 1 {
			t.Errorf("%+v, %v", s, err)
		}
		exec(t, o.db, "UPDATE once_outbox SET created = created - ?", 2*time.Hour.Microseconds())
		if s, err := o.Stats(t.Context()); err != nil || s.Oldest < 2*time.Hour {
			t.Errorf("%+v, %v", s, err)
		}
		// A delayed message is as old as its delay is over, and no older than itself.
		exec(t, o.db, "DELETE FROM once_outbox")
		exec(t, o.db, "DELETE FROM once_outbox_parked")
		o.write(t, outbox.Message{Topic: "t", NotBefore: time.Unix(0, 0)}, outbox.Message{Topic: "t", NotBefore: time.Now().Add(time.Hour)})
		if s, err := o.Stats(t.Context()); err != nil || s.Oldest > time.Minute {
			t.Errorf("%+v, %v", s, err)
		}
		exec(t, o.db, "UPDATE once_outbox_parked SET created = created - ?1, not_before = not_before - ?1 WHERE not_before > 0", 2*time.Hour.Microseconds())
		if s, err := o.Stats(t.Context()); err != nil || s.Oldest < time.Hour-time.Minute || s.Oldest > time.Hour+time.Minute {
			t.Errorf("%+v, %v", s, err)
		}
		const many = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10050) `
		exec(t, o.db, many+`INSERT INTO once_outbox (shard, msg_id, created, topic, msg_key) SELECT 0, zeroblob(16), ?, 't', '' FROM n`, 0)
		for state := range 3 {
			exec(t, o.db, many+`INSERT INTO once_outbox_parked (seq, shard, state, attempts, due, msg_id, created, topic, msg_key)
SELECT ? * 100000 + i, 0, ?, 0, 0, zeroblob(16), 0, 't', 'k' FROM n`, state+1, state)
		}
		s, err := o.Stats(t.Context())
		if err != nil || s.Hot != outbox.CountLimit || s.Parked != outbox.CountLimit || s.Dead != outbox.CountLimit {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// TestOutboxDamagedRows: what cannot be decoded comes with an error of its own and with the
// rest of it, does not keep others from being read, and can be looked at when it is dead.
func TestOutboxDamagedRows(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		for column, value := range map[string]any{
			"headers": []byte{1, 200},
			"msg_id":  []byte("short"),
			"topic":   []byte{0xff},
			"created": "yesterday",
			"msg_key": []byte{0xff, 'k'},
		} {
			t.Run(column, func(t *testing.T) {
				o, l := oneShard(t, d, 3)
				exec(t, o.db, "UPDATE once_outbox SET "+column+" = ? WHERE seq = 2", value)
				check := func(row outbox.Row) {
					t.Helper()
					if (row.Err != nil) != (row.Seq == 2) || row.Shard != 0 || row.Seq < 1 || string(row.Payload) != strconv.FormatInt(row.Seq, 10) {
						t.Errorf("%+v", row)
					}
					if row.Err != nil && !strings.Contains(row.Err.Error(), "message 2 of shard 0 cannot be decoded: ") {
						t.Error(row.Err)
					}
				}
				hot := o.fetch(t, []outbox.Lease{l})
				if len(hot) != 3 {
					t.Fatalf("%d rows", len(hot))
				}
				for _, row := range hot {
					check(row)
				}
				o.park(t, l, outbox.Outcome{Seq: 1, Fate: outbox.Again}, outbox.Outcome{Seq: 2, Fate: outbox.Again}, outbox.Outcome{Seq: 3, Fate: outbox.Behind})
				due := o.due(t, []outbox.Lease{l})
				if len(due) != 3 {
					t.Fatalf("%d rows", len(due))
				}
				for _, row := range due {
					check(row)
				}
				o.settle(t, l, outbox.Outcome{Seq: 2, Fate: outbox.Dead, Err: "damaged"})
				letters := o.letters(t, outbox.Filter{})
				if len(letters) != 1 || letters[0].Seq != 2 || letters[0].Err != "damaged" || string(letters[0].Payload) != "2" {
					t.Errorf("%+v", letters)
				}
				if n, err := o.Skip(t.Context(), outbox.Filter{}); n != 1 || err != nil {
					t.Error(n, err)
				}
			})
		}
	})
}
