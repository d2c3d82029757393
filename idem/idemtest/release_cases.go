package idemtest

import (
	"example.com/once/idem"
)

func releaseCases() []kitCase {
	return []kitCase{
		{"S34 release", "Release for retry: claimable at once, attempt+1, with a higher fence and the fingerprint kept.", s34},
		{"S35 release without the lease", "Release: another token or fence gets ErrLeaseLost and changes nothing.", s35},
		{"S36 release what is done", "Release of a key that is done gets ErrLeaseLost and changes nothing.", s36},
		{"S37 forget and hold", "Forget: as if never claimed, but for the fence. Hold: Abandoned.", s37},
		{"S38 release twice", "What the first Release of a holding said stands; a repeat returns nil.", s38},
	}
}

func s34(c *C) {
	cl := claimOf("k")
	cl.Fingerprint = []byte("f")
	l := c.want("first claim", cl, idem.Acquired).Lease
	c.release(l, idem.DispositionRetry)
	won := c.winner(claimOf("k"))
	if won.Lease.Attempt != 2 || won.Lease.Fence <= l.Fence {
		c.Errorf("attempt %d, fence %d; want attempt 2 and more than %d", won.Lease.Attempt, won.Lease.Fence, l.Fence)
	}
	if string(won.Fingerprint) != "f" {
		c.Errorf("fingerprint %q, want the first claim's", won.Fingerprint)
	}
}

func s35(c *C) {
	l := c.acquire("k")
	for what, other := range strangers(l) {
		for _, d := range []idem.Disposition{idem.DispositionRetry, idem.DispositionHold, idem.DispositionForget} {
			c.lost("release with "+what, c.store.Release(c.ctx, other, d))
		}
	}
	if rec := c.want("a claim after them", claimOf("k"), idem.InFlight); rec.Lease != l {
		c.Errorf("lease %+v, want the holder's: %+v", rec.Lease, l)
	}
}

func s36(c *C) {
	l := c.acquire("k")
	c.complete(l, []byte("r"))
	for _, d := range []idem.Disposition{idem.DispositionRetry, idem.DispositionHold, idem.DispositionForget} {
		c.lost("release of a key that is done", c.store.Release(c.ctx, l, d))
		c.replays("after it", "k", []byte("r"))
	}
}

func s37(c *C) {
	cl := claimOf("k")
	cl.Fingerprint = []byte("mine")
	l := c.want("first claim", cl, idem.Acquired).Lease
	c.renew(l, long, &idem.Progress{Seq: 1, Data: []byte("p")})
	c.release(l, idem.DispositionForget)
	other := claimOf("k")
	other.Fingerprint = []byte("yours")
	rec := c.want("another request after Forget", other, idem.Acquired)
	if rec.Lease.Attempt != 1 || rec.Lease.Fence <= l.Fence || rec.Progress.Data != nil {
		c.Errorf("attempt %d, fence %d, progress %q; want attempt 1, more than %d, and none",
			rec.Lease.Attempt, rec.Lease.Fence, rec.Progress.Data, l.Fence)
	}
	c.release(rec.Lease, idem.DispositionHold)
	c.want("a claim after Hold", claimOf("k"), idem.Abandoned)
}

func s38(c *C) {
	l := c.acquire("retry")
	c.release(l, idem.DispositionRetry)
	c.release(l, idem.DispositionHold)
	c.want("a claim after Retry, then Hold", claimOf("retry"), idem.Acquired)
	l = c.acquire("hold")
	c.release(l, idem.DispositionHold)
	c.release(l, idem.DispositionRetry)
	c.want("a claim after Hold, then Retry", claimOf("hold"), idem.Abandoned)
	l = c.acquire("forget")
	c.release(l, idem.DispositionForget)
	c.release(l, idem.DispositionForget)
	c.acquire("forget")
}
