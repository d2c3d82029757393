package idemsql

import (
	"reflect"
	"time"
)

// sqlite is the SQLite engine. Its clock is the host's, read by SQLite, to the millisecond:
// julianday and unixepoch('subsec') both stop there. It is read anew at each statement.
//
// The row with the empty key, which no claim can name, holds the fences' floor and the
// version of the schema.
func sqlite() *engine {
	return &engine{
		name:   "SQLite",
		tables: 58,
		now:    `CAST((julianday('now') - 2440587.5) * 86400000.0 + 0.5 AS INTEGER) * 1000`,
		tick:   time.Millisecond,
		schema: []string{
			`CREATE TABLE IF NOT EXISTS {table} (
	idem_key     BLOB    NOT NULL PRIMARY KEY,
	phase        INTEGER NOT NULL, -- 0 running, 1 released, 2 held, 3 done, 4 done without a result
	token        BLOB    NOT NULL,
	fence        INTEGER NOT NULL, -- grows with every change of holder
	rev          INTEGER NOT NULL, -- grows with every change
	attempt      INTEGER NOT NULL,
	fingerprint  BLOB,
	progress_seq INTEGER NOT NULL,
	progress     BLOB,
	result       BLOB,
	lease_until  INTEGER NOT NULL, -- microseconds since 1970, as all times
	keep_until   INTEGER NOT NULL,
	created      INTEGER NOT NULL
) WITHOUT ROWID`,
			`CREATE INDEX IF NOT EXISTS {index} ON {bare} (keep_until)`,
			`INSERT INTO {table} (idem_key, phase, token, fence, rev, attempt, progress_seq, lease_until, keep_until, created)
VALUES (x'', 3, x'', 0, 1, 1, 0, 0, 9223372036854775807, {now})
ON CONFLICT (idem_key) DO NOTHING`,
		},

		// The constant condition keeps it from changing anything, not from taking the lock.
		lock: `DELETE FROM {table} WHERE idem_key = ? AND 1 = 0`,

		get: `SELECT {row}, result FROM {table} WHERE idem_key = ?`,

		insert: `INSERT INTO {table}
	(idem_key, phase, token, fence, rev, attempt, fingerprint, progress_seq, lease_until, keep_until, created)
VALUES (?, 0, ?, MAX({now}, (SELECT COALESCE(MAX(fence), 0) + 1 FROM {table} WHERE idem_key = x'')),
	1, 1, ?, 0, {now} + ?, {now} + ?, {now})
ON CONFLICT (idem_key) DO NOTHING
RETURNING {row}`,

		restart: `UPDATE {table} SET phase = 0, token = ?, fence = MAX(fence + 1, {now}), rev = rev + 1, attempt = 1,
	fingerprint = ?, progress_seq = 0, progress = NULL, result = NULL,
	lease_until = {now} + ?, keep_until = {now} + ?, created = {now}
WHERE idem_key = ? AND fence = ? AND rev = ?
RETURNING {row}`,

		takeOver: `UPDATE {table} SET phase = 0, token = ?, fence = MAX(fence + 1, {now}), rev = rev + 1, attempt = attempt + 1,
	fingerprint = COALESCE(fingerprint, ?),
	lease_until = {now} + ?, keep_until = MAX(keep_until, {now} + ?)
WHERE idem_key = ? AND fence = ? AND rev = ?
RETURNING {row}`,

		reclaim: `UPDATE {table} SET token = ?, rev = rev + 1,
	fingerprint = COALESCE(fingerprint, ?),
	lease_until = {now} + ?, keep_until = MAX(keep_until, {now} + ?)
WHERE idem_key = ? AND fence = ? AND rev = ?
RETURNING {row}`,

		renew: `UPDATE {table} SET rev = rev + 1, lease_until = {now} + ?, keep_until = MAX(keep_until, {now} + ?),
	progress = CASE WHEN ? >= progress_seq THEN ? ELSE progress END,
	progress_seq = MAX(progress_seq, ?)
WHERE idem_key = ? AND token = ? AND fence = ? AND phase = 0 AND {live}`,

		complete: `UPDATE {table} SET phase = ?, result = ?, progress = NULL, progress_seq = 0, rev = rev + 1, keep_until = {now} + ?
WHERE idem_key = ? AND token = ? AND fence = ? AND phase = 0 AND {live}
RETURNING {row}`,

		release: `UPDATE {table} SET phase = ?, rev = rev + 1
WHERE idem_key = ? AND token = ? AND fence = ? AND phase = 0 AND {live}`,

		// A forgotten key's row stays, past its retention, for its fence.
		forget: `UPDATE {table} SET phase = 1, rev = rev + 1, fingerprint = NULL, progress = NULL, keep_until = 0
WHERE idem_key = ? AND token = ? AND fence = ? AND phase = 0 AND {live}`,

		remove: `UPDATE {table} SET phase = 1, rev = rev + 1, fingerprint = NULL, progress = NULL, result = NULL, keep_until = 0
WHERE idem_key = ? AND keep_until > 0`,

		resolve: `UPDATE {table} SET phase = ?, result = ?, keep_until = {now} + ?, progress = NULL, progress_seq = 0,
	token = zeroblob(16), fence = MAX(fence + 1, {now}), rev = rev + 1
WHERE idem_key = ? AND fence = ? AND rev = ?
RETURNING {row}`,

		list: `SELECT {row}, idem_key FROM {table}
WHERE idem_key > ? AND {live} AND phase BETWEEN ? AND ? AND ({alive}) BETWEEN ? AND ?
ORDER BY idem_key LIMIT ?`,

		clock: `SELECT {now}`,

		floor: `UPDATE {table} SET fence = MAX(fence, (SELECT COALESCE(MAX(fence), 0) FROM
	(SELECT fence FROM {table} WHERE keep_until <= ? ORDER BY keep_until, idem_key LIMIT ?)))
WHERE idem_key = x''`,

		sweep: `DELETE FROM {table} WHERE idem_key IN
	(SELECT idem_key FROM {table} WHERE keep_until <= ? ORDER BY keep_until, idem_key LIMIT ?)`,

		version: `SELECT attempt FROM {table} WHERE idem_key = x''`,

		savepoint:        `SAVEPOINT once_idem`,
		rollbackTo:       `ROLLBACK TO once_idem`,
		releaseSavepoint: `RELEASE once_idem`,

		settings: sqliteSettings,
		code:     sqliteFailure,
	}
}

