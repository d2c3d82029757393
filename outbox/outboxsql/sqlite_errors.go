package outboxsql

import "reflect"

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
			fix: "set PRAGMA synchronous = FULL on every connection, in the data source name, or set Config.Relaxed: a power cut may else undo the latest commits",
		})
	}
	return all
}

// Primary result codes of SQLite.
const (
	sqliteBusy       = 5
	sqliteLocked     = 6
	sqliteReadOnly   = 8
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
		return number(m.Call(nil)[0])
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
	return number(f)
}

func number(v reflect.Value) (int64, bool) {
	switch {
	case v.CanInt():
		return v.Int(), true
	case v.CanUint():
		return int64(v.Uint()), true //nolint:gosec // result codes are small
	default:
		return 0, false
	}
}
