package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/once/idem"
	"example.com/once/idem/idemsql"
	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
)

// What docs/guarantees.md and docs/failure-modes.md say of disks, clocks, backups and settings.

// When the disk is full nothing is reported as done or as not done that may be otherwise, and
// all is well once there is room again.
func TestFullDiskHidesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		result  string // of the function
		ran     bool   // the call that finds the disk full
		unknown bool   // what it is told
	}{
		"at the claim":      {result: ""},
		"at the completion": {result: strings.Repeat("r", 64<<10), ran: true, unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			db, _ := sqliteDrivers()[0].file(t)
			db.SetMaxOpenConns(1) // the limit is the connection's own
			store := openIdem(t, db, idemsql.Config{})
			impatient, err := idem.New(store, idem.Config{Settle: 500 * time.Millisecond}) // a full disk stays full
			if err != nil {
				t.Fatal(err)
			}
			patient, err := idem.New(store, idem.Config{Settle: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			exec(t, db, fmt.Sprintf(`PRAGMA max_page_count = %d`, count(t, db, `PRAGMA page_count`)+2))

			call := func(guard *idem.Guard, key idem.Key) (ran bool, err error) {
				_, err = idem.DoValue(t.Context(), guard, key, func(context.Context) (string, error) {
					ran = true
					return c.result, nil
				})
				return ran, err
			}
			for n := 0; ; n++ {
				key := idem.NewKey("disk", strings.Repeat("k", 200), strconv.Itoa(n))
				ran, err := call(impatient, key)
				if err == nil && n < 10_000 {
					continue
				}
				if err == nil || ran != c.ran || errors.Is(err, idem.ErrUnknown) != c.unknown || errors.Is(err, idem.ErrInFlight) {
					t.Errorf("on a full disk: ran %v, %v", ran, err)
				}
				exec(t, db, `PRAGMA max_page_count = 1000000`)
				if err := patient.Forget(t.Context(), key); err != nil { // somebody has found out
					t.Fatal(err)
				}
				if ran, err := call(patient, key); !ran || err != nil {
					t.Errorf("with room again: ran %v, %v", ran, err)
				}
				return
			}
		})
	}
}

// shiftClock changes what the store's clock says by d: it moves everything that is stored the
// other way.
func shiftClock(tb testing.TB, db *sql.DB, d time.Duration) {
	tb.Helper()
	exec(tb, db, `UPDATE once_idem SET lease_until = lease_until - ?1, keep_until = keep_until - ?1, created = created - ?1, fence = fence - ?1
WHERE idem_key <> x''`, d.Microseconds())
	exec(tb, db, `UPDATE once_idem SET fence = MAX(0, fence - ?) WHERE idem_key = x''`, d.Microseconds())
}

// A clock that is set forward ends a lease whose holder lives. Then the function runs twice, as
// the documentation says, but one outcome is recorded, and both callers get that.
func TestClockSetForwardLeavesOneOutcome(t *testing.T) {
	db, _ := sqliteDrivers()[0].file(t)
	store := openIdem(t, db, idemsql.Config{})
	guards := make([]*idem.Guard, 2)
	for i := range guards {
		var err error
		if guards[i], err = idem.New(store, idem.Config{}); err != nil {
			t.Fatal(err)
		}
	}
	second := ""
	first, err := idem.DoValue(t.Context(), guards[0], "k", func(context.Context) (string, error) {
		shiftClock(t, db, time.Minute)
		var info idem.Info
		var err error
		second, err = idem.DoValue(t.Context(), guards[1], "k", func(context.Context) (string, error) { return "second", nil }, idem.Report(&info))
		if second != "second" || info.Attempt != 2 {
			t.Errorf("the other call: %q, %+v", second, info)
		}
		return "first", err
	})
	if first != second || err != nil {
		t.Errorf("the callers got %q and %q, %v; want one outcome", first, second, err)
	}
}