func sqliteSettings(relaxed bool) []setting {
	all := []setting{
		{
			name: "journal_mode", query: `PRAGMA journal_mode`, good: []string{"wal"},
			fix: "run PRAGMA journal_mode = WAL once for the file: readers then never wait for the writer",
		},
		{
			name: "busy_timeout", query: `PRAGMA busy_timeout`, bad: []string{"0"},
			fix: "set PRAGMA busy_timeout = 5000 on every connection, in the data source name: a writer then waits for its turn instead of failing",
		},
	}
	if !relaxed {
		all = append(all, setting{
			name: "synchronous", query: `PRAGMA synchronous`, good: []string{"2", "3"},
			fix: "set PRAGMA synchronous = FULL on every connection, in the data source name, or set Config.Relaxed: a power cut may else forget the latest records",
		})
	}
	return all
}

// Primary result codes of SQLite.
const (
	sqliteBusy       = 5
	sqliteLocked     = 6
	sqliteReadOnly   = 8
	sqliteTooBig     = 18
	sqliteConstraint = 19
)

func sqliteFailure(err error) failure {
	code, ok := sqliteCode(err)
	if !ok {
		switch wrapped := err.(type) { //nolint:errorlint // it walks the chain itself, since no type to look for is known
		case interface{ Unwrap() error }:
			if inner := wrapped.Unwrap(); inner != nil {
				return sqliteFailure(inner)
			}
		case interface{ Unwrap() []error }:
			for _, inner := range wrapped.Unwrap() {
				if f := sqliteFailure(inner); f != failureOther {
					return f
				}
			}
		}
		return failureOther
	}
	switch code & 0xff {
	case sqliteBusy, sqliteLocked:
		return failureBusy
	case sqliteReadOnly, sqliteConstraint:
		return failureRefused
	case sqliteTooBig:
		return failureTooLarge
	default:
		return failureOther
	}
}

// sqliteCode finds the result code in a driver's error without importing the driver: a
// method or a field named Code, of some integer type. That covers the known ones.
func sqliteCode(err error) (int64, bool) {
	if c, ok := err.(interface{ Code() int }); ok {
		return int64(c.Code()), true
	}
	v := reflect.ValueOf(err)
	if m := v.MethodByName("Code"); m.IsValid() && m.Type().NumIn() == 0 && m.Type().NumOut() == 1 {
		return integer(m.Call(nil)[0])
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return 0, false
	}
	f := v.FieldByName("Code")
	if !f.IsValid() {
		return 0, false
	}
	return integer(f)
}

func integer(v reflect.Value) (int64, bool) {
	switch {
	case v.CanInt():
		return v.Int(), true
	case v.CanUint():
		return int64(v.Uint()), true //nolint:gosec // result codes are small
	default:
		return 0, false
	}
}
