package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
)

// TestOutboxAnswersMayGetLost fails each statement and each commit in turn after it was
// applied, as when an answer gets lost, and repeats the call: the result must be that of one
// call without a failure.
func TestOutboxAnswersMayGetLost(t *testing.T) {
	lost := errors.New("the answer got lost")
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		setup := func() (*outboxDB, *tap, outbox.Lease) {
			o, l := oneShard(t, d, 6)
			o.park(t, l, outbox.Outcome{Seq: 1, Fate: outbox.Again}, outbox.Outcome{Seq: 2, Fate: outbox.Behind}, outbox.Outcome{Seq: 3, Fate: outbox.Behind})
			o.write(t, outbox.Message{Topic: "t", Key: "dead"}, outbox.Message{Topic: "t", Key: "dead"})
			o.park(t, l, outbox.Outcome{Seq: 7, Fate: outbox.Block}, outbox.Outcome{Seq: 8, Fate: outbox.Behind})
			db, tap := d.tapped(t, o.path)
			var err error
			if o.Store, err = outboxsql.New(db, outboxsql.SQLite, outboxsql.Config{Shards: 1}); err != nil {
				t.Fatal(err)
			}
			return o, tap, l
		}
		for name, call := range map[string]func(context.Context, *outboxDB, outbox.Lease) error{
			"lease": func(ctx context.Context, o *outboxDB, _ outbox.Lease) error {
				_, err := o.Lease(ctx, outbox.LeaseRequest{Owner: "a", TTL: time.Minute})
				return err
			},
			"release": func(ctx context.Context, o *outboxDB, l outbox.Lease) error {
				return o.Release(ctx, "a", []outbox.Lease{l})
			},
			"leave": func(ctx context.Context, o *outboxDB, _ outbox.Lease) error { return o.Release(ctx, "a", nil) },
			"ack": func(ctx context.Context, o *outboxDB, _ outbox.Lease) error {
				return o.Ack(ctx, []outbox.Ref{{Shard: 0, Seq: 4}})
			},
			"park": func(ctx context.Context, o *outboxDB, l outbox.Lease) error {
				return o.Park(ctx, l, []outbox.Outcome{{Seq: 4, Fate: outbox.Behind}, {Seq: 5, Fate: outbox.Dead}})
			},
			"settle": func(ctx context.Context, o *outboxDB, l outbox.Lease) error {
				return o.Settle(ctx, l, []outbox.Outcome{{Seq: 1, Fate: outbox.Published}, {Seq: 2, Fate: outbox.Dead, Attempts: 3, Err: "e"}})
			},
			"redrive": func(ctx context.Context, o *outboxDB, _ outbox.Lease) error {
				_, err := o.Redrive(ctx, outbox.Filter{})
				return err
			},
			"skip": func(ctx context.Context, o *outboxDB, _ outbox.Lease) error {
				_, err := o.Skip(ctx, outbox.Filter{})
				return err
			},
			"migrate": func(ctx context.Context, o *outboxDB, _ outbox.Lease) error { return o.Migrate(ctx) },
		} {
			t.Run(name, func(t *testing.T) {
				o, _, l := setup()
				if err := call(t.Context(), o, l); err != nil {
					t.Fatal(err)
				}
				want := o.dump(t)
				for n := 1; ; n++ {
					o, tap, l := setup()
					seen := 0
					tap.failAfter(func(string) error {
						if seen++; seen == n {
							return lost
						}
						return nil
					})
					err := call(t.Context(), o, l)
					if seen < n {
						if n < 2 {
							t.Error("nothing was sent")
						}
						return
					}
					if !errors.Is(err, lost) {
						t.Fatalf("statement %d of %d failed: %v", n, seen, err)
					}
					if err := call(t.Context(), o, l); err != nil {
						t.Fatalf("repeated after statement %d: %v", n, err)
					}
					if got := o.dump(t); got != want {
						t.Fatalf("after statement %d got lost:\n%s\nwant:\n%s", n, got, want)
					}
				}
			})
		}
	})
}

// dump describes everything but times.
func (o *outboxDB) dump(tb testing.TB) string {
	tb.Helper()
	var b strings.Builder
	for _, q := range []string{
		`SELECT 'hot', seq, msg_key, '', 0, 0 FROM once_outbox ORDER BY seq`,
		`SELECT 'cold', seq, msg_key, COALESCE(last_error, ''), state, attempts FROM once_outbox_parked ORDER BY seq`,
		`SELECT 'shard', shard, COALESCE(owner, ''), '', epoch, lane FROM once_outbox_shard ORDER BY shard`,
		`SELECT 'relay', lane, owner, '', 0, 0 FROM once_outbox_relay ORDER BY lane, owner`,
		`SELECT 'meta', value, name, '', 0, 0 FROM once_outbox_meta ORDER BY name`,
		`SELECT 'sequence', seq, name, '', 0, 0 FROM sqlite_sequence ORDER BY name`,
	} {
		o.dumpTable(tb, &b, q)
	}
	return b.String()
}

func (o *outboxDB) dumpTable(tb testing.TB, b *strings.Builder, query string) {
	tb.Helper()
	rows, err := o.db.QueryContext(tb.Context(), query)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var table, text, more string
		var a, c, e int64
		if err := rows.Scan(&table, &a, &text, &more, &c, &e); err != nil {
			tb.Fatal(err)
		}
		fmt.Fprintln(b, table, a, text, more, c, e)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
}
