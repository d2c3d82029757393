package outboxtest

import (
	"maps"
	"slices"
	"sync"

	"example.com/once/outbox"
)

func leaseCases() []kitCase[*C] {
	return []kitCase[*C]{
		{"L1 everything", "A relay alone gets every shard, none of them surplus, and the same with the same epochs whenever it asks again.", l1},
		{"L2 running leases", "A shard is never taken from an owner whose lease runs.", l2},
		{"L3 take-over", "A shard whose lease is over goes to another relay, with a higher epoch.", l3},
		{"L4 late renewal", "A renewal keeps the epoch, also a late one if nobody came between.", l4},
		{"L5 release", "A released shard is free at once; whoever takes it, also the same owner, gets a higher epoch.", l5},
		{"L6 stale release", "A lease that is no longer the current one of its shard, or not the owner's, is passed over.", l6},
		{"L7 leave", "Release of nil gives everything back and counts the owner no more.", l7},
		{"L8 lanes", "What the owner holds of skipped lanes is released, and it is not counted there.", l8},
		{"L9 race", "Relays that ask at the same time never get one shard both, nor one epoch of a shard.", l9},
		{"L10 epochs", "The epoch of a shard grows with every change of owner.", l10},
	}
}

func l1(c *C) {
	r := c.relay("a")
	first := r.held
	if len(first) == 0 {
		c.Fatalf("no shards")
	}
	for range 3 {
		r.again()
		if len(r.held) != len(first) {
			c.Fatalf("%d shards, then %d", len(first), len(r.held))
		}
		for n, l := range r.held {
			if l.Surplus || l.Epoch <= 0 || l.Epoch != first[n].Epoch {
				c.Errorf("shard %d: %+v, was %+v", n, l, first[n])
			}
		}
	}
}

func l2(c *C) {
	a := c.relay("a")
	b := c.relay("b")
	for range 3 {
		b.again()
	}
	if len(b.held) != 0 {
		c.Errorf("%d shards of running leases were taken", len(b.held))
	}
	before := a.held
	a.again()
	if len(a.held) != len(before) {
		c.Errorf("the owner of %d shards holds %d, though it gave none back", len(before), len(a.held))
	}
}

func l3(c *C) {
	a := &relay{C: c, name: "a"}
	a.lease(c.opt.wait)
	c.past(c.opt.wait)
	b := c.relay("b")
	if len(b.held) != len(a.held) {
		c.Fatalf("%d of %d shards were taken over from a relay that is gone", len(b.held), len(a.held))
	}
	for n, l := range b.held {
		if l.Epoch <= a.held[n].Epoch {
			c.Errorf("shard %d: epoch %d after %d", n, l.Epoch, a.held[n].Epoch)
		}
		if l.Surplus {
			c.Errorf("shard %d is surplus, though the other relay is gone", n)
		}
	}
}

func l4(c *C) {
	a := &relay{C: c, name: "a"}
	a.lease(c.opt.wait)
	before := a.held
	c.past(c.opt.wait)
	a.again()
	for n, l := range before {
		if a.held[n].Epoch != l.Epoch {
			c.Errorf("shard %d: epoch %d became %d", n, l.Epoch, a.held[n].Epoch)
		}
	}
}

func l5(c *C) {
	a := c.relay("a")
	before := maps.Clone(a.held)
	one := a.leases()[:1]
	n := one[0].Shard
	a.release(one)
	a.release(one) // the answer may have got lost
	a.again()
	if got := a.held[n].Epoch; got <= before[n].Epoch {
		c.Errorf("taken again by its owner: epoch %d after %d", got, before[n].Epoch)
	}
	a.release(a.leases())
	b := c.relay("b")
	if len(b.held) == 0 {
		c.Errorf("released shards are not free at once")
	}
	for n, l := range b.held {
		if l.Epoch <= a.held[n].Epoch {
			c.Errorf("taken by another: epoch %d after %d", l.Epoch, a.held[n].Epoch)
		}
	}
}

func l6(c *C) {
	a := &relay{C: c, name: "a"}
	a.lease(c.opt.wait)
	stale := a.leases()
	c.past(c.opt.wait)
	b := c.relay("b")
	a.release(stale)
	a.release(b.leases()) // current, but another's
	before := b.held
	b.again()
	if len(b.held) != len(before) {
		c.Fatalf("%d of %d shards are left after releases by another", len(b.held), len(before))
	}
	for n, l := range b.held {
		if l.Epoch != before[n].Epoch {
			c.Errorf("shard %d: epoch %d became %d", n, before[n].Epoch, l.Epoch)
		}
	}
}

func l7(c *C) {
	a, b := c.relay("a"), c.relay("b")
	a.again()
	a.giveBack()
	b.again()
	total := len(a.held) + len(b.held)
	b.release(nil)
	b.release(nil)
	a.again()
	if len(a.held) != total {
		c.Errorf("%d of %d shards are held by the only relay left", len(a.held), total)
	}
	for n, l := range a.held {
		if l.Surplus {
			c.Errorf("shard %d is owed to a relay that left", n)
		}
	}
}

