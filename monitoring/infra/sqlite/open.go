package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"

	"example.com/once/retry"
)

// openError says in one sentence why a file cannot be used.
type openError struct {
	path   string
	reason string // continues "file.db ..."; says all that err does
	err    error
}

func (e *openError) Error() string { return "sqlite: " + e.path + " " + e.reason }

func (e *openError) Unwrap() error { return e.err }

// checkPath finds what SQLite would only call "unable to open database file".
func checkPath(path string) error {
	if path == ":memory:" {
		return &openError{path, "is no file; name one, since what is kept in memory does not outlive a crash", nil}
	}
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return &openError{path, "is a directory; name a file in it, like " + filepath.Join(path, "monitor.db"), nil}
	case err == nil && !info.Mode().IsRegular():
		return &openError{path, "is not a regular file; name one", nil}
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return &openError{path, "cannot be looked at (" + cause(err) + "); check the path and its permissions", err}
	}
	folder := filepath.Dir(path)
	switch info, err := os.Stat(folder); {
	case errors.Is(err, fs.ErrNotExist):
		return &openError{path, "cannot be made, because there is no folder " + folder + "; make it, or name another file", nil}
	case err != nil:
		return &openError{path, "cannot be made (" + cause(err) + "); check the path and its permissions", err}
	case !info.IsDir():
		return &openError{path, "cannot be made, because " + folder + " is not a folder; name another file", nil}
	}
	return nil
}

// cause leaves out the path, which is named already.
func cause(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return err.Error()
}

// connect makes the two pools. Nothing is opened yet.
func (d *DB) connect() error {
	abs, err := filepath.Abs(d.path)
	if err != nil {
		return &openError{d.path, "cannot be made an absolute path: " + err.Error(), err}
	}
	open := func(txlock string, pragmas ...string) error {
		q := url.Values{"_txlock": {txlock}, "_pragma": append([]string{
			fmt.Sprintf("busy_timeout(%d)", d.c.BusyTimeout.Milliseconds()), // first, so that the others wait too
			"synchronous(full)",
			"journal_size_limit(67108864)", // what a long log shrinks to
		}, pragmas...)}
		u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(abs), RawQuery: q.Encode()}
		pool, err := driver.Open(u.String())
		if err != nil {
			return err //nolint:wrapcheck // explained by the caller
		}
		pool.SetConnMaxIdleTime(0)
		if txlock == "immediate" {
			d.write = pool
			pool.SetMaxOpenConns(1)
			pool.SetMaxIdleConns(1)
			return nil
		}
		d.read = pool
		pool.SetMaxOpenConns(d.c.Readers)
		pool.SetMaxIdleConns(d.c.Readers)
		return nil
	}
	return errors.Join(open("immediate"), open("deferred", "query_only(1)"))
}

// prepareFile makes the tables or checks them, and only then touches how the file is kept.
func (d *DB) prepareFile(ctx context.Context) error {
	if err := patiently(ctx, d.c.BusyTimeout, d.migrate); err != nil {
		return err
	}
	return patiently(ctx, d.c.BusyTimeout, func(ctx context.Context) error {
		var mode string
		if err := d.write.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode); err != nil {
			return err //nolint:wrapcheck // explained by the caller
		}
		if !strings.EqualFold(mode, "wal") {
			return &openError{d.path, "cannot be kept with a write-ahead log, which several replicas need; put it on a local disk", nil}
		}
		return nil
	})
}

// patiently repeats step while the file is locked. SQLite does not wait by itself where
// waiting could be a deadlock, as when two processes change how a new file is kept.
func patiently(ctx context.Context, d time.Duration, step func(context.Context) error) error {
	p := retry.Policy{
		Name: "open", MaxAttempts: -1, MaxElapsed: d, Backoff: retry.Exponential(5*time.Millisecond, 100*time.Millisecond),
		Classify: func(err error) retry.Verdict {
			if errors.Is(err, sqlite3.BUSY) || errors.Is(err, sqlite3.LOCKED) {
				return retry.Verdict{Class: retry.NoEffect}
			}
			return retry.Verdict{Class: retry.Permanent}
		},
	}
	err := retry.Do(ctx, &p, step)
	if e, ok := errors.AsType[*retry.Error](err); ok && len(e.Errs) > 0 && ctx.Err() == nil {
		return e.Errs[len(e.Errs)-1]
	}
	return err
}

// explain turns SQLite's terse errors into a sentence.
func explain(c Config, err error) error {
	if _, ok := errors.AsType[*openError](err); ok {
		return err
	}
	reason := "cannot be used: " + err.Error()
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		reason = "was not opened in time"
	case errors.Is(err, sqlite3.NOTADB):
		reason = "is not a SQLite database; name another file, or move this one away"
	case errors.Is(err, sqlite3.CORRUPT):
		reason = "is damaged; restore it from a copy, or move it away and start anew"
	case errors.Is(err, sqlite3.READONLY), errors.Is(err, sqlite3.PERM), errors.Is(err, sqlite3.CANTOPEN), errors.Is(err, fs.ErrPermission):
		reason = "cannot be written; give this user the right to write the file and its folder, or name another file"
	case errors.Is(err, sqlite3.BUSY), errors.Is(err, sqlite3.LOCKED):
		reason = fmt.Sprintf("has been locked by another process for %v; end what holds it, for example a sqlite3 shell", c.BusyTimeout)
	case errors.Is(err, sqlite3.FULL):
		reason = "cannot be written, because the disk is full; make room"
	}
	return &openError{c.Path, reason, err}
}
