package integration_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
)

// oneShard opens an outbox with one shard and writes messages of one key, numbered from 1.
func oneShard(t *testing.T, d sqliteDriver, n int) (*outboxDB, outbox.Lease) {
	t.Helper()
	o := openOutbox(t, d, "", outboxsql.Config{Shards: 1})
	msgs := make([]outbox.Message, n)
	for i := range msgs {
		msgs[i] = outbox.Message{Topic: "t", Key: "k", Payload: []byte(strconv.Itoa(i + 1))}
	}
	o.write(t, msgs...)
	return o, o.lease(t, "a")[0]
}

func (o *outboxDB) park(tb testing.TB, l outbox.Lease, items ...outbox.Outcome) {
	tb.Helper()
	if err := o.Park(tb.Context(), l, items); err != nil {
		tb.Fatal(err)
	}
}

func (o *outboxDB) settle(tb testing.TB, l outbox.Lease, items ...outbox.Outcome) {
	tb.Helper()
	if err := o.Settle(tb.Context(), l, items); err != nil {
		tb.Fatal(err)
	}
}

// wantDue checks what is due.
func (o *outboxDB) wantDue(tb testing.TB, l outbox.Lease, want ...int64) {
	tb.Helper()
	got := seqsOf(o.due(tb, []outbox.Lease{l}))
	if !slices.Equal(got, want) {
		tb.Errorf("due are %v, want %v", got, want)
	}
}

func seqsOf(rows []outbox.Row) []int64 {
	var seqs []int64
	for _, row := range rows {
		seqs = append(seqs, row.Seq)
	}
	return seqs
}

func TestOutboxKeyWaitsForItsParkedHead(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o, l := oneShard(t, d, 4)
		o.park(t, l, outbox.Outcome{Seq: 1, Fate: outbox.Again, Attempts: 1, Wait: time.Hour, Err: "boom"}, outbox.Outcome{Seq: 2, Fate: outbox.Behind})
		hot := o.fetch(t, []outbox.Lease{l})
		if len(hot) != 2 || !hot[0].Behind || !hot[1].Behind {
			t.Fatalf("hot: %+v", hot)
		}
		o.park(t, l, outbox.Outcome{Seq: 3, Fate: outbox.Behind})
		o.wantDue(t, l)
		o.settle(t, l, outbox.Outcome{Seq: 1, Fate: outbox.Again, Attempts: 2})
		o.wantDue(t, l, 1, 2, 3)
		for seq, attempt := range map[int]int{0: 3, 1: 1, 2: 1} {
			if row := o.due(t, []outbox.Lease{l})[seq]; row.Attempt != attempt {
				t.Errorf("%d is at attempt %d, want %d", row.Seq, row.Attempt, attempt)
			}
		}
		o.settle(t, l, outbox.Outcome{Seq: 1, Fate: outbox.Published}, outbox.Outcome{Seq: 2, Fate: outbox.Again, Attempts: 1, Wait: time.Hour})
		o.wantDue(t, l)
		o.settle(t, l, outbox.Outcome{Seq: 2, Fate: outbox.Dead})
		o.wantDue(t, l, 3)
		o.settle(t, l, outbox.Outcome{Seq: 3, Fate: outbox.Published})
		if hot := o.fetch(t, []outbox.Lease{l}); len(hot) != 1 || hot[0].Behind {
			t.Errorf("hot: %+v", hot)
		}
		// It was read as behind 3, and is parked after 3 has left.
		o.park(t, l, outbox.Outcome{Seq: 4, Fate: outbox.Behind})
		o.wantDue(t, l, 4)
	})
}

func TestOutboxBlockedKeyWaitsForTheOperator(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		for _, skip := range []bool{false, true} {
			o, l := oneShard(t, d, 4)
			o.park(t, l, outbox.Outcome{Seq: 1, Fate: outbox.Block, Attempts: 5, Err: "no"}, outbox.Outcome{Seq: 2, Fate: outbox.Behind}, outbox.Outcome{Seq: 3, Fate: outbox.Behind})
			o.wantDue(t, l)
			if hot := o.fetch(t, []outbox.Lease{l}); len(hot) != 1 || !hot[0].Behind {
				t.Fatalf("hot: %+v", hot)
			}
			var letters []outbox.DeadLetter
			for letter, err := range o.Dead(t.Context(), outbox.Filter{}) {
				if err != nil {
					t.Fatal(err)
				}
				letters = append(letters, letter)
			}
			if len(letters) != 1 || !letters[0].Blocks || letters[0].Attempt != 5 || letters[0].Err != "no" || time.Since(letters[0].DiedAt).Abs() > time.Minute {
				t.Errorf("dead: %+v", letters)
			}
			resolve, want := o.Redrive, []int64{1, 2, 3}
			if skip {
				resolve, want = o.Skip, []int64{2, 3}
			}
			for i, n := range []int64{1, 0} {
				if got, err := resolve(t.Context(), outbox.Filter{Key: "k"}); got != n || err != nil {
					t.Errorf("call %d: %d, %v", i, got, err)
				}
			}
			o.wantDue(t, l, want...)
			if row := o.due(t, []outbox.Lease{l})[0]; row.Attempt != 1 {
				t.Errorf("attempt %d", row.Attempt)
			}
		}
	})
}

