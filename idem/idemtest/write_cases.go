package idemtest

import (
	"errors"
	"fmt"
	"time"

	"example.com/once/idem"
)

func renewCases() []kitCase {
	return []kitCase{
		{"S18 renew", "Renew lets the lease end d from now and changes nothing else.", s18},
		{"S19 renewed for long", "A lease that is renewed in time never ends.", s19},
		{"S20 renew without the lease", "Renew: another token or fence, or a key done or released, gets ErrLeaseLost.", s20},
		{"S21 late renewal", "Renew: a lease that is over but unchallenged is renewed.", s21},
		{"S22 renew after takeover", "Renew by a stale holder gets ErrLeaseLost and does not touch the new one.", s22},
		{"S23 progress", "Progress is handed to the next attempt, after a release and after a takeover, and is gone once the key is done.", s23},
		{"S24 order of progress", "Renew: nil progress keeps what is there; an older Seq is ignored.", s24},
	}
}

func s18(c *C) {
	c.settled(func(round int, lease time.Duration) bool {
		cl := claimOf(idem.Key(fmt.Sprintf("k%d", round)))
		cl.Lease, cl.Fingerprint = lease, []byte("f")
		l := c.want("first claim", cl, idem.Acquired).Lease
		c.sleep(lease / 2)
		sent := time.Now()
		if err := c.store.Renew(c.ctx, l, 2*lease, nil); err != nil {
			c.Fatalf("renew: %v", err)
		}
		if rec := c.claim(claimOf(cl.Key)); rec.State == idem.InFlight && rec.Left > 2*lease+c.opt.margin {
			c.Errorf("%v left of a lease renewed for %v", rec.Left, 2*lease)
		}
		c.sleep(lease) // the first lease is over
		rec := c.claim(claimOf(cl.Key))
		if time.Since(sent) >= 2*lease {
			return false
		}
		if rec.State != idem.InFlight {
			c.Fatalf("%s", stateError("while the renewed lease lasts", rec, idem.InFlight))
		}
		if rec.Lease != l || string(rec.Fingerprint) != "f" || rec.Left > 2*lease {
			c.Errorf("renewal changed the record: %+v", rec)
		}
		return true
	})
}

func s19(c *C) {
	c.settled(func(round int, lease time.Duration) bool {
		cl := claimOf(idem.Key(fmt.Sprintf("k%d", round)))
		cl.Lease, cl.Keep = lease, lease
		last := time.Now() // the lease counts from no earlier
		l := c.want("first claim", cl, idem.Acquired).Lease
		for range 16 {
			c.sleep(lease / 4)
			sent := time.Now()
			err := c.store.Renew(c.ctx, l, lease, nil)
			if time.Since(last) >= lease {
				return false // not in time: anything may be
			}
			if err != nil {
				c.Fatalf("renew: %v", err)
			}
			last = sent
		}
		rec := c.claim(claimOf(cl.Key))
		if time.Since(last) >= lease {
			return false
		}
		if rec.State != idem.InFlight || rec.Lease != l {
			c.Fatalf("%s", stateError("after four leases' worth of renewals", rec, idem.InFlight))
		}
		return true
	})
}

// strangers are holdings that were never granted, but for one field.
func strangers(l idem.Lease) map[string]idem.Lease {
	token, lower, higher := l, l, l
	token.Token = newToken()
	lower.Fence--
	higher.Fence++
	return map[string]idem.Lease{"another token": token, "a lower fence": lower, "a higher fence": higher}
}

func s20(c *C) {
	l := c.acquire("k")
	for what, other := range strangers(l) {
		c.lost("renewal with "+what, c.store.Renew(c.ctx, other, long, nil))
	}
	c.lost("renewal of an absent key", c.store.Renew(c.ctx, idem.Lease{Key: "absent", Token: newToken(), Fence: 1, Attempt: 1}, long, nil))
	c.complete(l, []byte("r"))
	c.lost("renewal of a key that is done", c.store.Renew(c.ctx, l, long, nil))
	c.replays("after it", "k", []byte("r"))
	l = c.acquire("released")
	c.release(l, idem.DispositionRetry)
	c.lost("renewal of a released key", c.store.Renew(c.ctx, l, long, nil))
	c.want("a claim after it", claimOf("released"), idem.Acquired)
}