func l8(c *C) {
	c.send(outbox.Message{Topic: "t", Lane: 1, Payload: []byte("x")})
	a := c.relay("a")
	a.again(1)
	for _, l := range a.held {
		if l.Lane == 1 {
			c.Fatalf("a shard of a skipped lane is leased")
		}
	}
	zero := len(a.held)
	b := c.relay("b")
	one := 0
	for _, l := range b.held {
		if l.Lane == 1 {
			one++
		}
	}
	if one != zero {
		c.Errorf("the only relay that serves lane 1 holds %d of %d shards", one, zero)
	}
	a.again(0, 1)
	if len(a.held) != 0 {
		c.Errorf("%d shards of skipped lanes are leased", len(a.held))
	}
}

func l9(c *C) {
	const relays, rounds = 6, 5
	type holding struct {
		shard int
		epoch int64
	}
	var mu sync.Mutex
	owners := map[holding]string{}
	all := make([]*relay, relays)
	for i := range all {
		all[i] = &relay{C: c, name: string(rune('a' + i))}
	}
	for range rounds {
		race(relays, func(i int) {
			r := all[i]
			leases, err := c.Store.Lease(c.ctx, outbox.LeaseRequest{Owner: r.name, TTL: long})
			if err != nil {
				c.Errorf("lease: %v", err)
				return
			}
			var surplus []outbox.Lease
			mu.Lock()
			for _, l := range leases {
				h := holding{l.Shard, l.Epoch}
				if owner, taken := owners[h]; taken && owner != r.name {
					c.Errorf("shard %d with epoch %d is %s's and %s's", l.Shard, l.Epoch, owner, r.name)
				}
				owners[h] = r.name
				if l.Surplus {
					surplus = append(surplus, l)
				}
			}
			mu.Unlock()
			if len(surplus) > 0 {
				if err := c.Store.Release(c.ctx, r.name, surplus); err != nil {
					c.Errorf("release: %v", err)
				}
			}
		})
	}
	holders := map[int]string{}
	for _, r := range all {
		r.again()
		for n := range r.held {
			if other, taken := holders[n]; taken {
				c.Errorf("shard %d is held by %s and %s", n, other, r.name)
			}
			holders[n] = r.name
		}
	}
}

func l10(c *C) {
	last := map[int]int64{}
	for i := range 10 {
		r := c.relay(string(rune('a' + i%3)))
		for n, l := range r.held {
			if l.Epoch <= last[n] {
				c.Errorf("shard %d: epoch %d after %d", n, l.Epoch, last[n])
			}
			last[n] = l.Epoch
		}
		r.release(nil)
	}
}

// giveBack releases what others are owed, as a relay does.
func (r *relay) giveBack() {
	var surplus []outbox.Lease
	for n, l := range r.held {
		if l.Surplus {
			surplus = append(surplus, l)
			delete(r.held, n)
		}
	}
	if len(surplus) > 0 {
		r.release(surplus)
	}
}

func balanceCases() []kitCase[*C] {
	return []kitCase[*C]{
		{"L11 fair shares", "Relays that come one after the other end with shares that differ by one at most, and then owe nothing.", l11},
		{"L12 fair shares after a loss", "The shares of relays that are gone are divided among the others.", l12},
	}
}

// settled lets relays ask and give back in turn until they have had the time to settle.
func (c *C) settled(what string, relays []*relay) {
	for range 2*len(relays) + 4 {
		for _, r := range relays {
			r.again()
			r.giveBack()
		}
	}
	shares := make([]int, 0, len(relays))
	holders := map[int]string{}
	for _, r := range relays {
		r.again()
		share := 0
		for n, l := range r.held {
			if l.Lane != 0 {
				continue
			}
			share++
			if l.Surplus {
				c.Errorf("%s: %s still owes shard %d", what, r.name, n)
			}
			if other, taken := holders[n]; taken {
				c.Errorf("%s: shard %d is held by %s and %s", what, n, other, r.name)
			}
			holders[n] = r.name
		}
		shares = append(shares, share)
	}
	if slices.Max(shares)-slices.Min(shares) > 1 {
		c.Errorf("%s: shares of %v", what, shares)
	}
}

func l11(c *C) {
	var relays []*relay
	shards := 0
	for i := range 5 {
		relays = append(relays, c.relay(string(rune('a'+i))))
		c.settled(string(rune('1'+i))+" relays", relays)
		held := 0
		for _, r := range relays {
			held += len(r.held)
		}
		if shards = max(shards, held); held != shards {
			c.Errorf("%d relays hold %d of %d shards", len(relays), held, shards)
		}
	}
}

func l12(c *C) {
	relays := []*relay{c.relay("a"), c.relay("b"), c.relay("c")}
	c.settled("three relays", relays)
	shards := 0
	for _, r := range relays {
		shards += len(r.held)
	}
	gone := relays[0]
	gone.lease(c.opt.wait) // its last one
	c.past(c.opt.wait)
	c.settled("two of three", relays[1:])
	if held := len(relays[1].held) + len(relays[2].held); held != shards {
		c.Errorf("the two that are left hold %d of %d shards", held, shards)
	}
}
