package outboxtest

import (
	"slices"
	"time"

	"example.com/once/outbox"
)

func parkCases() []kitCase[*C] {
	return []kitCase[*C]{
		{"P1 again", "A failed message leaves the hot table; it is due after its wait, not before, at the next attempt.", p1},
		{"P2 fence", "Park with a lease that is lost or released changes nothing and returns ErrLeaseLost.", p2},
		{"P3 repeat", "Repeating a Park changes nothing; a message that is no longer hot is passed over.", p3},
		{"P4 late", "Park with a late lease that nobody took is accepted.", p4},
		{"P5 dead", "A dead letter is never due and holds nobody up.", p5},
		{"P6 block", "A blocking dead letter is never due, and its key waits.", p6},
		{"P7 several", "All items of a Park take effect, whatever their fates.", p7},
		{"P8 behind nobody", "A message parked behind one that has left meanwhile is due at once.", p8},
	}
}

func p1(c *C) {
	r := c.relay("a")
	c.put("x", "soon")
	c.put("y", "later")
	c.put("z", "at once")
	rows := r.hot()
	r.park(failed(4, 0), r.row(rows, "at once"))
	r.park(failed(2, long), r.row(rows, "later"))
	r.park(failed(1, c.opt.wait), r.row(rows, "soon"))
	c.want("hot", r.hot())
	c.past(c.opt.wait)
	due := r.due()
	c.want("due", due, "soon", "at once")
	for name, attempt := range map[string]int{"soon": 2, "at once": 5} {
		if got := r.row(due, name); got.Attempt != attempt || got.ID != r.row(rows, name).ID || got.Seq != r.row(rows, name).Seq {
			c.Errorf("%s: attempt %d of %v, Seq %d; want attempt %d of %v, Seq %d",
				name, got.Attempt, got.ID, got.Seq, attempt, r.row(rows, name).ID, r.row(rows, name).Seq)
		}
	}
}

func p2(c *C) {
	c.put("k", "m0", "m1", "m2")
	a := &relay{C: c, name: "a"}
	a.lease(c.opt.wait)
	rows := a.hot()
	c.past(c.opt.wait)
	b := c.relay("b")
	for _, o := range []outbox.Outcome{failed(1, 0), dead(1), block(1), {Fate: outbox.Behind}} {
		c.lost("a lease that was taken over", a.tryPark(o, rows[0]))
	}
	c.ordered("hot after that", b.hot(), "m0", "m1", "m2")
	stale := b.held
	b.release(b.leases())
	c.lost("a lease that was released", b.tryPark(dead(1), rows[0]))
	b.again()
	fresh := b.held
	b.held = stale
	c.lost("a lease that was released and taken again", b.tryPark(dead(1), rows[0]))
	b.held = fresh
	c.ordered("hot in the end", b.hot(), "m0", "m1", "m2")
	c.want("due in the end", b.due())
}

func p3(c *C) {
	r := c.relay("a")
	c.put("k", "m0", "m1")
	rows := r.hot()
	r.park(failed(3, 0), rows[0])
	r.park(outbox.Outcome{Fate: outbox.Behind}, rows[1])
	r.park(outbox.Outcome{Fate: outbox.Behind}, rows[1])
	r.park(dead(9), rows[0]) // as by a writer that missed what happened since
	due := r.due()
	c.ordered("due", due, "m0", "m1")
	if due[0].Attempt != 4 {
		c.Errorf("attempt %d after a repeated Park, want 4", due[0].Attempt)
	}
	r.settle(published(), due...)
	r.park(failed(3, 0), rows...)
	c.want("due after all have left", r.due())
	c.want("hot after all have left", r.hot())
}

func p4(c *C) {
	c.put("k", "m0")
	a := &relay{C: c, name: "a"}
	a.lease(c.opt.wait)
	c.past(c.opt.wait)
	a.park(failed(1, 0), a.hot()...)
	c.want("due", a.due(), "m0")
}

func p5(c *C) {
	r := c.relay("a")
	c.put("k", "m0", "m1", "m2")
	r.parkHot(dead(3), "m0")
	rows := r.hot()
	c.ordered("hot", rows, "m1", "m2")
	if rows[0].Behind || rows[1].Behind {
		c.Errorf("a dead letter holds its key up")
	}
	r.park(failed(1, 0), rows[0])
	r.park(outbox.Outcome{Fate: outbox.Behind}, rows[1])
	c.ordered("due", r.due(), "m1", "m2")
}

func p6(c *C) {
	r := c.relay("a")
	c.put("k", "m0", "m1", "m2")
	c.put("other", "o0")
	r.parkHot(block(3), "m0")
	c.want("hot", r.hot(), "o0")
	c.want("due", r.due())
	c.put("k", "m3")
	row := r.row(r.hot(), "m3")
	if !row.Behind {
		c.Errorf("a blocked key goes on")
	}
	r.park(outbox.Outcome{Fate: outbox.Behind}, row)
	c.want("due later", r.due())
}

func p7(c *C) {
	r := c.relay("a")
	c.put("k", "m0", "m1", "m2", "m3")
	rows := r.hot()
	items := []outbox.Outcome{dead(1), failed(1, 0), {Fate: outbox.Behind}, {Fate: outbox.Behind}}
	for i := range items {
		items[i].Seq = rows[i].Seq
	}
	if err := r.Store.Park(c.ctx, r.held[rows[0].Shard], items); err != nil {
		c.Fatalf("park: %v", err)
	}
	c.want("hot", r.hot())
	c.ordered("due", r.due(), "m1", "m2", "m3")
}