func s21(c *C) {
	cl := claimOf("k")
	cl.Lease = c.opt.lease
	l := c.want("first claim", cl, idem.Acquired).Lease
	c.past(cl.Lease)
	c.renew(l, long, nil)
	if rec := c.want("a claim after the late renewal", claimOf("k"), idem.InFlight); rec.Lease != l {
		c.Errorf("lease %+v, want the holder's: %+v", rec.Lease, l)
	}
}

// takenOver returns the lease of a holder that let it end, and that of who took over.
func (c *C) takenOver(key idem.Key) (stale, now idem.Lease) {
	cl := claimOf(key)
	cl.Lease = c.opt.lease
	stale = c.want("first claim", cl, idem.Acquired).Lease
	c.past(cl.Lease)
	return stale, c.want("takeover", claimOf(key), idem.Acquired).Lease
}

func s22(c *C) {
	stale, now := c.takenOver("k")
	c.renew(now, long, &idem.Progress{Seq: 1, Data: []byte("successor")})
	c.lost("renewal by the stale holder", c.store.Renew(c.ctx, stale, time.Millisecond, &idem.Progress{Seq: 9, Data: []byte("stale")}))
	if rec := c.want("a claim after it", claimOf("k"), idem.InFlight); rec.Lease != now || rec.Left <= long/2 {
		c.Errorf("the stale holder changed the record: %+v", rec)
	}
	c.release(now, idem.DispositionRetry)
	if rec := c.want("the next attempt", claimOf("k"), idem.Acquired); string(rec.Progress.Data) != "successor" {
		c.Errorf("progress %q, want the new holder's", rec.Progress.Data)
	}
}

func s23(c *C) {
	cl := claimOf("k")
	cl.Lease = c.opt.lease
	l := c.want("first claim", cl, idem.Acquired).Lease
	given := []byte("step 1")
	c.renew(l, cl.Lease, &idem.Progress{Seq: 1, Data: given})
	given[0] = 'X' // the store must have its own
	c.past(cl.Lease)
	rec := c.want("takeover", claimOf("k"), idem.Acquired)
	if rec.Progress.Seq != 1 || string(rec.Progress.Data) != "step 1" {
		c.Fatalf("progress %d %q after a takeover, want 1 \"step 1\"", rec.Progress.Seq, rec.Progress.Data)
	}
	c.renew(rec.Lease, long, &idem.Progress{Seq: 2, Data: []byte("step 2")})
	c.release(rec.Lease, idem.DispositionRetry)
	rec = c.want("the next attempt", claimOf("k"), idem.Acquired)
	if rec.Progress.Seq != 2 || string(rec.Progress.Data) != "step 2" {
		c.Fatalf("progress %d %q after a release, want 2 \"step 2\"", rec.Progress.Seq, rec.Progress.Data)
	}
	c.complete(rec.Lease, []byte("r"))
	if rec := c.replays("when done", "k", []byte("r")); rec.Progress.Data != nil {
		c.Errorf("progress %q in a replay", rec.Progress.Data)
	}
	if i, ok := c.store.(idem.Inspector); ok {
		if rec, err := i.Get(c.ctx, "k"); err != nil || len(rec.Progress.Data) > 0 {
			c.Errorf("progress %q is kept although the key is done (%v)", rec.Progress.Data, err)
		}
	}
}

func s24(c *C) {
	cl := claimOf("k")
	l := c.want("first claim", cl, idem.Acquired).Lease
	c.renew(l, long, &idem.Progress{Seq: 2, Data: []byte("second")})
	c.renew(l, long, &idem.Progress{Seq: 1, Data: []byte("first")})
	c.renew(l, long, nil)
	rec := c.want("the same claim again", cl, idem.Acquired)
	if rec.Progress.Seq != 2 || string(rec.Progress.Data) != "second" {
		c.Errorf("progress %d %q, want 2 \"second\"", rec.Progress.Seq, rec.Progress.Data)
	}
}

func completeCases() []kitCase {
	return []kitCase{
		{"S25 complete", "Complete records the result and keeps it for keep.", s25},
		{"S26 complete twice", "Complete: a repeat by the same owner returns the record that stands.", s26},
		{"S27 complete without the lease", "Complete: another token or fence gets ErrLeaseLost and the record that stands.", s27},
		{"S28 stale holder", "A holder that was replaced changes nothing, before and after its successor's completion.", s28},
		{"S29 late completion", "Complete compares token and fence, never the deadline: late but unchallenged is recorded.", s29},
		{"S30 complete what is gone", "Complete of a forgotten key gets ErrLeaseLost; nothing comes back.", s30},
		{"S31 completion against takeover", "Of a late completion and a takeover exactly one wins.", s31},
		{"S33 too large", "Complete: a result that does not fit gets ErrTooLarge and leaves the claim; a tombstone is still possible.", s33},
	}
}

