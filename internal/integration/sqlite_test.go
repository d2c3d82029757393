package integration_test

import (
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3/driver"
	"modernc.org/sqlite"
)

// sqliteDriver opens a SQLite file as the documentation of idemsql advises.
type sqliteDriver struct {
	name string
	open func(path string, options ...string) (*sql.DB, error)
}

func ncruces(path string, options ...string) (*sql.DB, error) {
	return driver.Open(dsn(path, options))
}

func modernc(path string, options ...string) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(dsn(path, options))
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// dsn adds what is advised around the options: of two pragmas the last one counts, of two
// other parameters the first.
func dsn(path string, options []string) string {
	pragmas := []string{"_pragma=busy_timeout(20000)", "_pragma=journal_mode(wal)", "_pragma=synchronous(full)"}
	all := slices.Concat(pragmas, options, []string{"_txlock=immediate"})
	return "file:" + path + "?" + strings.Join(all, "&")
}

func sqliteDrivers() []sqliteDriver {
	return []sqliteDriver{{"ncruces", ncruces}, {"modernc", modernc}}
}

// file returns a path for a database and opens it.
func (d sqliteDriver) file(tb testing.TB, options ...string) (*sql.DB, string) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "once.db")
	return d.at(tb, path, options...), path
}

func (d sqliteDriver) at(tb testing.TB, path string, options ...string) *sql.DB {
	tb.Helper()
	db, err := d.open(path, options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}
