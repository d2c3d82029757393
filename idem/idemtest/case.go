package idemtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"example.com/once/idem"
)

// Times that no case waits for.
const (
	long     = time.Hour
	longKeep = 24 * time.Hour
)

// C is a case at work.
type C struct {
	*recorder

	ctx   context.Context //nolint:containedctx // a case is one call
	store idem.Store
	opt   options
}

func newToken() uuid.UUID {
	var t uuid.UUID
	_, _ = rand.Read(t[:])
	return t
}

// claimOf is a claim by a new claimer, for times that no case waits for.
func claimOf(key idem.Key) idem.Claim {
	return idem.Claim{Key: key, Token: newToken(), Lease: long, Keep: longKeep}
}

// claim sends cl.
func (c *C) claim(cl idem.Claim) idem.Record {
	rec, err := c.store.Claim(c.ctx, cl)
	if err != nil {
		c.Fatalf("claim of %q: %v", cl.Key, err)
	}
	return rec
}

// want sends cl and expects a state.
func (c *C) want(what string, cl idem.Claim, state idem.State) idem.Record {
	rec := c.claim(cl)
	if rec.State != state {
		c.Fatalf("%s", stateError(what, rec, state))
	}
	if state == idem.Acquired && (rec.Lease.Key != cl.Key || rec.Lease.Token != cl.Token || rec.Lease.Fence <= 0 || rec.Lease.Attempt < 1) {
		c.Fatalf("%s: acquired with lease %+v, want the claimer's key and token, a fence and an attempt", what, rec.Lease)
	}
	return rec
}

// acquire claims key as a new claimer and expects to get it.
func (c *C) acquire(key idem.Key) idem.Lease {
	return c.want("first claim", claimOf(key), idem.Acquired).Lease
}

func (c *C) complete(l idem.Lease, result []byte) idem.Record {
	rec, err := c.store.Complete(c.ctx, l, result, longKeep)
	if err != nil {
		c.Fatalf("complete: %v", err)
	}
	if rec.State != idem.Done {
		c.Fatalf("%s", stateError("record of a completion", rec, idem.Done))
	}
	return rec
}

func (c *C) release(l idem.Lease, d idem.Disposition) {
	if err := c.store.Release(c.ctx, l, d); err != nil {
		c.Fatalf("release: %v", err)
	}
}

func (c *C) renew(l idem.Lease, d time.Duration, p *idem.Progress) {
	if err := c.store.Renew(c.ctx, l, d, p); err != nil {
		c.Fatalf("renew: %v", err)
	}
}

// lost expects that a write was refused because the lease is not the writer's.
func (c *C) lost(what string, err error) {
	if !errors.Is(err, idem.ErrLeaseLost) {
		c.Fatalf("%s: %v, want ErrLeaseLost", what, err)
	}
}

// replays expects that key is done with result, for everybody.
func (c *C) replays(what string, key idem.Key, result []byte) idem.Record {
	rec := c.want(what, claimOf(key), idem.Done)
	if !bytes.Equal(rec.Result, result) || (rec.Result == nil) != (result == nil) {
		c.Fatalf("%s: result %s, want %s", what, show(rec.Result), show(result))
	}
	return rec
}

// inspector returns the store's, or skips the case.
func (c *C) inspector() idem.Inspector {
	i, ok := c.store.(idem.Inspector)
	if !ok {
		c.Skipf("the store is no Inspector")
	}
	return i
}

func (c *C) sweeper() idem.Sweeper {
	s, ok := c.store.(idem.Sweeper)
	if !ok {
		c.Skipf("the store is no Sweeper")
	}
	return s
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

// winner lets claimers race for a key. One must get it, the others must find it in flight.
func (c *C) winner(cl idem.Claim) idem.Record {
	const n = racers
	recs, errs := make([]idem.Record, n), make([]error, n)
	race(n, func(i int) {
		mine := cl
		mine.Token = newToken()
		recs[i], errs[i] = c.store.Claim(c.ctx, mine)
	})
	var won []idem.Record
	for i := range n {
		switch {
		case errs[i] != nil:
			c.Errorf("claim %d of %d: %v", i, n, errs[i])
		case recs[i].State == idem.Acquired:
			won = append(won, recs[i])
		case recs[i].State != idem.InFlight:
			c.Errorf("%s", stateError("a claim that lost", recs[i], idem.InFlight))
		}
	}
	if len(won) != 1 {
		c.Fatalf("%d of %d claimers got the key, want 1", len(won), n)
	}
	return won[0]
}

// past waits until a time of length d, asked for before the call, is surely over.
func (c *C) past(d time.Duration) {
	c.sleep(d + d/10 + c.opt.margin)
}

func (c *C) sleep(d time.Duration) {
	if !pause(c.ctx, d) {
		c.Fatalf("time is up")
	}
}

// pause waits for d and says whether there was time for it.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// settled repeats try with longer and longer leases until it says that it was fast enough
// to prove something.
func (c *C) settled(try func(round int, lease time.Duration) bool) {
	lease := c.opt.lease
	const rounds = 6
	for round := range rounds {
		if try(round, lease) {
			return
		}
		lease *= 2
	}
	c.Fatalf("the store takes longer than a lease of %v", lease/2)
}

// show is b in an error message.
func show(b []byte) string {
	const most = 32
	switch {
	case b == nil:
		return "nil"
	case len(b) > most:
		return fmt.Sprintf("%d bytes, %q...", len(b), b[:most])
	default:
		return fmt.Sprintf("%q", b)
	}
}
