package idemsql

import (
	"context"
	"database/sql"
	"errors"

	"example.com/once/idem"
)

// Config is a Store's configuration; the zero value works.
type Config struct {
	// Table is the table's name, with a schema before a dot if need be. "" = [DefaultTable].
	Table string
	// Reader is a pool on the same database for looking keys up, so that replays need not
	// queue for the connection that writes. It must see what was committed: not a replica.
	// nil = the store's own pool.
	Reader *sql.DB
	// Relaxed makes Check accept settings under which a power cut may forget the latest
	// records, so that their keys run again. false = complain.
	Relaxed bool
}

// Store keeps idempotency records in a table. It is safe for concurrent use, by any number of
// processes on one database.
type Store struct {
	records
	db      *sql.DB
	table   table
	relaxed bool
}

var (
	_ idem.TxStore[*sql.Tx] = (*Store)(nil)
	_ idem.Sweeper          = (*Store)(nil)
	_ idem.Checker          = (*Store)(nil)
)

// New makes a store over db. It sends nothing: run [Store.Migrate], or the statements of
// [Schema], once, and [Store.Check] at each start.
func New(db *sql.DB, d Dialect, c Config) (*Store, error) {
	if db == nil {
		return nil, errors.New("idemsql: db is nil; open one with a driver of your choice")
	}
	e, ok := d.engine()
	if !ok {
		return nil, errDialect(d)
	}
	t, err := e.parseTable(c.Table)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, table: t, relaxed: c.Relaxed}
	s.records = records{e: e.expand(t), write: db, read: db}
	if c.Reader != nil {
		s.read = c.Reader
	}
	return s, nil
}

// queryer is what *sql.DB, *sql.Tx and *sql.Conn have in common.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// records are the methods of [idem.Store], alone or in a transaction.
type records struct {
	e     *engine
	read  queryer
	write queryer
	inTx  bool
}
