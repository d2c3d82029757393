package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/once/outbox"
)

// long is a time that no case waits for.
const long = time.Hour

// C is a case of [RunStore] at work.
type C struct {
	*recorder
	Backend

	ctx context.Context //nolint:containedctx // a case is one call
	opt options
}

// begin starts a transaction.
func (c *C) begin() Tx {
	tx, err := c.Begin(c.ctx)
	if err != nil {
		c.Fatalf("begin: %v", err)
	}
	return tx
}

func (c *C) write(tx Tx, messages ...outbox.Message) {
	if err := tx.Write(c.ctx, messages...); err != nil {
		_ = tx.Rollback()
		c.Fatalf("write: %v", err)
	}
}

func (c *C) commit(tx Tx) {
	if err := tx.Commit(); err != nil {
		c.Fatalf("commit: %v", err)
	}
}

// send commits messages.
func (c *C) send(messages ...outbox.Message) {
	tx := c.begin()
	c.write(tx, messages...)
	c.commit(tx)
}

// keyed is one message a name, all of one key.
func keyed(key string, names ...string) []outbox.Message {
	list := make([]outbox.Message, len(names))
	for i, name := range names {
		list[i] = outbox.Message{Topic: "test", Key: key, Payload: []byte(name)}
	}
	return list
}

// put commits one message a name, all of one key.
func (c *C) put(key string, names ...string) { c.send(keyed(key, names...)...) }

// relay is a holder of leases.
type relay struct {
	*C

	name string
	held map[int]outbox.Lease
}

// relay returns a relay that has asked for leases once, with a lease that no case sees end.
func (c *C) relay(name string) *relay {
	r := &relay{C: c, name: name}
	r.again()
	return r
}

// again asks for leases.
func (r *relay) again(skip ...uint8) { r.lease(long, skip...) }

// lease asks for leases of a length.
func (r *relay) lease(ttl time.Duration, skip ...uint8) {
	leases, err := r.Store.Lease(r.ctx, outbox.LeaseRequest{Owner: r.name, TTL: ttl, Skip: skip})
	if err != nil {
		r.Fatalf("lease of %s: %v", r.name, err)
	}
	r.held = map[int]outbox.Lease{}
	for _, l := range leases {
		if _, twice := r.held[l.Shard]; twice {
			r.Fatalf("lease of %s: shard %d comes twice", r.name, l.Shard)
		}
		if l.Left <= 0 || l.Left > ttl {
			r.Fatalf("lease of %s: %v is left of %v", r.name, l.Left, ttl)
		}
		r.held[l.Shard] = l
	}
}

// leases are what r holds, by shard.
func (r *relay) leases() []outbox.Lease {
	list := make([]outbox.Lease, 0, len(r.held))
	for _, l := range r.held {
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b outbox.Lease) int { return a.Shard - b.Shard })
	return list
}

// release gives leases back; nil leaves.
func (r *relay) release(leases []outbox.Lease) {
	if err := r.Store.Release(r.ctx, r.name, leases); err != nil {
		r.Fatalf("release by %s: %v", r.name, err)
	}
}

// fetch reads a page.
func (r *relay) fetch(q outbox.FetchRequest) outbox.Page {
	page, err := r.Store.Fetch(r.ctx, q)
	if err != nil {
		r.Fatalf("fetch: %v", err)
	}
	return page
}

// from are cursors at the beginning of every shard that r holds.
func (r *relay) from() []outbox.Cursor {
	var from []outbox.Cursor
	for _, l := range r.leases() {
		from = append(from, outbox.Cursor{Lease: l})
	}
	return from
}

// hot reads everything hot of the shards that r holds.
func (r *relay) hot() []outbox.Row {
	return r.fetch(outbox.FetchRequest{From: r.from(), Limit: 10_000, Bytes: math.MaxInt32}).Rows
}

// due reads everything due of the shards that r holds.
func (r *relay) due() []outbox.Row { return r.dueAtMost(10_000) }

func (r *relay) dueAtMost(limit int) []outbox.Row {
	rows, err := r.Store.Due(r.ctx, r.leases(), limit)
	if err != nil {
		r.Fatalf("due: %v", err)
	}
	return rows
}

// row finds a message by its name.
func (r *relay) row(rows []outbox.Row, name string) outbox.Row {
	for _, row := range rows {
		if string(row.Payload) == name {
			return row
		}
	}
	r.Fatalf("message %q is missing in %q", name, names(rows))
	return outbox.Row{}
}

// park records what became of hot messages, one shard at a time.
func (r *relay) park(o outbox.Outcome, rows ...outbox.Row) {
	for _, row := range rows {
		if err := r.tryPark(o, row); err != nil {
			r.Fatalf("park %q: %v", row.Payload, err)
		}
	}
}

func (r *relay) tryPark(o outbox.Outcome, row outbox.Row) error {
	o.Seq = row.Seq
	return r.Store.Park(r.ctx, r.held[row.Shard], []outbox.Outcome{o})
}

