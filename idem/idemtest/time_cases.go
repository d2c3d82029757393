package idemtest

import (
	"fmt"
	"math"
	"time"

	"example.com/once/idem"
)

func s5Early(c *C) { c.endOfLease("k", c.opt.lease) }

func s40(c *C) { c.endOfLease("k", c.opt.lease/5) }

// endOfLease polls until a lease of length d can be taken over.
func (c *C) endOfLease(key idem.Key, d time.Duration) {
	const tolerance = 2 * time.Millisecond // of a store that counts in milliseconds
	cl := claimOf(key)
	cl.Lease = d
	sent := time.Now()
	c.want("first claim", cl, idem.Acquired)
	granted := time.Now()
	other := claimOf(key)
	for {
		asked := time.Now()
		rec := c.claim(other)
		if rec.State == idem.Acquired {
			if held := time.Since(sent); held < d-tolerance {
				c.Errorf("taken over after %v at most, from a lease of %v", held, d)
			}
			return
		}
		if rec.State != idem.InFlight {
			c.Fatalf("%s", stateError("while the lease lasts", rec, idem.InFlight))
		}
		if rec.Left <= 0 || rec.Left > d {
			c.Errorf("%v left of a lease of %v", rec.Left, d)
		}
		if late := asked.Sub(granted) - d; late > d/10+c.opt.margin {
			c.Fatalf("a lease of %v still holds %v after its end", d, late)
		}
		c.sleep(d / 20)
	}
}

func s41Longest(c *C) {
	const forever = math.MaxInt64
	cl := claimOf("k")
	cl.Lease, cl.Keep = forever, forever
	l := c.want("first claim", cl, idem.Acquired).Lease
	c.want("a claim after it", claimOf("k"), idem.InFlight)
	c.renew(l, forever, nil)
	c.want("a claim after the renewal", claimOf("k"), idem.InFlight)
	if _, err := c.store.Complete(c.ctx, l, []byte("r"), forever); err != nil {
		c.Fatalf("complete: %v", err)
	}
	if rec := c.replays("after completion", "k", []byte("r")); rec.Left < 365*24*time.Hour {
		c.Errorf("%v of the retention left, want as much as can be counted", rec.Left)
	}
	c.release(c.acquire("held"), idem.DispositionHold)
	if i, ok := c.store.(idem.Inspector); ok {
		if rec, err := i.Resolve(c.ctx, "held", []byte("r"), forever); err != nil || rec.State != idem.Done {
			c.Errorf("Resolve: %v, %v", rec.State, err)
		}
		c.replays("after Resolve", "held", []byte("r"))
	}
}

func s41(c *C) {
	c.settled(func(round int, lease time.Duration) bool {
		cl := claimOf(idem.Key(fmt.Sprintf("k%d", round)))
		cl.Lease, cl.Keep = 4*lease, lease
		sent := time.Now()
		c.want("first claim", cl, idem.Acquired)
		c.past(cl.Keep)
		rec := c.claim(claimOf(cl.Key))
		if time.Since(sent) >= cl.Lease {
			return false
		}
		if rec.State != idem.InFlight {
			c.Fatalf("%s", stateError("while the lease lasts", rec, idem.InFlight))
		}
		return true
	})
}
