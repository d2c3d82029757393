package integration_test

import (
	"database/sql"
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
			idemtest.Run(t, func(tb testing.TB) idem.Store {
				db, _ := d.file(tb)
				return openIdem(tb, db, idemsql.Config{})
			})
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
