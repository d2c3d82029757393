package integration_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/once/idem"
	"example.com/once/idem/idemsql"
)

// effectsOn makes a table of effects and returns a function that has one, for DoTx, and one
// that counts those of a key.
func effectsOn(t *testing.T, db *sql.DB) (have func(context.Context, *sql.Tx, idem.Key) (int64, error), of func(idem.Key) int) {
	t.Helper()
	exec(t, db, `CREATE TABLE IF NOT EXISTS effect (n INTEGER PRIMARY KEY AUTOINCREMENT, k BLOB)`)
	have = func(ctx context.Context, tx *sql.Tx, k idem.Key) (int64, error) {
		res, err := tx.ExecContext(ctx, `INSERT INTO effect (k) VALUES (?)`, []byte(k))
		if err != nil {
			return 0, err
		}
		return res.LastInsertId()
	}
	return have, func(k idem.Key) int { return count(t, db, `SELECT COUNT(*) FROM effect WHERE k = ?`, []byte(k)) }
}

// A COMMIT whose answer is lost leaves two worlds. The Guard finds out which it is by claiming
// again with the same token, on another connection.
func TestIdemSQLiteLostCommit(t *testing.T) {
	for _, d := range sqliteDrivers() {
		for _, told := range []error{driver.ErrBadConn, errLost} {
			for _, applied := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s %v applied=%v", d.name, told, applied), func(t *testing.T) {
					plain, path := d.file(t)
					openIdem(t, plain, idemsql.Config{})
					have, of := effectsOn(t, plain)
					db, l := d.losing(t, path)
					store, err := idemsql.New(db, idemsql.SQLite, idemsql.Config{})
					if err != nil {
						t.Fatal(err)
					}
					g, err := idem.NewTx(store, idem.Config{})
					if err != nil {
						t.Fatal(err)
					}
					commits := 0
					l.lose = func(query string, act func() error) error {
						if query != "COMMIT" {
							return act()
						}
						if commits++; commits > 1 {
							return act()
						}
						if applied {
							if err := act(); err != nil {
								t.Error(err)
							}
						}
						return told
					}
					call := func(info *idem.Info) (int64, error) {
						return idem.DoTx(t.Context(), g, "k", func(ctx context.Context, tx *sql.Tx) (int64, error) { return have(ctx, tx, "k") }, idem.Report(info))
					}
					var info idem.Info
					got, err := call(&info)
					if applied && (got != 1 || err != nil || info.Replayed) {
						t.Errorf("%d, %v, %+v; want its own result", got, err, info)
					}
					if !applied && (err == nil || errors.Is(err, idem.ErrUnknown)) {
						t.Errorf("%v; want an error that knows that nothing was committed", err)
					}
					if n := of("k"); (n == 1) != applied {
						t.Errorf("%d effects after the first call", n)
					}
					got, err = call(&info)
					if got != 1 || err != nil || info.Replayed != applied || info.Attempt != 1 {
						t.Errorf("second call: %d, %v, %+v", got, err, info)
					}
					if n := of("k"); n != 1 {
						t.Errorf("%d effects in the end", n)
					}
				})
			}
		}
	}
}

// Every statement may be lost before or after it was applied, and database/sql repeats by
// itself what ends with driver.ErrBadConn. Each key must come out done once all the same.
func TestIdemSQLiteLostAnswers(t *testing.T) {
	keys, callers := 40, 4
	if testing.Short() {
		keys = 8
	}
	for _, d := range sqliteDrivers() {
		t.Run(d.name, func(t *testing.T) {
			plain, path := d.file(t)
			openIdem(t, plain, idemsql.Config{})
			have, of := effectsOn(t, plain)
			db, l := d.losing(t, path)
			store, err := idemsql.New(db, idemsql.SQLite, idemsql.Config{})
			if err != nil {
				t.Fatal(err)
			}
			c := idem.Config{Wait: 10 * time.Second, Lease: 2 * time.Second}
			g, err := idem.NewTx(store, c)
			if err != nil {
				t.Fatal(err)
			}
			var lost, asked atomic.Int64
			l.lose = func(_ string, act func() error) error {
				asked.Add(1)
				switch rand.IntN(20) {
				case 0:
				case 1:
					if err := act(); err != nil {
						return err
					}
				default:
					return act()
				}
				lost.Add(1)
				if rand.IntN(2) == 0 {
					return driver.ErrBadConn
				}
				return errLost
			}
			done := func(call func() (int64, error)) int64 {
				for {
					if got, err := call(); err == nil {
						return got
					} else if t.Context().Err() != nil {
						return 0
					}
				}
			}
			var ran sync.Map // by key
			var wg sync.WaitGroup
			for i := range keys {
				inTx, outside := idem.NewKey("tx", strconv.Itoa(i)), idem.NewKey("do", strconv.Itoa(i))
				results := make([][2]int64, callers)
				for caller := range callers {
					wg.Go(func() {
						results[caller][0] = done(func() (int64, error) {
							return idem.DoTx(t.Context(), g, inTx, func(ctx context.Context, tx *sql.Tx) (int64, error) { return have(ctx, tx, inTx) })
						})
						results[caller][1] = done(func() (int64, error) {
							return idem.DoValue(t.Context(), g.Guard, outside, func(ctx context.Context) (int64, error) {
								if _, twice := ran.LoadOrStore(outside, true); twice {
									t.Errorf("%q ran twice", outside)
								}
								a, _ := idem.Current(ctx)
								return a.Fence, nil
							})
						})
					})
				}
				wg.Wait()
				for caller := range callers {
					if results[caller] != results[0] {
						t.Errorf("key %d: caller %d got %v, caller 0 got %v", i, caller, results[caller], results[0])
					}
				}
				if n := of(inTx); n != 1 {
					t.Errorf("%q has %d effects", inTx, n)
				}
			}
			t.Logf("%d of %d statements and commits were lost", lost.Load(), asked.Load())
			if lost.Load() == 0 {
				t.Error("nothing was lost")
			}
		})
	}
}
