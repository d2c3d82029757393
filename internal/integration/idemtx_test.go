package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"example.com/once/idem"
	"example.com/once/idem/idemsql"
)

func count(tb testing.TB, db *sql.DB, query string, args ...any) int {
	tb.Helper()
	var n int
	if err := db.QueryRowContext(tb.Context(), query, args...).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

func exec(tb testing.TB, db *sql.DB, statement string, args ...any) {
	tb.Helper()
	if _, err := db.ExecContext(tb.Context(), statement, args...); err != nil {
		tb.Fatal(err)
	}
}

func TestDoTxSQLite(t *testing.T) {
	for _, d := range sqliteDrivers() {
		for _, mode := range []string{"_txlock=immediate", "_txlock=deferred"} {
			t.Run(d.name+" "+mode, func(t *testing.T) {
				db, _ := d.file(t, mode)
				store := openIdem(t, db, idemsql.Config{})
				exec(t, db, `CREATE TABLE effect (n INTEGER)`)
				g, err := idem.NewTx(store, idem.Config{})
				if err != nil {
					t.Fatal(err)
				}
				pay := func(ctx context.Context, tx *sql.Tx) (string, error) {
					_, err := tx.ExecContext(ctx, `INSERT INTO effect VALUES (?)`, 1)
					return "paid", err
				}
				broken := errors.New("broken")
				_, err = idem.DoTx(t.Context(), g, "k", func(ctx context.Context, tx *sql.Tx) (string, error) {
					_, _ = pay(ctx, tx)
					return "", broken
				})
				if !errors.Is(err, broken) || count(t, db, `SELECT COUNT(*) FROM effect`) != 0 {
					t.Fatalf("a failing function: %v, and its effect must be undone", err)
				}
				for range 3 {
					got, err := idem.DoTx(t.Context(), g, "k", pay)
					if got != "paid" || err != nil {
						t.Fatalf("got %q, %v", got, err)
					}
				}
				if n := count(t, db, `SELECT COUNT(*) FROM effect`); n != 1 {
					t.Errorf("%d effects, want 1", n)
				}
			})
		}
	}
}
