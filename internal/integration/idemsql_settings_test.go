package integration_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"example.com/once/idem"
	"example.com/once/idem/idemsql"
	"example.com/once/idem/idemtest"
)

func TestIdemSQLiteCheck(t *testing.T) {
	const (
		full   = "_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)"
		normal = "_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)&_pragma=synchronous(normal)"
	)
	for _, d := range sqliteDrivers() {
		for _, c := range []struct {
			name    string
			pragmas string
			config  idemsql.Config
			damage  string // a statement
			names   string // what the error names; "" = none
		}{
			{"as advised", full, idemsql.Config{}, "", ""},
			{"relaxed", normal, idemsql.Config{Relaxed: true}, "", ""},
			{"not synchronous", normal, idemsql.Config{}, "", "synchronous"},
			{"rollback journal", "_pragma=busy_timeout(20000)&_pragma=synchronous(full)", idemsql.Config{}, "", "journal_mode"},
			{"no waiting", "_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=busy_timeout(0)", idemsql.Config{}, "", "busy_timeout"},
			{"no table", full, idemsql.Config{}, `DROP TABLE once_idem`, "Migrate"},
			{"another version", full, idemsql.Config{}, `UPDATE once_idem SET attempt = 2 WHERE idem_key = x''`, "version 2"},
		} {
			t.Run(d.name+" "+c.name, func(t *testing.T) {
				db, _ := d.openLosing(t, "file:"+filepath.Join(t.TempDir(), "plain.db")+"?"+c.pragmas)
				store := openIdem(t, db, c.config)
				if c.damage != "" {
					exec(t, db, c.damage)
				}
				g := idemGuard(t, store)
				err := g.Check(t.Context())
				if c.names == "" && err != nil {
					t.Errorf("%v, want no complaint", err)
				}
				if c.names != "" && (err == nil || !strings.Contains(err.Error(), c.names) || !strings.HasPrefix(err.Error(), "idemsql: ")) {
					t.Errorf("%v, want a complaint about %s", err, c.names)
				}
			})
		}
	}
}

func TestIdemSQLiteMigratesConcurrently(t *testing.T) {
	for _, d := range sqliteDrivers() {
		t.Run(d.name, func(t *testing.T) {
			db, path := d.file(t)
			// The switch to the write-ahead log, once in a file's life, waits for nobody.
			if err := db.PingContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					other := d.at(t, path)
					s, err := idemsql.New(other, idemsql.SQLite, idemsql.Config{})
					if err == nil {
						err = s.Migrate(t.Context())
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			g := idemGuard(t, openIdem(t, db, idemsql.Config{}))
			if err := idem.Do(t.Context(), g, "k", func(context.Context) error { return nil }); err != nil {
				t.Error(err)
			}
			if n := count(t, db, `SELECT COUNT(*) FROM once_idem`); n != 2 {
				t.Errorf("%d rows, want the key's and the floor's", n)
			}
		})
	}
}

// The statements of Schema make the same table as Migrate, under another name too, and a store
// may look keys up elsewhere than where it writes.
func TestIdemSQLiteSchemaTableAndReader(t *testing.T) {
	for _, d := range sqliteDrivers() {
		t.Run(d.name, func(t *testing.T) {
			idemtest.Run(t, func(tb testing.TB) idem.Store {
				db, path := d.file(tb)
				text, err := idemsql.Schema(idemsql.SQLite, "main.Keys_2")
				if err != nil {
					tb.Fatal(err)
				}
				for range 2 {
					exec(tb, db, text)
				}
				db.SetMaxOpenConns(1)
				s, err := idemsql.New(db, idemsql.SQLite, idemsql.Config{Table: "main.Keys_2", Reader: d.at(tb, path)})
				if err != nil {
					tb.Fatal(err)
				}
				if err := s.Check(tb.Context()); err != nil {
					tb.Error(err)
				}
				return s
			})
		})
	}
}

// A record that is damaged, or of a later release, is neither replayed nor run again; an
// operator can forget it.
func TestIdemSQLiteDamagedRecords(t *testing.T) {
	for _, d := range sqliteDrivers() {
		for name, damage := range map[string]string{
			"phase": `phase = 9`, "token": `token = x'00'`, "fence": `fence = 0`, "attempt": `attempt = 0`, "type": `phase = 'done'`,
		} {
			t.Run(d.name+" "+name, func(t *testing.T) {
				db, _ := d.file(t)
				store := openIdem(t, db, idemsql.Config{})
				g := idemGuard(t, store)
				ran := 0
				call := func() error {
					return idem.Do(t.Context(), g, "k", func(context.Context) error { ran++; return nil })
				}
				if err := call(); err != nil {
					t.Fatal(err)
				}
				exec(t, db, `UPDATE once_idem SET `+damage+` WHERE idem_key <> x''`)
				if err := call(); err == nil {
					t.Error("a damaged record was taken for a good one")
				}
				if _, err := g.Inspect(t.Context(), "k"); err == nil {
					t.Error("Inspect shows a damaged record")
				}
				if ran != 1 {
					t.Fatalf("it ran %d times", ran)
				}
				if err := g.Forget(t.Context(), "k"); err != nil {
					t.Fatal(err)
				}
				if err := call(); err != nil || ran != 2 {
					t.Errorf("after Forget: %v, %d runs", err, ran)
				}
			})
		}
	}
}

// The fence of a key grows over sweeps although nothing is left of the key.
func TestIdemSQLiteFenceOutlivesTheSweep(t *testing.T) {
	d := sqliteDrivers()[0]
	db, _ := d.file(t)
	store := openIdem(t, db, idemsql.Config{})
	g := idemGuard(t, store)
	fence := int64(0)
	for i := range 5 {
		var info idem.Info
		if err := idem.Do(t.Context(), g, "k", func(context.Context) error { return nil }, idem.Report(&info)); err != nil {
			t.Fatal(err)
		}
		if info.Fence <= fence || info.Attempt != 1 {
			t.Errorf("round %d: %+v after fence %d", i, info, fence)
		}
		// As after a clock that was set back: the record is of the future.
		fence = info.Fence + 1e15
		exec(t, db, `UPDATE once_idem SET fence = ?, keep_until = 1 WHERE idem_key = ?`, fence, []byte("k"))
		if n, err := store.Sweep(t.Context(), 10); n != 1 || err != nil {
			t.Fatalf("sweep: %d, %v", n, err)
		}
		if n := count(t, db, `SELECT COUNT(*) FROM once_idem`); n != 1 {
			t.Fatalf("%d rows after the sweep", n)
		}
	}
}
