package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"example.com/once/outbox"
)

// Store keeps messages in a database. It is safe for concurrent use, by any number of
// processes on one database.
type Store struct {
	e       engine
	names   names
	db      *sql.DB
	read    *sql.DB
	relaxed bool
}

var (
	_ outbox.Store     = (*Store)(nil)
	_ outbox.Inspector = (*Store)(nil)
	_ outbox.Checker   = (*Store)(nil)
)

// New makes a store over db. It sends nothing: run [Store.Migrate], or the statements of
// [Schema], once; a relay runs [Store.Check] at each start.
func New(db *sql.DB, d Dialect, c Config) (*Store, error) {
	if db == nil {
		return nil, errors.New("outboxsql: db is nil; open one with a driver of your choice")
	}
	e, n, err := c.engine(d)
	if err != nil {
		return nil, err
	}
	s := &Store{e: e, names: n, db: db, read: db, relaxed: c.Relaxed}
	if c.Reader != nil {
		s.read = c.Reader
	}
	return s, nil
}

// inTx runs fn in a transaction that has the right to write from its start, so that it
// never fails for having read first.
func (s *Store) inTx(ctx context.Context, doing string, fn func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.e.failed(doing, err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if s.e.lock != "" {
		if _, err := tx.ExecContext(ctx, s.e.lock, ""); err != nil {
			return s.e.failed(doing+": lock table "+s.names.table("_meta")+", which Migrate or the statements of Schema make", err)
		}
	}
	if err := fn(tx); err != nil {
		return s.e.failed(doing, err)
	}
	return s.e.failed(doing, tx.Commit())
}

// now reads the clock.
func (s *Store) now(ctx context.Context, q queryer) (now int64, err error) {
	err = each(ctx, q, s.e.clock, func(scan func(...any) error) error { return scan(&now) })
	return now, err
}

// each calls f with the scanner of each row that query yields. It reads to the end unless
// f fails; [errEnough] ends it without an error.
func each(ctx context.Context, q queryer, query string, f func(scan func(...any) error) error, args ...any) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() {
		if e := rows.Close(); err == nil && e != nil {
			err = e
		}
	}()
	for rows.Next() {
		switch err := f(rows.Scan); {
		case errors.Is(err, errEnough):
			return nil
		case err != nil:
			return err
		}
	}
	return rows.Err() //nolint:wrapcheck // callers say what they were doing
}

var errEnough = errors.New("enough")

func run(ctx context.Context, q queryer, query string, args ...any) error {
	_, err := q.ExecContext(ctx, query, args...)
	return err
}

// inChunks calls f for parts of s that fit a statement.
func inChunks[T any](s []T, most int, f func([]T) error) error {
	for len(s) > 0 {
		n := min(len(s), most)
		if err := f(s[:n]); err != nil {
			return err
		}
		s = s[n:]
	}
	return nil
}

func errPositive(field string, n any) error {
	return fmt.Errorf("outboxsql: %s is %v, it must be positive", field, n)
}

// execRows runs l over rows, as many at a time as fit, with the same arguments around them.
func (s *Store) execRows(ctx context.Context, q queryer, l list, before []any, rows [][]any, after []any) error {
	return inChunks(rows, s.e.rows, func(rows [][]any) error {
		return run(ctx, q, l.of(len(rows)), flat(before, rows, after)...)
	})
}

// eachOf calls f with the scanner of each row that l yields over rows, as execRows.
func (s *Store) eachOf(ctx context.Context, q queryer, l list, before []any, rows [][]any, after []any, f func(scan func(...any) error) error) error {
	return inChunks(rows, s.e.rows, func(rows [][]any) error {
		return each(ctx, q, l.of(len(rows)), f, flat(before, rows, after)...)
	})
}

func flat(before []any, rows [][]any, after []any) []any {
	args := slices.Clone(before)
	for _, row := range rows {
		args = append(args, row...)
	}
	return append(args, after...)
}
