package idemtest

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/google/uuid"

	"example.com/once/idem"
)

func storeCases() []kitCase {
	var all []kitCase
	for _, group := range [][]kitCase{claimCases(), renewCases(), completeCases(), releaseCases(), adminCases(), historyCases()} {
		all = append(all, group...)
	}
	return all
}

func adminCases() []kitCase {
	return []kitCase{
		{"S42 ended is absent", "A record past its retention is absent, swept or not.", s42},
		{"S43 sweep", "Sweep removes ended records only, at most limit, beside claims and other sweepers.", s43},
		{"S44 sweep against claim", "A claim of a key that is being swept is granted, and stays.", s44},
		{"S45 get", "Get returns the record, its state as it is now, and writes nothing.", s45Get},
		{"S45 list", "List returns every record that fits once, by ascending key.", s45List},
		{"S45 delete", "Delete forgets a key whatever its state, and fences its holder.", s45Delete},
		{"S45 resolve", "Resolve records an outcome for a key nobody holds, and takes it from its last holder for good.", s45Resolve},
	}
}

// endSoon leaves n done records, named by prefix, that end after one lease.
func (c *C) endSoon(prefix string, n int) {
	for i := range n {
		l := c.acquire(idem.Key(fmt.Sprintf("%s%d", prefix, i)))
		if _, err := c.store.Complete(c.ctx, l, []byte("r"), c.opt.lease); err != nil {
			c.Fatalf("complete: %v", err)
		}
	}
}

func s42(c *C) {
	inspector := c.inspector()
	c.endSoon("k", 3)
	c.past(c.opt.lease)
	for i := range 3 {
		key := idem.Key(fmt.Sprintf("k%d", i))
		if rec, err := inspector.Get(c.ctx, key); err != nil || rec.State != 0 {
			c.Errorf("Get past retention: %v, %v; want absent", rec.State, err)
		}
	}
	if recs, err := inspector.List(c.ctx, idem.Query{}); err != nil || len(recs) != 0 {
		c.Errorf("List past retention: %d records, %v; want none", len(recs), err)
	}
	if rec, err := inspector.Resolve(c.ctx, "k0", []byte("r"), longKeep); err != nil || rec.State != 0 {
		c.Errorf("Resolve past retention: %v, %v; want absent", rec.State, err)
	}
	c.acquire("k0")
}

func s43(c *C) {
	const ended, limit = 40, 7
	sweeper := c.sweeper()
	running := c.acquire("running")
	c.complete(c.acquire("done"), []byte("r"))
	held := c.acquire("held")
	c.release(held, idem.DispositionHold)
	over := claimOf("over") // its lease ends, not its retention
	over.Lease = c.opt.lease
	c.want("first claim", over, idem.Acquired)
	c.endSoon("ended", ended)
	c.past(c.opt.lease)
	var total atomic.Int64
	race(4, func(int) {
		for range ended {
			n, err := sweeper.Sweep(c.ctx, limit)
			if err != nil {
				c.Errorf("sweep: %v", err)
			}
			if n < 0 || n > limit {
				c.Errorf("sweep removed %d, the limit is %d", n, limit)
			}
			if total.Add(int64(n)); n == 0 {
				return
			}
		}
	})
	if n := total.Load(); n > ended {
		c.Errorf("%d records were swept, only %d had ended", n, ended)
	}
	c.replays("done, after the sweep", "done", []byte("r"))
	c.want("held, after the sweep", claimOf("held"), idem.Abandoned)
	c.renew(running, long, nil)
	if rec := c.want("lease over, after the sweep", claimOf("over"), idem.Acquired); rec.Lease.Attempt != 2 {
		c.Errorf("attempt %d after the sweep, want 2", rec.Lease.Attempt)
	}
	if n, err := sweeper.Sweep(c.ctx, limit); n != 0 || err != nil {
		c.Errorf("another sweep: %d, %v; want nothing left", n, err)
	}
}

