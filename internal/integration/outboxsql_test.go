package integration_test

import (
	"context"
	"database/sql"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
)

// outboxDB is an outbox on a SQLite file.
type outboxDB struct {
	*outboxsql.Store
	db     *sql.DB
	path   string
	writer *outboxsql.Writer
	config outboxsql.Config
}

func openOutbox(tb testing.TB, d sqliteDriver, path string, c outboxsql.Config) *outboxDB {
	tb.Helper()
	o := &outboxDB{path: path, config: c}
	if path == "" {
		o.db, o.path = d.file(tb)
	} else {
		o.db = d.at(tb, path)
	}
	var err error
	if o.Store, err = outboxsql.New(o.db, outboxsql.SQLite, c); err != nil {
		tb.Fatal(err)
	}
	if err := o.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	if o.writer, err = outboxsql.NewWriter(outboxsql.SQLite, c); err != nil {
		tb.Fatal(err)
	}
	return o
}

// write commits messages.
func (o *outboxDB) write(tb testing.TB, msgs ...outbox.Message) {
	tb.Helper()
	tx, err := o.db.BeginTx(tb.Context(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer tx.Rollback()
	if err := o.writer.Write(tb.Context(), tx, msgs...); err != nil {
		tb.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		tb.Fatal(err)
	}
}

// lease returns what owner holds, for a minute.
func (o *outboxDB) lease(tb testing.TB, owner string, skip ...uint8) []outbox.Lease {
	tb.Helper()
	held, err := o.Lease(tb.Context(), outbox.LeaseRequest{Owner: owner, TTL: time.Minute, Skip: skip})
	if err != nil {
		tb.Fatal(err)
	}
	return held
}

// fetch reads the hot messages of the shards held.
func (o *outboxDB) fetch(tb testing.TB, held []outbox.Lease) []outbox.Row {
	tb.Helper()
	r := outbox.FetchRequest{Limit: 1000, Bytes: 1 << 20}
	for _, l := range held {
		r.From = append(r.From, outbox.Cursor{Lease: l})
	}
	page, err := o.Fetch(tb.Context(), r)
	if err != nil {
		tb.Fatal(err)
	}
	return page.Rows
}

func (o *outboxDB) due(tb testing.TB, held []outbox.Lease) []outbox.Row {
	tb.Helper()
	rows, err := o.Due(tb.Context(), held, 1000)
	if err != nil {
		tb.Fatal(err)
	}
	return rows
}

// raceDetector says whether everything takes ten times as long.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func onSQLite(t *testing.T, f func(t *testing.T, d sqliteDriver)) {
	t.Helper()
	for _, d := range sqliteDrivers() {
		t.Run(d.name, func(t *testing.T) { f(t, d) })
	}
}

func TestOutboxRelaysWhatWasCommitted(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		got := make(chan outbox.Delivery, 10)
		r, err := outbox.NewRelay(o, outbox.PublisherFunc(func(_ context.Context, d outbox.Delivery) error {
			got <- d
			return nil
		}), outbox.RelayConfig{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		o.write(t, outbox.Message{Topic: "t", Key: "k", Payload: []byte("1"), Headers: []outbox.Header{{Key: "a", Value: "b"}}},
			outbox.Message{Topic: "t", Key: "k", Payload: []byte("2")},
			outbox.Message{Topic: "t", Key: "k", Payload: []byte("3"), NotBefore: time.Now().Add(100 * time.Millisecond)})
		var ordered, delayed []byte // a delayed message is outside of the order of its key
		for range 3 {
			d := <-got
			t.Log(d)
			if d.NotBefore.IsZero() {
				ordered = append(ordered, d.Payload...)
			} else {
				delayed = append(delayed, d.Payload...)
			}
		}
		if string(ordered) != "12" || string(delayed) != "3" {
			t.Errorf("got %s in order and %s delayed, want 12 and 3", ordered, delayed)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		stats, err := o.Stats(t.Context())
		if err != nil || stats != (outbox.Stats{}) {
			t.Errorf("left over: %+v, %v", stats, err)
		}
	})
}