// TestOutboxDeadStaysDead: whoever settles a message that is dead by now is late.
func TestOutboxDeadStaysDead(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o, l := oneShard(t, d, 2)
		o.park(t, l, outbox.Outcome{Seq: 1, Fate: outbox.Block, Attempts: 2, Err: "no"}, outbox.Outcome{Seq: 2, Fate: outbox.Dead})
		want := o.dump(t)
		for _, fate := range []outbox.Fate{outbox.Published, outbox.Again, outbox.Dead, outbox.Block} {
			o.settle(t, l, outbox.Outcome{Seq: 1, Fate: fate, Attempts: 7, Err: "late"}, outbox.Outcome{Seq: 2, Fate: fate})
			if got := o.dump(t); got != want {
				t.Errorf("fate %d:\n%s\nwant\n%s", fate, got, want)
			}
		}
	})
}

func TestOutboxRedriveGoesBeforeWhatFollowed(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o, l := oneShard(t, d, 4)
		o.park(t, l, outbox.Outcome{Seq: 1, Fate: outbox.Dead}, outbox.Outcome{Seq: 2, Fate: outbox.Dead}, outbox.Outcome{Seq: 3, Fate: outbox.Again})
		if hot := o.fetch(t, []outbox.Lease{l}); hot[0].Behind != true {
			t.Fatalf("hot: %+v", hot)
		}
		o.wantDue(t, l, 3)
		if n, err := o.Redrive(t.Context(), outbox.Filter{}); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		if c := count(t, o.db, "SELECT COUNT(*) FROM once_outbox_parked WHERE state = 1"); c != 1 {
			t.Errorf("%d messages follow, want 2 behind 1", c)
		}
		o.wantDue(t, l, 1, 2, 3)
		o.settle(t, l, outbox.Outcome{Seq: 1, Fate: outbox.Again, Wait: time.Hour})
		o.wantDue(t, l)
	})
}

func TestOutboxDelayedMessageIsOutsideItsKey(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o, l := oneShard(t, d, 1)
		at := time.Now().Add(100 * time.Millisecond)
		o.write(t, outbox.Message{Topic: "t", Key: "k", NotBefore: at}, outbox.Message{Topic: "t", Key: "k", NotBefore: at.Add(time.Hour)})
		if hot := o.fetch(t, []outbox.Lease{l}); len(hot) != 1 || hot[0].Behind {
			t.Errorf("hot: %+v", hot)
		}
		o.park(t, l, outbox.Outcome{Seq: 1, Fate: outbox.Block})
		for {
			due := o.due(t, []outbox.Lease{l})
			if len(due) == 0 {
				continue
			}
			if early := time.Until(at); early > time.Millisecond || due[0].Seq != 2 || due[0].OrderKey() != "" || due[0].Key != "k" {
				t.Errorf("%v early: %+v", early, due)
			}
			break
		}
		stats, err := o.Stats(t.Context())
		if err != nil || stats.Hot != 0 || stats.Parked != 2 || stats.Dead != 1 || stats.Oldest <= 0 || stats.Oldest > time.Minute {
			t.Errorf("%+v, %v", stats, err)
		}
	})
}