func s44(c *C) {
	const keys = 100
	sweeper := c.sweeper()
	c.endSoon("k", keys)
	c.past(c.opt.lease)
	recs, errs := make([]idem.Record, keys), make([]error, keys)
	race(keys+4, func(i int) {
		if i < keys {
			recs[i], errs[i] = c.store.Claim(c.ctx, claimOf(idem.Key(fmt.Sprintf("k%d", i))))
			return
		}
		for range keys {
			if _, err := sweeper.Sweep(c.ctx, 3); err != nil {
				c.Errorf("sweep: %v", err)
			}
		}
	})
	for i, rec := range recs {
		switch {
		case errs[i] != nil:
			c.Fatalf("claim: %v", errs[i])
		case rec.State != idem.Acquired || rec.Lease.Attempt != 1:
			c.Fatalf("%s", stateError("a claim past retention", rec, idem.Acquired))
		}
		c.want("a claim after it", claimOf(rec.Lease.Key), idem.InFlight)
		c.complete(rec.Lease, []byte("r"))
	}
}

// oneOfEach makes a record of every state and returns their keys.
func (c *C) oneOfEach() map[idem.Key]idem.State {
	c.acquire("a in flight")
	c.complete(c.acquire("b done"), []byte("r"))
	held := c.acquire("c abandoned")
	c.release(held, idem.DispositionHold)
	released := c.acquire("d released")
	c.release(released, idem.DispositionRetry)
	expired := claimOf("e expired")
	expired.Lease, expired.Fingerprint = c.opt.lease, []byte("f")
	c.want("first claim", expired, idem.Acquired)
	c.past(c.opt.lease)
	return map[idem.Key]idem.State{
		"a in flight": idem.InFlight, "b done": idem.Done, "c abandoned": idem.Abandoned, "d released": idem.Released, "e expired": idem.Expired,
	}
}

func s45Get(c *C) {
	inspector := c.inspector()
	for key, state := range c.oneOfEach() {
		for range 2 {
			rec, err := inspector.Get(c.ctx, key)
			if err != nil {
				c.Fatalf("Get %q: %v", key, err)
			}
			if rec.State != state || rec.Lease.Key != key || rec.Lease.Attempt != 1 {
				c.Errorf("%s", stateError(fmt.Sprintf("Get %q", key), rec, state))
			}
			if state == idem.Done && string(rec.Result) != "r" {
				c.Errorf("Get %q: result %q", key, rec.Result)
			}
			if state == idem.Expired && string(rec.Fingerprint) != "f" {
				c.Errorf("Get %q: fingerprint %q", key, rec.Fingerprint)
			}
		}
	}
	if rec, err := inspector.Get(c.ctx, "never"); err != nil || rec.State != 0 {
		c.Errorf("Get of an unknown key: %v, %v; want absent and no error", rec.State, err)
	}
	c.acquire("never")
}

func s45List(c *C) {
	inspector := c.inspector()
	states := c.oneOfEach()
	for i := range 10 {
		key := idem.Key(fmt.Sprintf("z%d", i))
		states[key] = idem.InFlight
		c.acquire(key)
	}
	seen := map[idem.Key]bool{}
	var after idem.Key
	for {
		recs, err := inspector.List(c.ctx, idem.Query{After: after, Limit: 4})
		if err != nil {
			c.Fatalf("List: %v", err)
		}
		if len(recs) > 4 {
			c.Fatalf("List returned %d records, the limit is 4", len(recs))
		}
		if len(recs) == 0 {
			break
		}
		for _, rec := range recs {
			if key := rec.Lease.Key; key <= after || seen[key] || rec.State != states[key] {
				c.Fatalf("%s", stateError(fmt.Sprintf("List: %q after %q", key, after), rec, states[key]))
			}
			after = rec.Lease.Key
			seen[after] = true
		}
	}
	if len(seen) != len(states) {
		c.Errorf("List returned %d keys, want %d", len(seen), len(states))
	}
	for _, state := range []idem.State{idem.InFlight, idem.Done, idem.Abandoned, idem.Released, idem.Expired} {
		want := 0
		for _, s := range states {
			if s == state {
				want++
			}
		}
		recs, err := inspector.List(c.ctx, idem.Query{State: state})
		if err != nil || len(recs) != want {
			c.Errorf("List of %v: %d records, %v; want %d", state, len(recs), err, want)
		}
		for _, rec := range recs {
			if rec.State != state {
				c.Errorf("List of %v: a record that is %v", state, rec.State)
			}
		}
	}
}

