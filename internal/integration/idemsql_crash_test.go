package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"example.com/once/idem"
	"example.com/once/idem/idemsql"
)

// Several processes work through the same keys on one file, and are killed at random moments
// and at chosen ones. Whatever happens, a key's effect is there if and only if its record is,
// and both say the same.

const (
	idemCrashPath   = "ONCE_IDEM_CRASH_PATH" // tells a process that it is to work, and on what
	idemCrashDriver = "ONCE_IDEM_CRASH_DRIVER"
	idemCrashKeys   = "ONCE_IDEM_CRASH_KEYS"
	idemCrashFirst  = "ONCE_IDEM_CRASH_FIRST" // the key to begin with
	idemCrashPoint  = "ONCE_IDEM_CRASH_POINT" // where it is to kill itself, if anywhere
)

// idemWorker is one of the processes.
type idemWorker struct {
	db    *sql.DB
	guard *idem.TxGuard[*sql.Tx]
	point string
}

func (w *idemWorker) at(point string) {
	if w.point == point {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// TestIdemCrashWorker is not a test but the process that is killed.
func TestIdemCrashWorker(t *testing.T) {
	path := os.Getenv(idemCrashPath)
	if path == "" {
		t.Skip("it is a part of TestIdemSQLiteSurvivesKills")
	}
	keys, err := strconv.Atoi(os.Getenv(idemCrashKeys))
	if err != nil {
		t.Fatal(err)
	}
	first, err := strconv.Atoi(os.Getenv(idemCrashFirst))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range sqliteDrivers() {
		if d.name != os.Getenv(idemCrashDriver) {
			continue
		}
		db, l := d.losing(t, path)
		w := &idemWorker{db: db, point: os.Getenv(idemCrashPoint)}
		l.lose = func(query string, act func() error) error {
			if query != "COMMIT" {
				return act()
			}
			w.at("before commit")
			err := act()
			w.at("after commit")
			return err
		}
		store, err := idemsql.New(db, idemsql.SQLite, idemsql.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if w.guard, err = idem.NewTx(store, idem.Config{Wait: time.Minute}); err != nil {
			t.Fatal(err)
		}
		for n := range keys {
			i := (first + n) % keys
			k := idemCrashKey(i)
			for done := false; !done; {
				if err := w.work(t.Context(), i, k); err == nil {
					done = true
				} else if !errors.Is(err, errRollback) {
					t.Fatalf("%q: %v", k, err)
				}
			}
		}
	}
}

func idemCrashKey(i int) idem.Key { return idem.NewKey("crash", fmt.Sprintf("%05d", i)) }

var errRollback = errors.New("the caller rolls back")

// work has the effect of one key: with DoTx, or in a transaction of its own, which it may roll
// back.
func (w *idemWorker) work(ctx context.Context, i int, k idem.Key) error {
	if i%2 == 0 {
		_, err := idem.DoTx(ctx, w.guard, k, func(ctx context.Context, tx *sql.Tx) (string, error) { return w.effect(ctx, tx, k) })
		return err
	}
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, `UPDATE counter SET n = n + 1 WHERE k = ?`, []byte(k)); err != nil {
		return err
	}
	if _, err := idem.JoinTx(ctx, w.guard, tx, k, func(ctx context.Context) (string, error) { return w.effect(ctx, tx, k) }); err != nil {
		return err
	}
	if rand.IntN(4) == 0 {
		return errRollback
	}
	return tx.Commit()
}

// effect writes what nobody else writes, and returns it.
func (w *idemWorker) effect(ctx context.Context, tx *sql.Tx, k idem.Key) (string, error) {
	w.at("claimed")
	mark := fmt.Sprintf("%d-%d", os.Getpid(), rand.Uint64())
	if _, err := tx.ExecContext(ctx, `INSERT INTO effect (k, mark) VALUES (?, ?)`, []byte(k), mark); err != nil {
		return "", err
	}
	w.at("effect written")
	return mark, nil
}

// startIdemWorker starts this test binary again, as a worker.
func startIdemWorker(t *testing.T, d sqliteDriver, path string, keys, first int, point string) *osexec.Cmd {
	t.Helper()
	cmd := osexec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestIdemCrashWorker$")
	cmd.Env = append(os.Environ(), idemCrashPath+"="+path, idemCrashDriver+"="+d.name, idemCrashKeys+"="+strconv.Itoa(keys), idemCrashFirst+"="+strconv.Itoa(first), idemCrashPoint+"="+point)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// killed waits for a worker and says whether it was killed. It must not have failed.
func killed(t *testing.T, cmd *osexec.Cmd) bool {
	t.Helper()
	err := cmd.Wait()
	if err == nil {
		return false
	}
	exit, ok := errors.AsType[*osexec.ExitError](err)
	status, isStatus := exit.Sys().(syscall.WaitStatus)
	if !ok || !isStatus || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Errorf("a worker failed: %v", err)
	}
	return true
}

// agree checks that effects and records tell the same story, in one transaction.
func agree(t *testing.T, db *sql.DB, g *idem.Guard, keys int, all bool) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	var effects, doubled, done, unequal int
	for query, n := range map[string]*int{
		`SELECT COUNT(*) FROM effect`: &effects,
		`SELECT COUNT(*) FROM (SELECT k FROM effect GROUP BY k HAVING COUNT(*) > 1)`: &doubled,
		`SELECT COUNT(*) FROM once_idem WHERE idem_key <> x''`:                       &done,
		// A result is a tag and the mark in JSON.
		`SELECT COUNT(*) FROM once_idem LEFT JOIN effect ON k = idem_key WHERE idem_key <> x'' AND (phase <> 3 OR mark IS NULL OR substr(result, 2) <> CAST('"' || mark || '"' AS BLOB))`: &unequal,
	} {
		if err := tx.QueryRowContext(t.Context(), query).Scan(n); err != nil {
			t.Fatal(err)
		}
	}
	if effects != done || doubled != 0 || unequal != 0 {
		t.Errorf("%d effects, %d doubled, %d records, %d that are not done or say something else", effects, doubled, done, unequal)
	}
	if !all {
		return
	}
	if done != keys {
		t.Errorf("%d keys are done, want %d", done, keys)
	}
	for i := range keys {
		if rec, err := g.Inspect(t.Context(), idemCrashKey(i)); err != nil || rec.State != idem.Done || rec.Lease.Attempt != 1 {
			t.Errorf("key %d: %v, attempt %d, %v; want done at the first attempt, since nothing is left of the others", i, rec.State, rec.Lease.Attempt, err)
		}
	}
}

func TestIdemSQLiteSurvivesKills(t *testing.T) {
	processes, kills, keys := 3, 20, 2000
	if testing.Short() {
		kills, keys = 4, 500
	}
	for _, d := range sqliteDrivers() {
		t.Run(d.name, func(t *testing.T) {
			db, path := d.file(t)
			store := openIdem(t, db, idemsql.Config{})
			g := idemGuard(t, store)
			idemCrashTables(t, db)
			// At chosen moments.
			points := 0
			for _, point := range []string{"claimed", "effect written", "before commit", "after commit"} {
				for first := range 2 { // DoTx, JoinTx
					if !killed(t, startIdemWorker(t, d, path, keys, first, point)) {
						t.Errorf("a worker survived %q", point)
					}
					points++
					agree(t, db, g, keys, false)
				}
			}
			// At random moments.
			running := make(chan *osexec.Cmd, processes)
			for range processes {
				running <- startIdemWorker(t, d, path, keys, 0, "")
			}
			hit, done := 0, 0
			for range kills {
				time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond) // the moment is what is random
				cmd := <-running
				_ = cmd.Process.Kill()
				if killed(t, cmd) {
					hit++
				}
				done = count(t, db, `SELECT COUNT(*) FROM effect`)
				agree(t, db, g, keys, false)
				running <- startIdemWorker(t, d, path, keys, 0, "")
			}
			for range processes {
				if killed(t, <-running) {
					t.Error("a worker was killed by somebody else")
				}
			}
			agree(t, db, g, keys, true)
			t.Logf("%d kills at chosen moments, %d of %d at random ones hit a worker at work; %d of %d keys were done at the last", points, hit, kills, done, keys)
			if hit == 0 {
				t.Error("the kills missed the work")
			}
		})
	}
}

func idemGuard(t *testing.T, s *idemsql.Store) *idem.Guard {
	t.Helper()
	g, err := idem.New(s, idem.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// idemCrashTables makes the tables that the workers write to.
func idemCrashTables(t *testing.T, db *sql.DB) {
	t.Helper()
	exec(t, db, `CREATE TABLE effect (k BLOB, mark TEXT)`)
	exec(t, db, `CREATE INDEX effect_k ON effect (k)`)
	exec(t, db, `CREATE TABLE counter (k BLOB PRIMARY KEY, n INTEGER)`)
}
