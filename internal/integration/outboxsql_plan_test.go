package integration_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
)

// TestOutboxPlans asks the engine how it runs every statement of the store: none may walk
// through a table of messages, whatever is in it.
func TestOutboxPlans(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		db, tap := d.tapped(t, o.path)
		o.db = db
		var err error
		if o.Store, err = outboxsql.New(db, outboxsql.SQLite, outboxsql.Config{}); err != nil {
			t.Fatal(err)
		}
		everything(t, o)
		walk := regexp.MustCompile(`^SCAN (c|e|f|h|m|once_outbox|once_outbox_parked)\b|INTEGER PRIMARY KEY \(rowid[<>]`)
		// Stats counts, but no further than CountLimit and in indexes alone; of the hot table it
		// reads one row.
		counts := regexp.MustCompile(`^SCAN once_outbox(_parked USING COVERING INDEX .*| USING COVERING INDEX .*|)$`)
		seen := map[string]bool{}
		for _, s := range tap.take() {
			if seen[s.query] || s.query == "COMMIT" {
				continue
			}
			seen[s.query] = true
			for _, line := range o.plan(t, s) {
				if walk.MatchString(line) && (!strings.HasPrefix(s.query, "SELECT\n\t(SELECT COUNT") || !counts.MatchString(line)) {
					t.Errorf("walks through a table: %s\n%s", line, s.query)
				}
			}
		}
	})
}

// plan returns how the engine runs a statement.
func (o *outboxDB) plan(t *testing.T, s statement) []string {
	t.Helper()
	rows, err := o.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+s.query, s.args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.query)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// everything calls every method of the store with messages for each of its branches.
func everything(t *testing.T, o *outboxDB) {
	t.Helper()
	var msgs []outbox.Message
	for i := range 40 {
		msgs = append(msgs, outbox.Message{Topic: "t", Key: strconv.Itoa(i % 4), Payload: []byte("x")})
	}
	o.write(t, append(msgs, outbox.Message{Topic: "t", NotBefore: time.Now().Add(-time.Second)}, outbox.Message{Topic: "t", Lane: 3})...)
	held := o.lease(t, "a", 9)
	o.due(t, held)
	fates := []outbox.Fate{outbox.Again, outbox.Behind, outbox.Dead, outbox.Block}
	for i, row := range o.fetch(t, held) {
		l := held[0]
		for _, h := range held {
			if h.Shard == row.Shard {
				l = h
			}
		}
		if i%8 == 7 {
			if err := o.Ack(t.Context(), []outbox.Ref{{Shard: row.Shard, Seq: row.Seq}}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := o.Park(t.Context(), l, []outbox.Outcome{{Seq: row.Seq, Fate: fates[i%4]}}); err != nil {
			t.Fatal(err)
		}
	}
	fates[1] = outbox.Published
	for i, row := range o.due(t, held) {
		for _, h := range held {
			if h.Shard != row.Shard {
				continue
			}
			if err := o.Settle(t.Context(), h, []outbox.Outcome{{Seq: row.Seq, Fate: fates[i%4]}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	lane := uint8(0)
	f := outbox.Filter{Topic: "t", Key: "1", Lane: &lane, Limit: 1}
	for _, f := range []outbox.Filter{f, {Limit: 2}} {
		for _, err := range o.Dead(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := o.Redrive(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Skip(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := o.Stats(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := o.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := o.Release(t.Context(), "a", held[:2]); err != nil {
		t.Fatal(err)
	}
	if err := o.Release(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
}
