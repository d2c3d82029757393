package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/driver"
)

func TestOpenRefusesBadConfig(t *testing.T) {
	for _, c := range []struct {
		field  string
		config Config
	}{
		{"Config.Path", Config{}},
		{"Config.Keep", Config{Path: "x", Keep: time.Hour}},
		{"Config.Keep", Config{Path: "x", Keep: -time.Hour}},
		{"Config.BusyTimeout", Config{Path: "x", BusyTimeout: -1}},
		{"Config.Readers", Config{Path: "x", Readers: -1}},
	} {
		d, err := Open(t.Context(), c.config)
		if err == nil || !strings.Contains(err.Error(), c.field) {
			t.Errorf("%+v: %v; want an error that names %s", c.config, err, c.field)
			_ = d.Close()
		}
	}
}

// TestOpenExplainsItself: each mistake gives one line that names the path and says what to do,
// and the file is left as it was.
func TestOpenExplainsItself(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sqliteFile := func(name, statements string) string {
		path := filepath.Join(dir, name)
		db, err := driver.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ name, path, want, advice string }{
		{"directory", dir, "is a directory", "name a file in it, like " + filepath.Join(dir, "monitor.db")},
		{"memory", ":memory:", "is no file", "name one"},
		{"no folder", filepath.Join(dir, "no", "monitor.db"), "there is no folder " + filepath.Join(dir, "no"), "make it, or name another file"},
		{"folder is a file", filepath.Join(file("plain", ""), "monitor.db"), "cannot be looked at (not a directory)", "check the path"},
		{"device", os.DevNull, "is not a regular file", "name one"},
		{"not SQLite", file("letter.txt", strings.Repeat("Dear reader, this is not a database. ", 200)), "is not a SQLite database", "name another file"},
		{"other application", sqliteFile("other.db", `CREATE TABLE t (x)`), "is the SQLite database of another application", "name another file"},
		{"other application id", sqliteFile("marked.db", `PRAGMA application_id = 7`), "is the SQLite database of another application", "name another file"},
		{
			"newer", sqliteFile("newer.db", fmt.Sprintf(`PRAGMA application_id = %d; PRAGMA user_version = 99`, applicationID)),
			"holds version 99 of the monitor's tables and this program needs version 1", "run the program that it belongs to",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, _ := os.ReadFile(c.path)
			d, err := Open(t.Context(), Config{Path: c.path})
			if err == nil {
				_ = d.Close()
				t.Fatal("it opens")
			}
			text := err.Error()
			if !strings.Contains(text, c.path) || !strings.Contains(text, c.want) || !strings.Contains(text, c.advice) || strings.Contains(text, "\n") {
				t.Errorf("%q;\nwant one line with the path, %q and %q", text, c.want, c.advice)
			}
			if after, _ := os.ReadFile(c.path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestOpenNamesUnwritableFile(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root writes everywhere; run the tests as another user to see this one")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "monitor.db")
	open(t, path)
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	wantUnwritable(t, path)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	wantUnwritable(t, filepath.Join(dir, "new.db"))
}

// TestOpenNamesUnwritableFolder needs a folder in which not even root can make a file.
func TestOpenNamesUnwritableFolder(t *testing.T) {
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("there is no /proc here")
	}
	wantUnwritable(t, "/proc/monitor.db")
}

func wantUnwritable(t *testing.T, path string) {
	t.Helper()
	d, err := Open(t.Context(), Config{Path: path})
	if err == nil {
		_ = d.Close()
		t.Fatal("it opens")
	}
	if text := err.Error(); !strings.Contains(text, path+" cannot be written") || !strings.Contains(text, "give this user the right") {
		t.Errorf("%q", text)
	}
}

func TestOpenNamesLock(t *testing.T) {
	d := openNew(t)
	tx, err := d.write.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	_, err = Open(t.Context(), Config{Path: d.path, BusyTimeout: 50 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "has been locked by another process for 50ms; end what holds it") {
		t.Errorf("%v", err)
	}
}

func TestOpenEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, Config{Path: filepath.Join(t.TempDir(), "monitor.db")})
	if err == nil || !strings.Contains(err.Error(), "was not opened in time") {
		t.Errorf("%v", err)
	}
}

// TestOpenAtOnce: replicas that start together make one file.
func TestOpenAtOnce(t *testing.T) {
	for range 4 {
		path := filepath.Join(t.TempDir(), "monitor.db")
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				d, err := Open(t.Context(), Config{Path: path})
				if err != nil {
					t.Error(err)
					return
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// TestOpenOddPath: what means something in a URI is only a letter in a path.
func TestOpenOddPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "50% of #1?mode=memory&x=ü.db")
	d := open(t, path)
	if err := d.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "monitor.db")
	r := rule(t, "Down")
	d, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	first := evaluate(t, monitor(t, d, "a", r), r, snap(at(1), false))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again, replayed, err := monitor(t, open(t, path), "b", r).EvaluateSlot(t.Context(), r, snap(at(1), false))
	if err != nil || !replayed || again.Replica != first.Replica {
		t.Fatalf("%+v, replayed %v, %v", again, replayed, err)
	}
}

func TestSettings(t *testing.T) {
	d := openNew(t)
	for pragma, want := range map[string]int{"synchronous": 2, "query_only": 1, "busy_timeout": 20000} {
		if got := count(t, d, "PRAGMA "+pragma); got != want {
			t.Errorf("reader: %s is %d, want %d", pragma, got, want)
		}
	}
	var mode string
	var synchronous int
	if err := d.write.QueryRowContext(t.Context(), `PRAGMA journal_mode`).Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal_mode is %q, %v", mode, err)
	}
	if err := d.write.QueryRowContext(t.Context(), `PRAGMA synchronous`).Scan(&synchronous); err != nil || synchronous != 2 {
		t.Errorf("writer: synchronous is %d, %v", synchronous, err)
	}
}

func TestPing(t *testing.T) {
	d := openNew(t)
	if err := d.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.ping.at = time.Time{}
	blocker, err := driver.Open(d.path)
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Close()
	tx, err := blocker.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.Ping(ctx); err == nil || !strings.Contains(err.Error(), d.path+" cannot be written") {
		t.Errorf("a file that cannot be written: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := d.Ping(t.Context()); err != nil {
		t.Errorf("after the lock is gone: %v", err)
	}
}

// TestSlotsReadBack guards the form of times on disk.
func TestSlotsReadBack(t *testing.T) {
	for _, want := range []time.Time{{}, at(0), at(0).Add(time.Nanosecond), time.Date(1969, 1, 1, 0, 0, 0, 1, time.UTC)} {
		if got := decodeTime(encodeTime(want)); got != want {
			t.Errorf("%v becomes %v", want, got)
		}
	}
}