func p8(c *C) {
	r := c.relay("a")
	c.put("k", "m0")
	r.parkHot(failed(1, 0), "m0")
	c.put("k", "m1")
	row := r.row(r.hot(), "m1")
	r.settle(published(), r.due()...)
	r.park(outbox.Outcome{Fate: outbox.Behind}, row)
	c.want("due", r.due(), "m1")
}

func dueCases() []kitCase[*C] {
	return []kitCase[*C]{
		{"D1 followers", "Followers come behind their head, in order, in the same answer.", d1},
		{"D2 nobody overtakes", "A message is never due while an earlier one of its key is parked and not due.", d2},
		{"D3 limit", "Due keeps its limit, and no follower comes without its head.", d3},
		{"D4 delayed messages", "A message with NotBefore is due then, at attempt 1, and is outside the order of its key.", d4},
		{"D5 keys and shards", "Keys do not hold each other up; only what is asked for is read.", d5},
		{"D6 restored order", "A key's order is that of Seq, whatever was parked first.", d6},
	}
}

func d1(c *C) {
	r := c.relay("a")
	c.put("k", sequence("m", 10)...)
	r.parkHot(failed(1, 0), "m00")
	c.ordered("due", r.due(), sequence("m", 10)...)
	c.ordered("due again, since nothing was settled", r.due(), sequence("m", 10)...)
}

func d2(c *C) {
	r := c.relay("a")
	c.put("k", "m0", "m1", "m2")
	rows := r.hot()
	// Each could be due by itself but for the one before.
	r.park(failed(1, long), rows[0])
	r.park(failed(1, 0), rows[1])
	r.park(outbox.Outcome{Fate: outbox.Behind}, rows[2])
	c.want("behind one that is not due", r.due())

	c.put("j", "j0", "j1", "j2")
	rows = r.hot()
	r.park(failed(1, 0), rows[0])
	r.park(failed(1, long), rows[1])
	r.park(outbox.Outcome{Fate: outbox.Behind}, rows[2])
	c.ordered("up to one that is not due", r.due(), "j0")

	c.put("i", "i0", "i1", "i2")
	rows = r.hot()
	r.park(failed(1, 0), rows[0])
	r.park(block(1), rows[1])
	r.park(outbox.Outcome{Fate: outbox.Behind}, rows[2])
	c.ordered("up to one that blocks", of(r.due(), "i"), "i0")
}

func d3(c *C) {
	r := c.relay("a")
	for _, key := range []string{"x", "y", "z"} {
		c.put(key, sequence(key, 10)...)
		r.parkHot(failed(1, 0), key+"00")
	}
	for _, limit := range []int{1, 2, 7, 29, 30, 31} {
		rows := r.dueAtMost(limit)
		if len(rows) > limit || len(rows) == 0 || limit >= 30 && len(rows) != 30 {
			c.Errorf("%d messages, the limit is %d of 30", len(rows), limit)
		}
		for _, key := range []string{"x", "y", "z"} {
			mine := of(rows, key)
			c.ordered("of key "+key, mine, sequence(key, 10)[:len(mine)]...)
		}
	}
}

func d4(c *C) {
	r := c.relay("a")
	delayed := func(name string, d time.Duration) outbox.Message {
		return outbox.Message{Topic: "t", Key: "k", Payload: []byte(name), NotBefore: time.Now().Add(d)}
	}
	c.send(delayed("later", long), delayed("soon", c.opt.wait))
	c.put("k", "m0")
	c.send(delayed("past", -long))
	c.past(c.opt.wait)
	hot, due := r.hot(), r.due()
	c.want("there by now", append(slices.Clone(hot), due...), "m0", "past", "soon")
	if r.row(hot, "m0").Behind {
		c.Errorf("a delayed message holds its key up")
	}
	soon := r.row(due, "soon")
	if soon.Attempt != 1 || soon.NotBefore.IsZero() {
		c.Errorf("the delayed message has attempt %d and NotBefore %v", soon.Attempt, soon.NotBefore)
	}
	r.park(failed(1, long), r.row(hot, "m0"))
	c.want("due beside a key that waits", of(r.due(), "k"), names(of(due, "k"))...)
	r.settle(failed(1, long), soon)
	c.want("due while the delayed one waits again", of(r.due(), "k"), names(without(of(due, "k"), "soon"))...)
}

func without(rows []outbox.Row, name string) (rest []outbox.Row) {
	for _, row := range rows {
		if string(row.Payload) != name {
			rest = append(rest, row)
		}
	}
	return rest
}

func d5(c *C) {
	r := c.relay("a")
	keys := sequence("k", 30)
	for i, key := range keys {
		c.put(key, key)
		wait := time.Duration(0)
		if i%2 == 1 {
			wait = long
		}
		r.parkHot(failed(1, wait), key)
	}
	var want []string
	for i := 0; i < len(keys); i += 2 {
		want = append(want, keys[i])
	}
	all := r.due()
	c.want("due", all, want...)
	for _, l := range r.leases() {
		rows, err := r.Store.Due(c.ctx, []outbox.Lease{l}, 1000)
		if err != nil {
			c.Fatalf("due: %v", err)
		}
		c.want("due in one shard", rows, names(ofShard(all, l.Shard))...)
	}
}

func d6(c *C) {
	r := c.relay("a")
	c.put("k", "m0", "m1", "m2", "m3")
	rows := r.hot()
	for _, i := range []int{3, 1, 0, 2} {
		r.park(failed(1, 0), rows[i])
	}
	c.ordered("due", r.due(), "m0", "m1", "m2", "m3")
}
