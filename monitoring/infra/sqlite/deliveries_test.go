package sqlite

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/outbox"
)

// courier plays the relay by hand, one message at a time.
type courier struct {
	t  *testing.T
	d  *DB
	id [16]byte
	at int64 // handle of the attempt under way
	n  int
}

// newCourier commits one alert for one sink.
func newCourier(t *testing.T) *courier {
	t.Helper()
	d, r := openNew(t), rule(t, "Down")
	m, err := app.New(d, app.Config{Replica: "a", Rules: []*domain.Rule{r}, Sinks: []app.Sink{{Name: "pager", Lane: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	out := evaluate(t, m, r, snap(at(1), false))
	x := out.Transitions[0]
	return &courier{t: t, d: d, id: app.MessageID(app.Key(r.ID, at(1)), at(1), x.Fingerprint, x.To, "pager")}
}

func (c *courier) check(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *courier) begin() {
	c.t.Helper()
	var err error
	c.n++
	c.at, err = c.d.Begin(c.t.Context(), app.Attempt{MessageID: c.id, Sink: "pager", Number: c.n, Replica: "a", At: at(c.n)})
	c.check(err)
}

func (c *courier) end(r app.AttemptResult) {
	c.t.Helper()
	e := app.AttemptEnd{Result: r, Seconds: 0.25}
	if r != app.AttemptDelivered {
		e.Error, e.Wait = "status 503", time.Second
	}
	c.check(c.d.End(c.t.Context(), c.at, e))
}

// leases takes every shard.
func (c *courier) leases() []outbox.Lease {
	c.t.Helper()
	held, err := c.d.Outbox().Lease(c.t.Context(), outbox.LeaseRequest{Owner: "courier", TTL: time.Minute})
	c.check(err)
	return held
}

// find returns the message's row and its lease, hot or due.
func (c *courier) find() (outbox.Lease, outbox.Row, bool) {
	c.t.Helper()
	held := c.leases()
	from := make([]outbox.Cursor, len(held))
	for i, l := range held {
		from[i].Lease = l
	}
	page, err := c.d.Outbox().Fetch(c.t.Context(), outbox.FetchRequest{From: from, Limit: 10, Bytes: 1 << 20})
	c.check(err)
	due, err := c.d.Outbox().Due(c.t.Context(), held, 10)
	c.check(err)
	for i, r := range slices.Concat(page.Rows, due) {
		if r.ID == c.id {
			j := slices.IndexFunc(held, func(l outbox.Lease) bool { return l.Shard == r.Shard })
			return held[j], r, i < len(page.Rows)
		}
	}
	c.t.Fatal("the message is not there to be published")
	return outbox.Lease{}, outbox.Row{}, false
}

// settle writes what became of the message.
func (c *courier) settle(f outbox.Fate) {
	c.t.Helper()
	lease, row, hot := c.find()
	o := []outbox.Outcome{{Seq: row.Seq, Fate: f, Attempts: c.n}}
	switch {
	case hot && f == outbox.Published:
		c.check(c.d.Outbox().Ack(c.t.Context(), []outbox.Ref{{Shard: row.Shard, Seq: row.Seq}}))
	case hot:
		c.check(c.d.Outbox().Park(c.t.Context(), lease, o))
	default:
		c.check(c.d.Outbox().Settle(c.t.Context(), lease, o))
	}
}

func (c *courier) dead(act func(outbox.Filter) (int64, error)) {
	c.t.Helper()
	n, err := act(outbox.Filter{ID: c.id})
	if n != 1 {
		c.t.Fatalf("%d dead letters, want 1", n)
	}
	c.check(err)
}

func (c *courier) redrive() {
	c.dead(func(f outbox.Filter) (int64, error) { return c.d.Outbox().Redrive(c.t.Context(), f) })
}

func (c *courier) skip() {
	c.dead(func(f outbox.Filter) (int64, error) { return c.d.Outbox().Skip(c.t.Context(), f) })
}

// TestDeliveryState: attempts and the outbox are written at different moments, by a relay
// that may die between any two of them. Whatever is left, the state shown is the right one.
func TestDeliveryState(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps func(*courier)
		want  app.DeliveryState
	}{
		{"written", func(*courier) {}, app.DeliveryWaiting},
		{"first attempt runs, or was cut off", func(c *courier) { c.begin() }, app.DeliveryRetrying},
		{"failed", func(c *courier) { c.begin(); c.end(app.AttemptFailed) }, app.DeliveryRetrying},
		{"failed and parked", func(c *courier) { c.begin(); c.end(app.AttemptFailed); c.settle(outbox.Again) }, app.DeliveryRetrying},
		{"delivered and not acknowledged yet", func(c *courier) { c.begin(); c.end(app.AttemptDelivered) }, app.DeliveryDelivered},
		{"delivered and acknowledged", func(c *courier) { c.begin(); c.end(app.AttemptDelivered); c.settle(outbox.Published) }, app.DeliveryDelivered},
		{"acknowledged, the end was not recorded", func(c *courier) { c.begin(); c.settle(outbox.Published) }, app.DeliveryDelivered},
		{"acknowledged, nothing was recorded", func(c *courier) { c.settle(outbox.Published) }, app.DeliveryDelivered},
		{"delivered from the parked ones", func(c *courier) {
			c.begin()
			c.end(app.AttemptFailed)
			c.settle(outbox.Again)
			c.begin()
			c.end(app.AttemptDelivered)
			c.settle(outbox.Published)
		}, app.DeliveryDelivered},
		{"given up", func(c *courier) { c.begin(); c.settle(outbox.Dead); c.end(app.AttemptDeadLettered) }, app.DeliveryDead},
		{"given up, its key waits", func(c *courier) { c.begin(); c.settle(outbox.Block); c.end(app.AttemptDeadLettered) }, app.DeliveryDead},
		{"given up, the end was not recorded", func(c *courier) { c.begin(); c.end(app.AttemptFailed); c.settle(outbox.Dead) }, app.DeliveryDead},
		{"said to be given up, and the relay died before it was", func(c *courier) { c.begin(); c.end(app.AttemptDeadLettered) }, app.DeliveryRetrying},
		{"redriven", func(c *courier) { c.begin(); c.settle(outbox.Dead); c.end(app.AttemptDeadLettered); c.redrive() }, app.DeliveryRetrying},
		{"redriven and acknowledged, the end was not recorded", func(c *courier) {
			c.begin()
			c.settle(outbox.Dead)
			c.end(app.AttemptDeadLettered)
			c.redrive()
			c.begin()
			c.settle(outbox.Published)
		}, app.DeliveryDelivered},
		{"given up and skipped by an operator", func(c *courier) { c.begin(); c.settle(outbox.Dead); c.end(app.AttemptDeadLettered); c.skip() }, app.DeliveryDead},
		{"delivered, the acknowledgement was lost, and given up later", func(c *courier) {
			c.begin()
			c.end(app.AttemptDelivered)
			c.begin()
			c.settle(outbox.Dead)
			c.end(app.AttemptDeadLettered)
		}, app.DeliveryDelivered},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newCourier(t)
			c.steps(k)
			all, err := k.d.Deliveries(t.Context(), 10)
			if err != nil || len(all) != 1 {
				t.Fatal(all, err)
			}
			got := all[0]
			if got.State != c.want || got.MessageID != app.FormatMessageID(k.id) || got.Sink != "pager" {
				t.Errorf("%+v; want state %s", got, c.want)
			}
			if len(got.Attempts) != k.n {
				t.Errorf("%d attempts, want %d", len(got.Attempts), k.n)
			}
			totals, err := k.d.Totals(t.Context())
			want := app.Totals{Evaluations: 1, Transitions: 1, Messages: 1, Firing: 1, Attempts: k.n}
			switch c.want {
			case app.DeliveryWaiting, app.DeliveryRetrying:
				want.Waiting = 1
			case app.DeliveryDelivered:
				want.Delivered = 1
			case app.DeliveryDead:
				want.Dead = 1
			}
			if err != nil || totals != want {
				t.Errorf("totals\n%+v, %v; want\n%+v", totals, err, want)
			}
			// The finished ones can be swept, and still count; the others stay.
			if err := k.d.sweep(t.Context(), at(0).Add(30*24*time.Hour)); err != nil {
				t.Fatal(err)
			}
			want.Evaluations, want.Transitions = 0, 0
			if totals, err = k.d.Totals(t.Context()); err != nil || totals != want {
				t.Errorf("totals after the sweep\n%+v, %v; want\n%+v", totals, err, want)
			}
		})
	}
}

func TestAttemptsAreShown(t *testing.T) {
	c := newCourier(t)
	c.begin()
	c.end(app.AttemptFailed)
	c.begin()
	c.end(app.AttemptFailed)
	c.end(app.AttemptDeadLettered) // the relay learnt more
	c.begin()
	all, err := c.d.Deliveries(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := []app.AttemptView{
		{Number: 1, Replica: "a", At: at(1), Result: app.AttemptFailed, Error: "status 503", Wait: time.Second, Seconds: 0.25},
		{Number: 2, Replica: "a", At: at(2), Result: app.AttemptDeadLettered, Error: "status 503", Wait: time.Second, Seconds: 0.25},
		{Number: 3, Replica: "a", At: at(3), Result: app.AttemptRunning},
	}
	if !slices.Equal(all[0].Attempts, want) {
		t.Errorf("%+v\nwant\n%+v", all[0].Attempts, want)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	c := newCourier(t)
	execute(t, c.d, `INSERT INTO attempt (message_id, sink, number, replica, at, result)
WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < ?) SELECT ?, 'pager', n, 'a', 0, 'failed' FROM i`, attemptsKept+50, c.id[:])
	c.n = 5000
	c.begin()
	if n := count(t, c.d, `SELECT COUNT(*) FROM attempt`); n != attemptsKept {
		t.Errorf("%d attempts are kept, want %d", n, attemptsKept)
	}
	all, err := c.d.Deliveries(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if a := all[0].Attempts; len(a) != attemptsShown || a[len(a)-1].Number != 5001 {
		t.Errorf("%d attempts are shown, the last is %+v; want the latest %d", len(a), a[len(a)-1], attemptsShown)
	}
}

func TestAttemptErrors(t *testing.T) {
	d := openNew(t)
	if err := d.End(t.Context(), 7, app.AttemptEnd{Result: app.AttemptDelivered}); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("an attempt that was never begun: %v", err)
	}
	c := newCourier(t)
	c.begin()
	for _, r := range []app.AttemptResult{"", app.AttemptRunning, "won"} {
		if err := c.d.End(t.Context(), c.at, app.AttemptEnd{Result: r}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("Result is %q", r)) {
			t.Errorf("%q: %v", r, err)
		}
	}
	long := strings.Repeat("ü", maxErrorText)
	if err := c.d.End(t.Context(), c.at, app.AttemptEnd{Result: app.AttemptFailed, Error: "x" + long}); err != nil {
		t.Fatal(err)
	}
	all, err := c.d.Deliveries(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if e := all[0].Attempts[0].Error; len(e) > maxErrorText+20 || !strings.HasSuffix(e, "\uFFFD [cut off]") {
		t.Errorf("%d bytes, ending in %q", len(e), e[len(e)-20:])
	}
}
