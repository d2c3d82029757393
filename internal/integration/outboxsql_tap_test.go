package integration_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"
	"testing"
)

// tap sits between database/sql and a driver and sees every statement. It may fail one
// after it has been applied, as when the answer gets lost.
type tap struct {
	driver driver.Driver
	dsn    string

	mu    sync.Mutex
	seen  []statement
	after func(query string) error
}

type statement struct {
	query string
	args  []any
}

// tapped opens path through a tap.
func (d sqliteDriver) tapped(tb testing.TB, path string) (*sql.DB, *tap) {
	tb.Helper()
	return d.tappedWith(tb, path, "_txlock=immediate")
}

// deferred opens path so that transactions do not take the right to write from the start.
func (d sqliteDriver) deferred(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db, _ := d.tappedWith(tb, path)
	return db
}

func (d sqliteDriver) tappedWith(tb testing.TB, path string, options ...string) (*sql.DB, *tap) {
	tb.Helper()
	t := &tap{driver: d.at(tb, path).Driver(), dsn: dsn(path, options)}
	db := sql.OpenDB(t)
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db, t
}

// take returns the statements seen since the last time.
func (t *tap) take() []statement {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := t.seen
	t.seen = nil
	return seen
}

// failAfter sets what happens after each statement and commit.
func (t *tap) failAfter(f func(query string) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.after = f
}

func (t *tap) saw(query string, args []driver.NamedValue) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := statement{query: query}
	for _, a := range args {
		s.args = append(s.args, a.Value)
	}
	t.seen = append(t.seen, s)
	if t.after == nil {
		return nil
	}
	return t.after(query)
}

func (t *tap) Driver() driver.Driver { return t.driver }

func (t *tap) Connect(context.Context) (driver.Conn, error) {
	c, err := t.driver.Open(t.dsn)
	if err != nil {
		return nil, err
	}
	return &tappedConn{c, t}, nil
}

type tappedConn struct {
	driver.Conn
	tap *tap
}

func (c *tappedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &tappedStmt{s, c.tap, query}, nil
}

func (c *tappedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &tappedTx{tx, c.tap}, nil
}

func (c *tappedConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type tappedStmt struct {
	driver.Stmt
	tap   *tap
	query string
}

func (s *tappedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	res, err := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	return res, errors.Join(err, s.tap.saw(s.query, args))
}

func (s *tappedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	return rows, errors.Join(err, s.tap.saw(s.query, args))
}

func (s *tappedStmt) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type tappedTx struct {
	driver.Tx
	tap *tap
}

func (t *tappedTx) Commit() error {
	return errors.Join(t.Tx.Commit(), t.tap.saw("COMMIT", nil))
}
