package integration_test

import (
	"context"
	"database/sql"
	"os"
	"sync"
	"testing"

	"example.com/once/idem"
	"example.com/once/idem/idemsql"
	"example.com/once/idem/idemtest"
)

func openIdem(tb testing.TB, db *sql.DB, c idemsql.Config) *idemsql.Store {
	tb.Helper()
	s, err := idemsql.New(db, idemsql.SQLite, c)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestIdemSQLite(t *testing.T) {
	for _, d := range sqliteDrivers() {
		t.Run(d.name, func(t *testing.T) {
			var files sync.Map // by store
			open := func(tb testing.TB) idem.Store {
				tb.Helper()
				db, path := d.file(tb)
				s := openIdem(tb, db, idemsql.Config{})
				files.Store(s, path)
				return s
			}
			// What is written makes the write-ahead log grow.
			writes := func(_ context.Context, s idem.Store) (int64, error) {
				path, _ := files.Load(s)
				info, err := os.Stat(path.(string) + "-wal")
				if err != nil {
					return 0, err
				}
				return info.Size(), nil
			}
			idemtest.Run(t, open, idemtest.Writes(writes))
		})
	}
}

func TestIdemSQLiteTx(t *testing.T) {
	for _, d := range sqliteDrivers() {
		t.Run(d.name, func(t *testing.T) {
			idemtest.RunTx(t, func(tb testing.TB) idem.TxStore[*sql.Tx] {
				db, _ := d.file(tb)
				return openIdem(tb, db, idemsql.Config{})
			})
		})
	}
}
