package idemsql_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"example.com/once/idem"
	"example.com/once/idem/idemsql"
)

// open makes a guard over a SQLite file. Import a driver that registers itself as sqlite,
// modernc.org/sqlite for one.
func open(ctx context.Context, file string) (*idem.TxGuard[*sql.Tx], error) {
	dsn := "file:" + file + "?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // SQLite has one writer; your own transactions belong here too
	reader, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}

	store, err := idemsql.New(db, idemsql.SQLite, idemsql.Config{Reader: reader})
	if err != nil {
		return nil, err
	}
	if err := store.Migrate(ctx); err != nil {
		return nil, err
	}
	if err := store.Check(ctx); err != nil {
		return nil, err
	}
	return idem.NewTx(store, idem.Config{})
}

// The order and the record that it was placed are committed together.
func Example() {
	place := func(ctx context.Context, guard *idem.TxGuard[*sql.Tx], request, item string) (int64, error) {
		return idem.DoTx(ctx, guard, idem.NewKey("place-order", request), func(ctx context.Context, tx *sql.Tx) (int64, error) {
			res, err := tx.ExecContext(ctx, `INSERT INTO orders (item) VALUES (?)`, item)
			if err != nil {
				return 0, err
			}
			return res.LastInsertId()
		})
	}
	_, _ = open, place
	// Output:
}

// A migration tool of your own takes the schema as text.
func ExampleSchema() {
	text, err := idemsql.Schema(idemsql.SQLite, "app_keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	first, _, _ := strings.Cut(text, "\n")
	fmt.Println(first)
	// Output: CREATE TABLE IF NOT EXISTS "app_keys" (
}
