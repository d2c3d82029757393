package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
	"example.com/once/retry"
)

func TestOutboxMessageExistsIfItsTransactionCommitted(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		held := o.lease(t, "a")
		for _, commit := range []bool{false, true} {
			tx, err := o.db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := o.writer.Write(t.Context(), tx, outbox.Message{Topic: "t"},
				outbox.Message{Topic: "t", NotBefore: time.Now().Add(-time.Hour)}); err != nil {
				t.Fatal(err)
			}
			if rows, due := o.fetch(t, held), o.due(t, held); len(rows)+len(due) > 0 {
				t.Fatalf("seen before the commit: %v, %v", rows, due)
			}
			if !commit {
				if err := tx.Rollback(); err != nil {
					t.Fatal(err)
				}
				if rows, due := o.fetch(t, held), o.due(t, held); len(rows)+len(due) > 0 {
					t.Fatalf("seen after the rollback: %v, %v", rows, due)
				}
				continue
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			if rows, due := o.fetch(t, held), o.due(t, held); len(rows) != 1 || len(due) != 1 {
				t.Fatalf("after the commit: %v, %v, want one each", rows, due)
			}
		}
	})
}

func TestOutboxMessagesComeBackAsTheyWere(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		large := bytes.Repeat([]byte("x"), outbox.MaxPayload)
		want := []outbox.Message{
			{Topic: "t", ID: uuid.MustParse("00000000-0000-0000-0000-000000000001")},
			{Topic: "2024-01-02T03:04:05Z", Key: "2024-01-02 03:04:05", Payload: []byte("2024-01-02T03:04:05Z")},
			{Topic: "12", Key: "1e3", Payload: []byte{}, Headers: []outbox.Header{{Key: "a", Value: ""}, {Key: "a", Value: "ü'\"\t"}}},
			{Topic: "ü' OR 1=1; --", Key: "k", Payload: []byte{0, 255, 0}, Lane: 7},
			{Topic: "t", Key: "k", Payload: large, Lane: 255},
			{Topic: "t", Key: "k", NotBefore: time.Date(2001, 2, 3, 4, 5, 6, 789_000, time.UTC), Headers: []outbox.Header{{Key: "a", Value: "b"}}},
			{Topic: "t", NotBefore: time.Date(1960, 2, 3, 4, 5, 6, 1, time.FixedZone("", 3600))},
		}
		given := slices.Clone(want)
		o.write(t, want...)
		for i := range want {
			if want[i].ID != given[i].ID {
				t.Fatal("Write changed its arguments")
			}
		}
		held := o.lease(t, "a")
		rows := append(o.fetchLarge(t, held), o.due(t, held)...)
		slices.SortFunc(rows, func(a, b outbox.Row) int { return int(a.Seq - b.Seq) })
		if len(rows) != len(want) {
			t.Fatalf("%d messages, want %d", len(rows), len(want))
		}
		for i, row := range rows {
			w := want[i]
			if row.Err != nil {
				t.Error(row.Err)
			}
			if row.Topic != w.Topic || row.Key != w.Key || row.Lane != w.Lane || !bytes.Equal(row.Payload, w.Payload) || !slices.Equal(row.Headers, w.Headers) {
				t.Errorf("%d: got %+v, want %+v", i, row.Message, w)
			}
			if w.ID != uuid.Nil && row.ID != w.ID || w.ID == uuid.Nil && row.ID.Version() != 7 {
				t.Errorf("%d: ID is %v", i, row.ID)
			}
			if late := row.NotBefore.Sub(w.NotBefore); late < 0 || late >= time.Microsecond || row.NotBefore.IsZero() != w.NotBefore.IsZero() {
				t.Errorf("%d: NotBefore is %v, want %v", i, row.NotBefore, w.NotBefore)
			}
			if row.Shard != outbox.ShardOf(&row.Message, 8) || row.Seq != int64(i+1) || row.Attempt != 1 || row.Behind {
				t.Errorf("%d: got %+v", i, row)
			}
			if age := time.Since(row.CreatedAt); age < -time.Second || age > time.Minute {
				t.Errorf("%d: created %v ago", i, age)
			}
		}
	})
}

func (o *outboxDB) fetchLarge(tb testing.TB, held []outbox.Lease) []outbox.Row {
	tb.Helper()
	r := outbox.FetchRequest{Limit: 1000, Bytes: math.MaxInt}
	for _, l := range held {
		r.From = append(r.From, outbox.Cursor{Lease: l})
	}
	page, err := o.Fetch(tb.Context(), r)
	if err != nil {
		tb.Fatal(err)
	}
	if page.More || page.Safe != math.MaxInt64 {
		tb.Fatalf("More is %t, Safe is %d", page.More, page.Safe)
	}
	return page.Rows
}

