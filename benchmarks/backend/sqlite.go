package backend

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/google/uuid"
	"github.com/ncruces/go-sqlite3/driver"
	"modernc.org/sqlite"

	"example.com/once/idem"
	"example.com/once/idem/idemsql"
)

// sqliteFile is a SQLite file with one connection that writes, since there can be one writer
// at a time and waiting for a connection is fairer than SQLite's own waiting, and a few that
// read. synchronous is FULL, which syncs each commit, or NORMAL, which may lose the latest
// commits with the power.
func sqliteFile(name, synchronous string, open func(dsn string) (*sql.DB, error)) Backend {
	return Backend{
		Name:       name,
		Durability: synchronous,
		Open: func(ctx context.Context, dir string) (*Store, error) {
			path := filepath.ToSlash(filepath.Join(dir, "once.db"))
			dsn := "file:" + path + "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(" + synchronous + ")"
			f := &sqlFile{}
			if err := f.open(ctx, dsn, synchronous != "full", open); err != nil {
				return nil, errors.Join(err, f.close())
			}
			return &Store{Idem: f.store, Raw: &f.raw, Tx: f.tx(), Close: f.close}, nil
		},
	}
}

func ncruces(dsn string) (*sql.DB, error) { return driver.Open(dsn) }

func modernc(dsn string) (*sql.DB, error) {
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(c), nil
}

type sqlFile struct {
	writer, reader *sql.DB
	store          *idemsql.Store
	raw            rawSQL
}

func (f *sqlFile) open(ctx context.Context, dsn string, relaxed bool, open func(dsn string) (*sql.DB, error)) (err error) {
	if f.writer, err = open(dsn); err != nil {
		return err
	}
	f.writer.SetMaxOpenConns(1)
	if f.reader, err = open(dsn); err != nil {
		return err
	}
	readers := max(2, runtime.GOMAXPROCS(0))
	f.reader.SetMaxOpenConns(readers)
	f.reader.SetMaxIdleConns(readers)

	f.store, err = idemsql.New(f.writer, idemsql.SQLite, idemsql.Config{Reader: f.reader, Relaxed: relaxed})
	if err != nil {
		return err
	}
	if err := f.store.Migrate(ctx); err != nil {
		return err
	}
	for _, statement := range []string{
		`CREATE TABLE raw (key BLOB PRIMARY KEY, owner BLOB NOT NULL, result BLOB) WITHOUT ROWID`,
		`CREATE TABLE effect (id INTEGER PRIMARY KEY, what TEXT NOT NULL)`,
	} {
		if _, err := f.writer.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return f.raw.prepare(ctx, f.writer, f.reader)
}

func (f *sqlFile) close() error {
	var errs []error
	for _, db := range []*sql.DB{f.reader, f.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

func (f *sqlFile) tx() *Tx {
	return &Tx{
		Store: f.store,
		DB:    f.writer,
		Insert: func(ctx context.Context, tx *sql.Tx, id int64) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO effect (id, what) VALUES (?, ?)`, id, "one row of the caller's own")
			return err
		},
		Effects: func(ctx context.Context) (int64, error) {
			return countRows(ctx, f.writer, `SELECT COUNT(*) FROM effect`)
		},
	}
}

func countRows(ctx context.Context, db *sql.DB, query string) (n int64, err error) {
	err = db.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}

// rawSQL is a table and two prepared statements. They end with their pools.
type rawSQL struct {
	writer              *sql.DB
	insert, store, read *sql.Stmt
}

func (r *rawSQL) prepare(ctx context.Context, writer, reader *sql.DB) (err error) {
	r.writer = writer
	if r.insert, err = writer.PrepareContext(ctx, `INSERT INTO raw (key, owner) VALUES (?, ?) ON CONFLICT (key) DO NOTHING`); err != nil {
		return err
	}
	if r.store, err = writer.PrepareContext(ctx, `UPDATE raw SET result = ? WHERE key = ? AND owner = ?`); err != nil {
		return err
	}
	r.read, err = reader.PrepareContext(ctx, `SELECT result FROM raw WHERE key = ?`)
	return err
}

func (r *rawSQL) Pair(ctx context.Context, key idem.Key, owner uuid.UUID, result []byte) error {
	return pair(ctx, r.insert, r.store, key, owner, result)
}

func pair(ctx context.Context, insert, store *sql.Stmt, key idem.Key, owner uuid.UUID, result []byte) error {
	if err := one(insert.ExecContext(ctx, []byte(key), owner[:])); err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	if err := one(store.ExecContext(ctx, result, []byte(key), owner[:])); err != nil {
		return fmt.Errorf("complete: %w", err)
	}
	return nil
}

func (r *rawSQL) Fill(ctx context.Context, keys []idem.Key, result []byte) error {
	tx, err := r.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	insert, store := tx.StmtContext(ctx, r.insert), tx.StmtContext(ctx, r.store)
	for _, key := range keys {
		if err := pair(ctx, insert, store, key, uuid.New(), result); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func one(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n != 1 {
		err = fmt.Errorf("%d rows, want 1", n)
	}
	return err
}

func (r *rawSQL) Read(ctx context.Context, key idem.Key) ([]byte, error) {
	var result []byte
	err := r.read.QueryRowContext(ctx, []byte(key)).Scan(&result)
	return result, err
}

func (r *rawSQL) Count(ctx context.Context) (int64, error) {
	return countRows(ctx, r.writer, `SELECT COUNT(*) FROM raw WHERE result IS NOT NULL`)
}