func s25(c *C) {
	l := c.acquire("k")
	rec := c.complete(l, []byte("r"))
	if rec.Lease != l || string(rec.Result) != "r" {
		c.Errorf("record %+v, want the owner's lease and result", rec)
	}
	rec = c.replays("replay", "k", []byte("r"))
	if rec.Left <= longKeep/2 || rec.Left > longKeep {
		c.Errorf("%v of the retention left, want up to %v", rec.Left, longKeep)
	}
	if rec.Lease != l {
		c.Errorf("lease %+v, want that of who completed: %+v", rec.Lease, l)
	}
	c.settled(func(round int, lease time.Duration) bool {
		cl := claimOf(idem.Key(fmt.Sprintf("short%d", round)))
		cl.Lease, cl.Keep = lease, lease
		sent := time.Now()
		l := c.want("first claim", cl, idem.Acquired).Lease
		_, err := c.store.Complete(c.ctx, l, []byte("r"), longKeep)
		if time.Since(sent) >= lease {
			return false // nothing may be left of the claim
		}
		if err != nil {
			c.Fatalf("complete: %v", err)
		}
		c.past(lease)
		c.replays("after lease and keep of the claim", cl.Key, []byte("r"))
		return true
	})
}

func s26(c *C) {
	l := c.acquire("k")
	c.complete(l, []byte("first"))
	if rec := c.complete(l, []byte("second")); string(rec.Result) != "first" {
		c.Errorf("the repeat returned %q, want what stands", rec.Result)
	}
	c.replays("after both", "k", []byte("first"))
	l = c.acquire("tombstone")
	c.complete(l, nil)
	c.complete(l, []byte("second"))
	c.replays("after both", "tombstone", nil)
}

func s27(c *C) {
	l := c.acquire("k")
	for what, other := range strangers(l) {
		rec, err := c.store.Complete(c.ctx, other, []byte("stranger"), longKeep)
		c.lost("completion with "+what, err)
		if rec.State == idem.Done {
			c.Errorf("completion with %s: the record says done", what)
		}
	}
	c.want("a claim after them", claimOf("k"), idem.InFlight)
	c.complete(l, []byte("owner"))
	for what, other := range strangers(l) {
		rec, err := c.store.Complete(c.ctx, other, []byte("stranger"), longKeep)
		c.lost("completion of a key that is done, with "+what, err)
		if rec.State != idem.Done || string(rec.Result) != "owner" {
			c.Errorf("with ErrLeaseLost came %v %q, want the record that stands", rec.State, rec.Result)
		}
	}
	c.replays("after them", "k", []byte("owner"))
	l = c.acquire("released")
	c.release(l, idem.DispositionRetry)
	_, err := c.store.Complete(c.ctx, l, []byte("r"), longKeep)
	c.lost("completion of a released key", err)
	c.want("a claim after it", claimOf("released"), idem.Acquired)
}

// refuseStale expects that nothing a stale holder does has an effect.
func (c *C) refuseStale(when string, stale idem.Lease) {
	_, err := c.store.Complete(c.ctx, stale, []byte("stale"), longKeep)
	c.lost("completion by the stale holder "+when, err)
	c.lost("renewal by the stale holder "+when, c.store.Renew(c.ctx, stale, long, nil))
	for _, d := range []idem.Disposition{idem.DispositionRetry, idem.DispositionHold, idem.DispositionForget} {
		c.lost("release by the stale holder "+when, c.store.Release(c.ctx, stale, d))
	}
}