// parkHot parks a hot message, with the rest of its key behind it.
func (r *relay) parkHot(o outbox.Outcome, name string) {
	rows := r.hot()
	head := r.row(rows, name)
	r.park(o, head)
	if o.Fate == outbox.Dead || head.Key == "" {
		return
	}
	for _, row := range rows {
		if row.Key == head.Key && row.Shard == head.Shard && row.Seq > head.Seq {
			r.park(outbox.Outcome{Fate: outbox.Behind}, row)
		}
	}
}

// settle records what became of parked messages.
func (r *relay) settle(o outbox.Outcome, rows ...outbox.Row) {
	for _, row := range rows {
		if err := r.trySettle(o, row); err != nil {
			r.Fatalf("settle %q: %v", row.Payload, err)
		}
	}
}

func (r *relay) trySettle(o outbox.Outcome, row outbox.Row) error {
	o.Seq = row.Seq
	return r.Store.Settle(r.ctx, r.held[row.Shard], []outbox.Outcome{o})
}

func (r *relay) ack(rows ...outbox.Row) {
	refs := make([]outbox.Ref, len(rows))
	for i, row := range rows {
		refs[i] = outbox.Ref{Shard: row.Shard, Seq: row.Seq}
	}
	if err := r.Store.Ack(r.ctx, refs); err != nil {
		r.Fatalf("ack: %v", err)
	}
}

// failed is the outcome of a failed attempt.
func failed(attempts int, wait time.Duration) outbox.Outcome {
	return outbox.Outcome{Fate: outbox.Again, Attempts: attempts, Wait: wait, Err: "it failed"}
}

func dead(attempts int) outbox.Outcome {
	return outbox.Outcome{Fate: outbox.Dead, Attempts: attempts, Err: "it failed"}
}

func block(attempts int) outbox.Outcome {
	return outbox.Outcome{Fate: outbox.Block, Attempts: attempts, Err: "it failed"}
}

func published() outbox.Outcome { return outbox.Outcome{Fate: outbox.Published, Attempts: 1} }

// inspector returns the store's, or skips the case.
func (c *C) inspector() outbox.Inspector {
	i, ok := c.Store.(outbox.Inspector)
	if !ok {
		c.Skipf("the store is no Inspector")
	}
	return i
}

// letters are the dead letters that match f.
func (c *C) letters(f outbox.Filter) []outbox.DeadLetter {
	var list []outbox.DeadLetter
	for l, err := range c.inspector().Dead(c.ctx, f) {
		if err != nil {
			c.Fatalf("dead letters: %v", err)
		}
		list = append(list, l)
	}
	return list
}

// resolve redrives or skips dead letters and expects how many.
func (c *C) resolve(what string, do func(context.Context, outbox.Filter) (int64, error), f outbox.Filter, want int64) {
	n, err := do(c.ctx, f)
	if err != nil {
		c.Fatalf("%s: %v", what, err)
	}
	if n != want {
		c.Fatalf("%s: %d dead letters, want %d", what, n, want)
	}
}

// lost expects that a write was refused because the lease is not the writer's.
func (c *C) lost(what string, err error) {
	if !errors.Is(err, outbox.ErrLeaseLost) {
		c.Fatalf("%s: %v, want ErrLeaseLost", what, err)
	}
}

// names are the payloads of rows.
func names(rows []outbox.Row) []string {
	list := make([]string, len(rows))
	for i, row := range rows {
		list[i] = string(row.Payload)
	}
	return list
}

// want expects rows by name, in any order.
func (c *C) want(what string, rows []outbox.Row, want ...string) {
	got := names(rows)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		c.Fatalf("%s: %q, want %q", what, got, want)
	}
}

// ordered expects rows by name in this order.
func (c *C) ordered(what string, rows []outbox.Row, want ...string) {
	if got := names(rows); !slices.Equal(got, want) {
		c.Fatalf("%s: %q, want %q in this order", what, got, want)
	}
}

// of filters rows by key.
func of(rows []outbox.Row, key string) []outbox.Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r outbox.Row) bool { return r.Key != key })
}

// past waits until a time of length d, asked for before the call, is surely over.
func (c *C) past(d time.Duration) {
	c.sleep(d + d/10 + c.opt.margin)
}

func (c *C) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx.Done():
		c.Fatalf("time is up")
	}
}

// race runs do n times at once and returns when all are done. do must not call Fatalf.
func race(n int, do func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	wg.Wait()
}

// sequence is prefix0, prefix1 and so on.
func sequence(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%02d", prefix, i)
	}
	return list
}

// show is a list in an error message.
func show(list []string) string {
	const most = 20
	if len(list) <= most {
		return fmt.Sprintf("%q", list)
	}
	return fmt.Sprintf("%d: %s ...", len(list), strings.Join(list[:most], " "))
}
