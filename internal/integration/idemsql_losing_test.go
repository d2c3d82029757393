package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"testing"
)

// losing stands between database/sql and a driver, and loses what travels between them.
type losing struct {
	driver driver.Driver
	dsn    string

	// lose is asked about each statement and each COMMIT. It lets the database act, or not,
	// and says what the caller is told. nil loses nothing.
	lose func(query string, act func() error) error
}

var errLost = errors.New("connection lost")

// losing opens path through a driver that loses things.
func (d sqliteDriver) losing(tb testing.TB, path string) (*sql.DB, *losing) {
	tb.Helper()
	return d.openLosing(tb, dsn(path, []string{"_txlock=immediate"}))
}

// openLosing is losing for any data source name.
func (d sqliteDriver) openLosing(tb testing.TB, dsn string) (*sql.DB, *losing) {
	tb.Helper()
	elsewhere, _ := d.file(tb)
	l := &losing{driver: elsewhere.Driver(), dsn: dsn}
	db := sql.OpenDB(l)
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db, l
}

func (l *losing) through(query string, act func() error) error {
	if l.lose == nil {
		return act()
	}
	return l.lose(query, act)
}

func (l *losing) Driver() driver.Driver { return l.driver }

func (l *losing) Connect(context.Context) (driver.Conn, error) {
	c, err := l.driver.Open(l.dsn)
	if err != nil {
		return nil, err
	}
	return &losingConn{Conn: c, l: l}, nil
}

// losingConn makes database/sql prepare every statement, so that one place sees them all.
type losingConn struct {
	driver.Conn

	l *losing
}

func (c *losingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &losingStmt{Stmt: s, l: c.l, query: query}, nil
}

func (c *losingConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &losingTx{Tx: tx, l: c.l}, nil
}

func (c *losingConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type losingTx struct {
	driver.Tx

	l *losing
}

// Commit ends the transaction whatever comes of it, as a lost connection would.
func (t *losingTx) Commit() error {
	ended := false
	err := t.l.through("COMMIT", func() error {
		ended = true
		return t.Tx.Commit()
	})
	if !ended {
		_ = t.Rollback()
	}
	return err
}

type losingStmt struct {
	driver.Stmt

	l     *losing
	query string
}

func (s *losingStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (res driver.Result, err error) {
	err = s.l.through(s.query, func() (err error) {
		res, err = s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
		return err
	})
	return res, err
}

// QueryContext reads on to the end, as a client does that has the whole answer, because
// SQLite acts while rows are read.
func (s *losingStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	var whole *wholeRows
	err := s.l.through(s.query, func() error {
		rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
		if err != nil {
			return err
		}
		whole, err = readWhole(rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return whole, nil
}

func (s *losingStmt) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// wholeRows are rows that have been read.
type wholeRows struct {
	columns []string
	rows    [][]driver.Value
}

func readWhole(rows driver.Rows) (_ *wholeRows, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	w := &wholeRows{columns: rows.Columns()}
	for {
		row := make([]driver.Value, len(w.columns))
		if err := rows.Next(row); errors.Is(err, io.EOF) {
			return w, nil
		} else if err != nil {
			return nil, err
		}
		for i, v := range row {
			if b, ok := v.([]byte); ok { // the driver's, until the next row
				row[i] = bytes.Clone(b)
			}
		}
		w.rows = append(w.rows, row)
	}
}

func (w *wholeRows) Columns() []string { return w.columns }
func (w *wholeRows) Close() error      { return nil }

func (w *wholeRows) Next(dest []driver.Value) error {
	if len(w.rows) == 0 {
		return io.EOF
	}
	copy(dest, w.rows[0])
	w.rows = w.rows[1:]
	return nil
}