// A clock that is set back keeps dead holders' keys for longer, but never gives out a fence
// again.
func TestClockSetBackKeepsFencesGrowing(t *testing.T) {
	db, _ := sqliteDrivers()[0].file(t)
	store := openIdem(t, db, idemsql.Config{})
	claim := func(key idem.Key) idem.Record {
		rec, err := store.Claim(t.Context(), idem.Claim{Key: key, Token: uuid.New(), Lease: time.Millisecond, Keep: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	gone := claim("gone").Lease
	if err := store.Release(t.Context(), gone, idem.DispositionForget); err != nil {
		t.Fatal(err)
	}
	if n, err := store.Sweep(t.Context(), 10); n != 1 || err != nil {
		t.Fatalf("swept %d, %v", n, err)
	}
	held := claim("held").Lease

	const back = time.Hour
	shiftClock(t, db, -back)
	if rec := claim("held"); rec.State != idem.InFlight || rec.Left < back-time.Minute {
		t.Errorf("%v, %v left; want that the lease lasts an hour longer", rec.State, rec.Left)
	}
	for key, before := range map[idem.Key]int64{"gone": gone.Fence, "new": held.Fence} {
		if rec := claim(key); rec.State != idem.Acquired || rec.Lease.Fence <= before+back.Microseconds() && key == "gone" {
			t.Errorf("%s: %v with fence %d, want more than %d", key, rec.State, rec.Lease.Fence, before+back.Microseconds())
		}
	}
}

// relayOne publishes one message and returns its id.
func relayOne(t *testing.T, store outbox.Store) (id uuid.UUID) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	relay, err := outbox.NewRelay(store, outbox.PublisherFunc(func(_ context.Context, d outbox.Delivery) error {
		id = d.ID
		stop()
		return nil
	}), outbox.RelayConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := relay.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return id
}

// While a publisher works the relay holds nothing in the database: others write as they like.
func TestNoLockIsHeldWhilePublishing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.db")
	o, err := openOrders(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.db.Close() }()
	if _, err := o.ship(t.Context(), "1138", time.Now()); err != nil {
		t.Fatal(err)
	}
	impatient := sqliteDrivers()[0].at(t, path, "_pragma=busy_timeout(1)")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	written := errors.New("nothing was published")
	relay, err := outbox.NewRelay(o.outbox, outbox.PublisherFunc(func(ctx context.Context, _ outbox.Delivery) error {
		_, written = impatient.ExecContext(ctx, `INSERT INTO shipments (order_id, at) VALUES (?, '')`, "1139")
		stop()
		return nil
	}), outbox.RelayConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := relay.Run(ctx); err != nil || written != nil {
		t.Errorf("the relay: %v; who writes meanwhile: %v", err, written)
	}
}

// A backup that is restored forgets what came after it. What is retried runs again, and tells
// of it under the same id.
func TestRestoredBackupRepeatsUnderTheSameIDs(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) *orders {
		o, err := openOrders(t.Context(), filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = o.db.Close() })
		return o
	}
	ship := func(o *orders) {
		if _, err := o.ship(t.Context(), "1138", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	o := open("orders.db")
	exec(t, o.db, `VACUUM INTO ?`, filepath.Join(dir, "backup.db"))
	ship(o)
	first := relayOne(t, o.outbox)

	restored := open("backup.db")
	ship(restored)
	if again := relayOne(t, restored.outbox); again != first {
		t.Errorf("the message had the id %v, and now %v", first, again)
	}
	if n := count(t, restored.db, `SELECT COUNT(*) FROM shipments`); n != 1 {
		t.Errorf("%d shipments, want that it ran again", n)
	}
}

// Settings and tables that void the promises are named at the start, by the guard and by the
// relay, which then serves nobody.
func TestWhatVoidsThePromisesIsNamedAtTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		pragma, spoil string
		want          string
	}{
		"commits that a power cut undoes": {pragma: "synchronous(normal)", want: "synchronous is 1"},
		"writers that do not wait":        {pragma: "busy_timeout(0)", want: "busy_timeout is 0"},
		"readers that wait for writers":   {pragma: "journal_mode(delete)", want: "journal_mode is delete"},
		"tables of another version": {
			spoil: `UPDATE once_idem SET attempt = 99 WHERE idem_key = x''; UPDATE once_outbox_meta SET value = 99 WHERE name = 'version'`,
			want:  "has version 99",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := sqliteDrivers()[0]
			db, path := d.file(t)
			keys := openIdem(t, db, idemsql.Config{})
			box, err := outboxsql.New(db, outboxsql.SQLite, outboxsql.Config{})
			if err != nil {
				t.Fatal(err)
			}
			if err := box.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.spoil != "" {
				exec(t, db, c.spoil)
			} else {
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				db = d.at(t, path, "_pragma="+c.pragma)
				if keys, err = idemsql.New(db, idemsql.SQLite, idemsql.Config{}); err != nil {
					t.Fatal(err)
				}
				if box, err = outboxsql.New(db, outboxsql.SQLite, outboxsql.Config{}); err != nil {
					t.Fatal(err)
				}
			}
			guard, err := idem.New(keys, idem.Config{})
			if err != nil {
				t.Fatal(err)
			}
			if err := guard.Check(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the guard says %v, want %q", err, c.want)
			}
			relay, err := outbox.NewRelay(box, outbox.PublisherFunc(nil), outbox.RelayConfig{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a relay that is content runs on
			defer cancel()
			if err := relay.Run(ctx); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the relay says %v, want %q", err, c.want)
			}
		})
	}
}
