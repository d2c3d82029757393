package integration_test

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
)

func TestOutboxMigratesConcurrently(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		db, path := d.file(t)
		if err := db.PingContext(t.Context()); err != nil { // sets the journal mode
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			s, err := outboxsql.New(d.at(t, path), outboxsql.SQLite, outboxsql.Config{})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				for range 3 {
					if err := s.Migrate(context.Background()); err != nil {
						t.Error(err)
					}
				}
				if err := s.Check(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := count(t, db, "SELECT COUNT(*) FROM sqlite_sequence"); n != 1 {
			t.Errorf("%d sequences", n)
		}
	})
}

func TestOutboxSchemaIsWhatMigrateRuns(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		db, path := d.file(t)
		ddl, err := outboxsql.Schema(outboxsql.SQLite, outboxsql.Config{Prefix: "main.box", Shards: 3})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			exec(t, db, ddl)
		}
		o := openOutbox(t, d, path, outboxsql.Config{Prefix: "box", Shards: 3})
		o.write(t, outbox.Message{Topic: "t"})
		if held := o.lease(t, "a"); len(held) != 3 || len(o.fetch(t, held)) != 1 {
			t.Error(held)
		}
		if err := o.Check(t.Context()); err != nil {
			t.Error(err)
		}
		// Names are the same in whatever case, and so are the Seqs.
		same := openOutbox(t, d, path, outboxsql.Config{Prefix: "BOX", Shards: 3})
		same.write(t, outbox.Message{Topic: "t", NotBefore: time.Now().Add(-time.Hour)}, outbox.Message{Topic: "t"})
		if due := same.due(t, same.lease(t, "a")); len(due) != 1 || due[0].Seq != 3 {
			t.Errorf("due: %v", due)
		}
		// Two outboxes in one database have nothing to do with each other.
		other := openOutbox(t, d, path, outboxsql.Config{})
		if held := other.lease(t, "a"); len(held) != 8 || len(other.fetch(t, held)) != 0 {
			t.Error(held)
		}
	})
}

func TestOutboxInAnAttachedFile(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		db, path := d.file(t)
		db.SetMaxOpenConns(1)
		exec(t, db, "ATTACH ? AS side", path+"-side")
		o := &outboxDB{db: db}
		c := outboxsql.Config{Prefix: "side.box", Shards: 2}
		var err error
		if o.Store, err = outboxsql.New(db, outboxsql.SQLite, c); err != nil {
			t.Fatal(err)
		}
		if err := o.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o.writer, err = outboxsql.NewWriter(outboxsql.SQLite, c); err != nil {
			t.Fatal(err)
		}
		everything(t, o)
		if n := count(t, db, "SELECT COUNT(*) FROM main.sqlite_master"); n != 0 {
			t.Errorf("%d objects are in the main file", n)
		}
	})
}

func TestOutboxTablesOfAnotherMaking(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{Shards: 8})
		open := func(c outboxsql.Config) *outboxsql.Store {
			s, err := outboxsql.New(o.db, outboxsql.SQLite, c)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		lease := func(s *outboxsql.Store) error {
			_, err := s.Lease(t.Context(), outbox.LeaseRequest{Owner: "a", TTL: time.Minute})
			return err
		}
		refused := func(what string, err error, want string) {
			t.Helper()
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", what, err, want)
			}
		}
		const shards = `Config.Shards is 16, but the tables were made for 8 shards a lane (table "once_outbox_meta")`
		refused("migrate", open(outboxsql.Config{Shards: 16}).Migrate(t.Context()), shards)
		refused("check", open(outboxsql.Config{Shards: 16}).Check(t.Context()), shards)
		refused("lease", lease(open(outboxsql.Config{Shards: 16})), shards)
		const missing = `read table "other_meta", which Migrate or the statements of Schema make`
		refused("check", open(outboxsql.Config{Prefix: "other"}).Check(t.Context()), missing)
		refused("lease", lease(open(outboxsql.Config{Prefix: "other"})), strings.Replace(missing, "read", "lock", 1))

		elsewhere, _ := d.file(t)
		refused("check", open(outboxsql.Config{Reader: elsewhere}).Check(t.Context()), "Config.Reader, which must be a pool on the same database")
		if err := open(outboxsql.Config{Reader: d.at(t, o.path)}).Check(t.Context()); err != nil {
			t.Errorf("a reader on the same file: %v", err)
		}

		exec(t, o.db, "UPDATE once_outbox_meta SET value = ? WHERE name = 'version'", 2)
		refused("check", o.Check(t.Context()), "has version 2, this package needs 1")
		exec(t, o.db, "DELETE FROM once_outbox_meta WHERE name = ?", "version")
		refused("check", o.Check(t.Context()), "is incomplete")
	})
}

func TestOutboxCheckNamesSettings(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		o.db.SetMaxOpenConns(1)
		for _, tt := range []struct {
			pragma  string
			relaxed bool
			want    string
		}{
			{"synchronous = FULL", false, ""},
			{"synchronous = NORMAL", false, "synchronous is 1: set PRAGMA synchronous = FULL"},
			{"synchronous = NORMAL", true, ""},
			{"busy_timeout = 0", true, "busy_timeout is 0: set PRAGMA busy_timeout"},
			{"busy_timeout = 1000", true, ""},
			{"journal_mode = DELETE", true, "journal_mode is delete: run PRAGMA journal_mode = WAL"},
		} {
			exec(t, o.db, "PRAGMA "+tt.pragma)
			s, err := outboxsql.New(o.db, outboxsql.SQLite, outboxsql.Config{Relaxed: tt.relaxed})
			if err != nil {
				t.Fatal(err)
			}
			err = s.Check(t.Context())
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%s: got %v, want %q", tt.pragma, err, tt.want)
			}
		}
	})
}

// TestOutboxReaderSparesTheWriter: looking for messages works while the store's only other
// connection is taken.
func TestOutboxReaderSparesTheWriter(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		o.write(t, outbox.Message{Topic: "t"})
		held := o.lease(t, "a")
		o.db.SetMaxOpenConns(1)
		s, err := outboxsql.New(o.db, outboxsql.SQLite, outboxsql.Config{Reader: d.at(t, o.path)})
		if err != nil {
			t.Fatal(err)
		}
		o.Store = s
		tx, err := o.db.BeginTx(t.Context(), &sql.TxOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := o.writer.Write(t.Context(), tx, outbox.Message{Topic: "t"}); err != nil {
			t.Fatal(err)
		}
		if n := len(o.fetch(t, held)); n != 1 {
			t.Errorf("%d messages, want the one that is committed", n)
		}
		if n := len(o.due(t, held)); n != 0 {
			t.Errorf("%d messages due", n)
		}
		if s, err := o.Stats(t.Context()); err != nil || s.Hot != 1 {
			t.Errorf("%+v, %v", s, err)
		}
		if n := len(o.letters(t, outbox.Filter{})); n != 0 {
			t.Errorf("%d letters", n)
		}
	})
}
