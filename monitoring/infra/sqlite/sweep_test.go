package sqlite

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/outbox"
)

// TestSweep: what is older than Keep goes, in batches; what is younger stays, and what the outbox
// still holds, and the state.
func TestSweep(t *testing.T) {
	const slots = 2*sweepBatch + 100
	d := openNew(t)
	for _, table := range []string{
		`evaluation (rule_id, slot, revision, replica, input, alerts, failure, missed, at) SELECT 'r', slot, '', 'a', x'', 0, '', 0, slot`,
		`transition (rule_id, fingerprint, slot, from_phase, to_phase, labels, annotations, value, active_at, revision, replica)
			SELECT 'r', x'', slot, 'inactive', 'firing', '{}', '{}', '1', slot, '', 'a'`,
		`message (id, sink, rule_id, fingerprint, slot, to_phase) SELECT id, 'pager', 'r', x'', slot, 'firing'`,
		// Of every tenth message the relay knows nothing any more; the others are still to be sent.
		`once_outbox (shard, msg_id, created, topic, msg_key) SELECT 0, id, 0, 'pager', '' WHERE i % 10 <> 0`,
	} {
		into, columns, _ := strings.Cut(table, "SELECT ")
		from := `FROM (SELECT i, ? + i * 1000000000 AS slot, CAST(printf('%016d', i) AS BLOB) AS id FROM n)`
		if list, where, ok := strings.Cut(columns, " WHERE "); ok {
			columns, from = list, from+" WHERE "+where
		}
		execute(t, d, `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
INSERT INTO `+into+`SELECT `+columns+` `+from, slots, encodeTime(at(0)))
	}
	write(t, d, "state", func(tx app.Tx) error { return tx.SetState(t.Context(), "r", domain.State{Slot: at(slots)}) })
	before, err := d.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.sweep(t.Context(), at(slots-100).Add(d.c.Keep)); err != nil {
		t.Fatal(err)
	}
	after, err := d.Totals(t.Context())
	want := before
	want.Evaluations, want.Transitions = 100, 100
	if err != nil || after != want {
		t.Errorf("totals\n%+v, %v; want\n%+v", after, err, want)
	}
	for query, want := range map[string]int{
		`SELECT COUNT(*) FROM evaluation`:                                               100,
		`SELECT COUNT(*) FROM transition`:                                               100,
		`SELECT COUNT(*) FROM message WHERE id NOT IN (SELECT msg_id FROM once_outbox)`: 100 / 10,
		`SELECT COUNT(*) FROM message WHERE id IN (SELECT msg_id FROM once_outbox)`:     before.Waiting,
		`SELECT COUNT(*) FROM rule`:                                                     1,
	} {
		if n := count(t, d, query); n != want {
			t.Errorf("%s is %d, want %d", query, n, want)
		}
	}
	// Once they are delivered these go too.
	execute(t, d, `DELETE FROM once_outbox WHERE seq > ?`, 0)
	if err := d.sweep(t.Context(), at(slots-100).Add(d.c.Keep)); err != nil {
		t.Fatal(err)
	}
	if n := count(t, d, `SELECT COUNT(*) FROM message`); n != 100 {
		t.Errorf("%d messages are left, want 100", n)
	}
	if again, err := d.Totals(t.Context()); err != nil || again.Messages != before.Messages || again.Delivered != before.Messages {
		t.Errorf("%+v, %v; want all %d messages ever written, delivered", again, err, before.Messages)
	}
}