func s45Delete(c *C) {
	inspector := c.inspector()
	l := c.acquire("running")
	if err := inspector.Delete(c.ctx, "running"); err != nil {
		c.Fatalf("Delete: %v", err)
	}
	c.lost("renewal after Delete", c.store.Renew(c.ctx, l, long, nil))
	_, err := c.store.Complete(c.ctx, l, []byte("r"), longKeep)
	c.lost("completion after Delete", err)
	next := c.want("a claim after Delete", claimOf("running"), idem.Acquired).Lease
	if next.Attempt != 1 || next.Fence <= l.Fence {
		c.Errorf("attempt %d, fence %d; want attempt 1 and more than %d", next.Attempt, next.Fence, l.Fence)
	}
	c.complete(c.acquire("done"), []byte("r"))
	for range 2 {
		if err := inspector.Delete(c.ctx, "done"); err != nil {
			c.Fatalf("Delete: %v", err)
		}
	}
	c.acquire("done")
}

func s45Resolve(c *C) {
	const resolved = "resolved"
	inspector := c.inspector()
	resolve := func(key idem.Key, result string) (idem.Record, error) {
		return inspector.Resolve(c.ctx, key, []byte(result), longKeep)
	}
	held := c.acquire("held")
	c.release(held, idem.DispositionHold)
	cl := claimOf("expired")
	cl.Lease, cl.NoTakeover = c.opt.lease, true
	expired := c.want("first claim", cl, idem.Acquired).Lease
	c.past(cl.Lease)
	for _, l := range []idem.Lease{held, expired} {
		for _, result := range []string{resolved, "again"} {
			rec, err := resolve(l.Key, result)
			if err != nil || rec.State != idem.Done || string(rec.Result) != resolved || rec.Lease.Token != uuid.Nil || rec.Lease.Fence <= l.Fence {
				c.Fatalf("Resolve %q: %v %q, lease %+v, %v; want done, with the first resolution, no token and a higher fence",
					l.Key, rec.State, rec.Result, rec.Lease, err)
			}
		}
		if rec := c.replays("after Resolve", l.Key, []byte(resolved)); rec.Lease.Token != uuid.Nil {
			c.Errorf("token %v after Resolve, want none", rec.Lease.Token)
		}
		rec, err := c.store.Complete(c.ctx, l, []byte("late"), longKeep)
		c.lost("completion after Resolve", err)
		if rec.State != idem.Done || string(rec.Result) != resolved {
			c.Errorf("with ErrLeaseLost came %v %q, want the resolution", rec.State, rec.Result)
		}
		c.lost("renewal after Resolve", c.store.Renew(c.ctx, l, long, nil))
	}
	l := c.acquire("running")
	if _, err := resolve("running", "r"); !errors.Is(err, idem.ErrInFlight) {
		c.Errorf("Resolve of a key in flight: %v, want ErrInFlight", err)
	}
	c.complete(l, []byte("own"))
	if rec, err := resolve("running", "r"); err != nil || string(rec.Result) != "own" {
		c.Errorf("Resolve of a key that is done: %q, %v; want what stands", rec.Result, err)
	}
	if rec, err := resolve("never", "r"); err != nil || rec.State != 0 {
		c.Errorf("Resolve of an unknown key: %v, %v; want absent and no error", rec.State, err)
	}
	c.acquire("never")
}