func TestOutboxManyMessagesTakeFewStatements(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		db, tap := d.tapped(t, o.path)
		o.db = db
		var msgs []outbox.Message
		for i := range 450 {
			m := outbox.Message{Topic: "t", Key: "k", Payload: []byte(strconv.Itoa(i))}
			if i%3 == 2 {
				m.NotBefore = time.Now().Add(-time.Minute)
			}
			msgs = append(msgs, m)
		}
		o.write(t, msgs...)
		// 300 and 150 messages, at most 200 a statement, a draw, and the commit.
		if n := len(tap.take()); n != 5 {
			t.Errorf("%d statements", n)
		}
		large := make([]byte, 3<<20)
		o.write(t, outbox.Message{Topic: "t", Payload: large}, outbox.Message{Topic: "t", Payload: large}, outbox.Message{Topic: "t"})
		if n := len(tap.take()); n != 3 {
			t.Errorf("%d statements for two large messages and a small one", n)
		}
		held := o.lease(t, "a")
		rows := o.fetchLarge(t, held)
		if len(rows) != 303 || len(o.due(t, held)) != 150 {
			t.Fatalf("%d hot messages, %d delayed", len(rows), len(o.due(t, held)))
		}
		last := -1
		for _, row := range rows {
			if row.Key != "k" {
				continue
			}
			var i int
			if _, err := fmt.Sscan(string(row.Payload), &i); err != nil || i <= last {
				t.Fatalf("%d after %d, %v", i, last, err)
			}
			last = i
		}
		o.write(t) // nothing
		if n := len(tap.take()); n > 100 {
			t.Errorf("%d statements", n)
		}
	})
}

// TestOutboxSeqsNeverRepeat empties the tables in between: the next message must not get a
// Seq that a relay has left behind.
func TestOutboxSeqsNeverRepeat(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		held := o.lease(t, "a")
		last := int64(0)
		for i := range 12 {
			m := outbox.Message{Topic: "t", Key: "k"}
			if i%3 == 1 {
				m.NotBefore = time.Now().Add(-time.Minute)
			}
			o.write(t, m, m)
			rows := append(o.fetch(t, held), o.due(t, held)...)
			if len(rows) != 2 || rows[0].Seq <= last || rows[1].Seq != rows[0].Seq+1 {
				t.Fatalf("after %d: %v", last, rows)
			}
			last = rows[1].Seq
			for _, row := range rows {
				if err := o.Ack(t.Context(), []outbox.Ref{{Shard: row.Shard, Seq: row.Seq}}); err != nil {
					t.Fatal(err)
				}
				for _, l := range held {
					if l.Shard == row.Shard {
						if err := o.Settle(t.Context(), l, []outbox.Outcome{{Seq: row.Seq, Fate: outbox.Published}}); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			if i == 5 {
				exec(t, o.db, "VACUUM")
			}
		}
	})
}

func TestOutboxWriteViaAnythingThatRunsStatements(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		conn, err := o.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, s := range []string{"BEGIN IMMEDIATE", "", "COMMIT"} {
			if s == "" {
				err = o.writer.WriteVia(t.Context(), conn, outbox.Message{Topic: "t"})
			} else {
				_, err = conn.ExecContext(t.Context(), s)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if rows := o.fetch(t, o.lease(t, "a")); len(rows) != 1 {
			t.Errorf("%d messages, want 1", len(rows))
		}
	})
}

func TestOutboxWriteRefusals(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		writer := func(c outboxsql.Config) *outboxsql.Writer {
			w, err := outboxsql.NewWriter(outboxsql.SQLite, c)
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		good := outbox.Message{Topic: "t"}
		delayed := outbox.Message{Topic: "t", NotBefore: time.Now().Add(time.Hour)}
		for _, tt := range []struct {
			name   string
			writer *outboxsql.Writer
			msgs   []outbox.Message
			is     error
			want   string
		}{
			{"invalid message", o.writer, []outbox.Message{good, {}}, outbox.ErrMessage, "msgs[1]"},
			{"absurd time", o.writer, []outbox.Message{good, {Topic: "t", NotBefore: time.Unix(1<<60, 0)}}, outbox.ErrMessage, "msgs[1]: outbox: invalid message: NotBefore"},
			{"wrong prefix", writer(outboxsql.Config{Prefix: "other"}), []outbox.Message{good}, nil, `table "other", which Migrate or the statements of Schema make`},
			{"wrong shards", writer(outboxsql.Config{Shards: 16}), []outbox.Message{good}, nil, "were not made for 16 shards a lane"},
			{"wrong shards, delayed", writer(outboxsql.Config{Shards: 4}), []outbox.Message{delayed}, nil, "were not made for 4 shards a lane"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				tx, err := o.db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback()
				err = tt.writer.Write(t.Context(), tx, tt.msgs...)
				if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				if n := count(t, o.db, "SELECT (SELECT COUNT(*) FROM once_outbox) + (SELECT COUNT(*) FROM once_outbox_parked)"); n != 0 {
					t.Errorf("%d messages were written", n)
				}
			})
		}
		if err := o.writer.Write(t.Context(), nil, good); err == nil {
			t.Error("Write(nil) succeeded")
		}
		if err := o.writer.WriteVia(t.Context(), nil, good); err == nil {
			t.Error("WriteVia(nil) succeeded")
		}
	})
}

// TestOutboxWriterSaysThatABusyDatabaseTookNothing: package retry finds out by the method.
func TestOutboxWriterSaysThatABusyDatabaseTookNothing(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		tx, err := o.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := o.writer.Write(t.Context(), tx, outbox.Message{Topic: "t"}); err != nil {
			t.Fatal(err)
		}
		late, err := beginDeferred(t.Context(), d.deferred(t, o.path))
		if err != nil {
			t.Fatal(err)
		}
		defer late.Close()
		err = o.writer.WriteVia(t.Context(), late, outbox.Message{Topic: "t"})
		if v := retry.Classify(err); v.Class != retry.NoEffect {
			t.Errorf("got %v, %+v", err, v)
		}
	})
}

// beginDeferred starts a transaction that has no right to write yet.
func beginDeferred(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range []string{"PRAGMA busy_timeout = 1", "BEGIN DEFERRED"} {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}