// TestOutboxManyFollowers parks more than a statement takes. Due must hand out limit of
// them, in order, and others not wait.
func TestOutboxManyFollowers(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		const n = 1500
		o, l := oneShard(t, d, n)
		o.write(t, outbox.Message{Topic: "t", Key: "other"}, outbox.Message{Topic: "t"})
		items := make([]outbox.Outcome, 0, n)
		for i := range int64(n) {
			items = append(items, outbox.Outcome{Seq: i + 1, Fate: outbox.Behind})
		}
		items[0] = outbox.Outcome{Seq: 1, Fate: outbox.Again, Attempts: 1, Wait: time.Hour}
		o.park(t, l, items...)
		o.park(t, l, outbox.Outcome{Seq: n + 1, Fate: outbox.Again}, outbox.Outcome{Seq: n + 2, Fate: outbox.Again})
		o.wantDue(t, l, n+1, n+2)
		if c := count(t, o.db, "SELECT COUNT(*) FROM once_outbox_parked WHERE state = 0"); c != 3 {
			t.Errorf("Due has to look at %d messages, want only those with nobody ahead", c)
		}
		o.settle(t, l, outbox.Outcome{Seq: 1, Fate: outbox.Again, Attempts: 2})
		rows, err := o.Due(t.Context(), []outbox.Lease{l}, 700)
		if err != nil || len(rows) != 700 {
			t.Fatal(len(rows), err)
		}
		next := int64(1)
		for _, row := range rows {
			if row.Key == "k" {
				if row.Seq != next {
					t.Fatalf("%d, want %d", row.Seq, next)
				}
				next++
			}
		}
		var done []outbox.Outcome
		for _, row := range rows {
			done = append(done, outbox.Outcome{Seq: row.Seq, Fate: outbox.Published})
		}
		o.settle(t, l, done...)
		if rows, err = o.Due(t.Context(), []outbox.Lease{l}, 10); err != nil || len(rows) != 10 || rows[0].Seq != next {
			t.Errorf("after %d: %v, %v", next, seqsOf(rows), err)
		}
	})
}

// TestOutboxDueIsFair: what is left after the heads is shared among their keys.
func TestOutboxDueIsFair(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{Shards: 1})
		var items []outbox.Outcome
		for i := range int64(30) {
			o.write(t, outbox.Message{Topic: "t", Key: strconv.Itoa(int(i / 10))})
			items = append(items, outbox.Outcome{Seq: i + 1, Fate: outbox.Behind})
		}
		l := o.lease(t, "a")[0]
		o.park(t, l, items...)
		rows, err := o.Due(t.Context(), []outbox.Lease{l}, 9)
		if err != nil {
			t.Fatal(err)
		}
		got := seqsOf(rows)
		slices.Sort(got)
		if want := []int64{1, 2, 3, 11, 12, 13, 21, 22, 23}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// TestOutboxDueIsBoundedInBytes: a read of large messages ends early, but never without one.
func TestOutboxDueIsBoundedInBytes(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{Shards: 1})
		var items []outbox.Outcome
		for i := range int64(7) {
			o.write(t, outbox.Message{Topic: "t", Key: strconv.Itoa(int(i % 2)), Payload: make([]byte, outbox.MaxPayload)})
			items = append(items, outbox.Outcome{Seq: i + 1, Fate: outbox.Again})
		}
		l := o.lease(t, "a")[0]
		o.park(t, l, items...)
		if n := len(o.due(t, []outbox.Lease{l})); n != 4 {
			t.Errorf("%d messages of 4 MiB at once", n)
		}
		page, err := o.Fetch(t.Context(), outbox.FetchRequest{From: []outbox.Cursor{{Lease: l}}, Limit: 5, Bytes: 1})
		if err != nil || len(page.Rows) != 0 || page.More {
			t.Errorf("%+v, %v", page, err)
		}
	})
}

func TestOutboxArgumentsThatMakeNoSense(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o, l := oneShard(t, d, 1)
		ctx := t.Context()
		for name, f := range map[string]func() error{
			"LeaseRequest.Owner": func() error {
				_, err := o.Lease(ctx, outbox.LeaseRequest{TTL: 1})
				return err
			},
			"LeaseRequest.TTL": func() error {
				_, err := o.Lease(ctx, outbox.LeaseRequest{Owner: "a"})
				return err
			},
			"FetchRequest.Limit": func() error {
				_, err := o.Fetch(ctx, outbox.FetchRequest{Limit: -1})
				return err
			},
			"limit": func() error {
				_, err := o.Due(ctx, nil, 0)
				return err
			},
			"items[0].Fate": func() error { return o.Park(ctx, l, []outbox.Outcome{{Seq: 1, Fate: outbox.Published}}) },
			"items[1].Fate": func() error {
				return o.Settle(ctx, l, []outbox.Outcome{{Seq: 1, Fate: outbox.Published}, {Seq: 2, Fate: outbox.Behind}})
			},
		} {
			if err := f(); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
		// Nothing to do is fine, also for who holds nothing.
		nobody := outbox.Lease{Shard: math.MaxInt32}
		for _, err := range []error{
			o.Park(ctx, nobody, nil), o.Settle(ctx, nobody, nil), o.Ack(ctx, nil), o.Release(ctx, "x", []outbox.Lease{}), o.Release(ctx, "x", nil),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if err := o.Park(cancelled, l, []outbox.Outcome{{Seq: 1, Fate: outbox.Again}}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if hot := o.fetch(t, []outbox.Lease{l}); len(hot) != 1 {
			t.Errorf("hot: %v", hot)
		}
	})
}