func s28(c *C) {
	stale, now := c.takenOver("k")
	c.refuseStale("before its successor completed", stale)
	if rec := c.want("a claim after it", claimOf("k"), idem.InFlight); rec.Lease != now {
		c.Errorf("lease %+v, want the new holder's: %+v", rec.Lease, now)
	}
	c.complete(now, []byte("new"))
	c.refuseStale("after its successor completed", stale)
	rec, err := c.store.Complete(c.ctx, stale, []byte("stale"), longKeep)
	c.lost("completion by the stale holder", err)
	if rec.State != idem.Done || string(rec.Result) != "new" {
		c.Errorf("with ErrLeaseLost came %v %q, want the record that stands", rec.State, rec.Result)
	}
	c.replays("after all", "k", []byte("new"))

	// The same claimer may hold a key twice. Its first holding is stale all the same.
	cl := claimOf("twice")
	first := c.want("first claim", cl, idem.Acquired).Lease
	c.release(first, idem.DispositionRetry)
	second := c.want("the same token after release", cl, idem.Acquired).Lease
	if second.Attempt != 2 || second.Fence <= first.Fence {
		c.Fatalf("second holding %+v of the same token after %+v; want another attempt and a higher fence", second, first)
	}
	c.refuseStale("with the token of its successor", first)
	c.complete(second, []byte("second"))
	c.replays("after all", "twice", []byte("second"))
}

func s29(c *C) {
	cl := claimOf("k")
	cl.Lease = c.opt.lease
	l := c.want("first claim", cl, idem.Acquired).Lease
	c.past(cl.Lease)
	c.complete(l, []byte("late"))
	c.replays("after it", "k", []byte("late"))
}

func s30(c *C) {
	l := c.acquire("k")
	c.release(l, idem.DispositionForget)
	rec, err := c.store.Complete(c.ctx, l, []byte("r"), longKeep)
	c.lost("completion of a forgotten key", err)
	if rec.State != 0 {
		c.Errorf("with ErrLeaseLost came state %v of a key that is absent", rec.State)
	}
	c.lost("renewal of a forgotten key", c.store.Renew(c.ctx, l, long, nil))
	if rec := c.want("a claim after it", claimOf("k"), idem.Acquired); rec.Lease.Attempt != 1 || rec.Lease.Fence <= l.Fence {
		c.Errorf("attempt %d, fence %d; want attempt 1 and more than %d", rec.Lease.Attempt, rec.Lease.Fence, l.Fence)
	}
	_, err = c.store.Complete(c.ctx, l, []byte("r"), longKeep)
	c.lost("completion after the key was claimed anew", err)
}

func s31(c *C) {
	rounds := 1000
	if !c.opt.virtual {
		rounds = 200
	}
	leases := make([]idem.Lease, rounds)
	for i := range leases {
		cl := claimOf(idem.Key(fmt.Sprintf("k%d", i)))
		cl.Lease = c.opt.lease
		leases[i] = c.want("first claim", cl, idem.Acquired).Lease
	}
	c.past(c.opt.lease)
	for i, l := range leases {
		var done, taken idem.Record
		var doneErr, takenErr error
		race(2, func(n int) {
			if (n+i)%2 == 0 {
				done, doneErr = c.store.Complete(c.ctx, l, []byte("late"), longKeep)
			} else {
				taken, takenErr = c.store.Claim(c.ctx, claimOf(l.Key))
			}
		})
		switch {
		case takenErr != nil:
			c.Fatalf("round %d: claim: %v", i, takenErr)
		case doneErr != nil && !errors.Is(doneErr, idem.ErrLeaseLost):
			c.Fatalf("round %d: complete: %v", i, doneErr)
		case doneErr == nil && (done.State != idem.Done || taken.State != idem.Done || string(taken.Result) != "late"):
			c.Fatalf("round %d: completed (%v), and the claim got %v", i, done.State, taken.State)
		case doneErr != nil && taken.State != idem.Acquired:
			c.Fatalf("round %d: the completion lost, and the claim got %v", i, taken.State)
		}
	}
}

func s33(c *C) {
	if c.opt.maxResult <= 0 {
		c.Skipf("no limit was given by the option MaxResult")
	}
	l := c.acquire("k")
	_, err := c.store.Complete(c.ctx, l, make([]byte, c.opt.maxResult+1), longKeep)
	if !errors.Is(err, idem.ErrTooLarge) {
		c.Fatalf("completion with %d bytes: %v, want ErrTooLarge", c.opt.maxResult+1, err)
	}
	if rec := c.want("a claim after it", claimOf("k"), idem.InFlight); rec.Lease != l {
		c.Errorf("lease %+v, want the holder's: %+v", rec.Lease, l)
	}
	c.complete(l, nil)
	c.replays("after the tombstone", "k", nil)
}