// TestSweepRemovesAttemptsWithTheirMessage: and a message that is dead for long stays with them.
func TestSweepRemovesAttemptsWithTheirMessage(t *testing.T) {
	c := newCourier(t)
	c.begin()
	c.end(app.AttemptFailed)
	late := at(0).Add(c.d.c.Keep + time.Hour)
	if err := c.d.sweep(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	if n := count(t, c.d, `SELECT COUNT(*) FROM attempt`); n != 1 {
		t.Errorf("%d attempts at a message that is still to be sent", n)
	}
	c.settle(outbox.Dead)
	c.skip()
	if err := c.d.sweep(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	if n := count(t, c.d, `SELECT COUNT(*) FROM attempt`) + count(t, c.d, `SELECT COUNT(*) FROM message`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// TestSweepOfWhatIsWatchedNoMore: rules and targets that were taken out of the configuration go,
// measured against those that were not; a monitor that was off for a month loses nothing.
func TestSweepOfWhatIsWatchedNoMore(t *testing.T) {
	d := openNew(t)
	old, kept := rule(t, "Old"), rule(t, "Kept")
	m := monitor(t, d, "a", old, kept)
	target := func(name string, slot time.Time) {
		t.Helper()
		if err := d.RecordTargets(t.Context(), []app.TargetStatus{{Target: name, Slot: slot, Up: true}}); err != nil {
			t.Fatal(err)
		}
	}
	evaluate(t, m, old, snap(at(0), false))
	evaluate(t, m, kept, snap(at(0), false))
	target("old", at(0))
	target("kept", at(0))
	month := at(0).Add(30 * 24 * time.Hour)
	sweep := func(rules, targets int) {
		t.Helper()
		if err := d.sweep(t.Context(), month); err != nil {
			t.Fatal(err)
		}
		alerts, err := d.Alerts(t.Context())
		if err != nil || len(alerts) != rules {
			t.Errorf("%d alerts, %v; want %d", len(alerts), err, rules)
		}
		views, err := d.Targets(t.Context())
		if err != nil || len(views) != targets || count(t, d, `SELECT COUNT(*) FROM beat`) != targets {
			t.Errorf("%d targets, %v; want %d", len(views), err, targets)
		}
	}
	sweep(2, 2)
	if rules, err := d.Rules(t.Context()); err != nil || len(rules) != 2 || rules[0].Revision != "" || rules[0].Alerts != 1 {
		t.Errorf("%+v, %v; want both, though their evaluations are gone", rules, err)
	}
	evaluate(t, m, kept, snap(month, false))
	target("kept", month)
	execute(t, d, `DELETE FROM beat WHERE target = ? AND slot = ?`, "kept", encodeTime(at(0)))
	sweep(1, 1)
}

func TestRunSweeps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "monitor.db")
	synctest.Test(t, func(t *testing.T) {
		d, err := Open(t.Context(), Config{Path: path, Keep: minKeep})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		r := rule(t, "Down")
		evaluate(t, monitor(t, d, "a", r), r, snap(time.Now().UTC().Add(time.Hour-minKeep), false))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := d.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(58 * time.Minute)
		if n := count(t, d, `SELECT COUNT(*) FROM evaluation`); n != 1 {
			t.Errorf("%d evaluations within Keep", n)
		}
		time.Sleep(5 * time.Minute)
		if n := count(t, d, `SELECT COUNT(*) FROM evaluation`); n != 0 {
			t.Errorf("%d evaluations after Keep", n)
		}
		cancel()
		wg.Wait()
	})
}

// TestEveryoneAtOnce: units of work, attempts, targets, pages and sweeps side by side, in two
// handles on one file.
func TestEveryoneAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "monitor.db")
	var wg sync.WaitGroup
	r := rule(t, "Down")
	for _, replica := range []string{"a", "b"} {
		d := open(t, path)
		m := monitor(t, d, replica, r)
		wg.Go(func() {
			for i := range 60 {
				if _, _, err := m.EvaluateSlot(t.Context(), r, snap(at(i), i%2 == 0)); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for i := range 60 {
				if err := d.RecordTargets(t.Context(), []app.TargetStatus{{Target: "x", Slot: at(i)}}); err != nil {
					t.Error(err)
				}
				id, err := d.Begin(t.Context(), app.Attempt{MessageID: [16]byte{1}, At: at(i)})
				if err == nil {
					err = d.End(t.Context(), id, app.AttemptEnd{Result: app.AttemptDelivered})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 30 {
				events, err := d.Events(t.Context(), 50)
				if err != nil {
					t.Error(err)
				}
				for _, e := range events { // a unit of work is seen whole or not at all
					if want := map[bool]int{true: 2}[e.To != domain.Pending]; len(e.Deliveries) != want {
						t.Errorf("%s into %s with %d messages", e.Key, e.To, len(e.Deliveries))
					}
				}
				if _, err := d.Totals(t.Context()); err != nil {
					t.Error(err)
				}
				if err := d.sweep(t.Context(), at(0)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
