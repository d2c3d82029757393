package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"example.com/once/outbox"
	policy "example.com/once/retry"
)

func relayCases() []kitCase[*C] {
	return []kitCase[*C]{
		{"R1 relays", "Relays on the store publish every message, and those of a key for the first time in commit order, though messages fail.", r1},
		{"R2 lost answers", "Every method is harmless when repeated, because its answer may get lost.", r2},
	}
}

// n1 is about a Notifier, alone.
func n1(c *C) {
	n, ok := c.Store.(outbox.Notifier)
	if !ok {
		c.Skipf("the store is no Notifier")
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	woken := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- n.Listen(ctx, func() {
			select {
			case woken <- struct{}{}:
			default:
			}
		})
	}()
	// It may take a while until it listens: messages are written until it does.
	for heard := false; !heard; {
		c.put("k", "m")
		t := time.NewTimer(c.opt.wait)
		select {
		case <-woken:
			heard = true
		case <-t.C:
		case err := <-ended:
			c.Fatalf("Listen ended by itself: %v", err)
		case <-c.ctx.Done():
			c.Fatalf("nothing is heard of commits")
		}
		t.Stop()
	}
	cancel()
	select {
	case <-ended:
	case <-c.ctx.Done():
		c.Fatalf("Listen goes on after its context has ended")
	}
}

func r1(c *C) { c.publishAll(c.Store) }

func r2(c *C) { c.publishAll(&losing{Store: c.Store}) }

// publishAll runs two relays over s, at whose publisher messages fail now and then, and
// expects that all messages are published, each key in order.
func (c *C) publishAll(s outbox.Store) {
	const keys, each = 5, 20
	var mu sync.Mutex
	first := map[string][]string{}
	seen := map[string]bool{}
	publisher := outbox.PublisherFunc(func(_ context.Context, d outbox.Delivery) error {
		switch rand.IntN(10) {
		case 0, 1:
			return errors.New("it fails now and then")
		case 2:
			return outbox.ErrNotSent
		}
		mu.Lock()
		defer mu.Unlock()
		if name := string(d.Payload); !seen[name] {
			seen[name] = true
			first[d.Key] = append(first[d.Key], name)
		}
		return nil
	})
	ctx, cancel := context.WithCancel(c.ctx)
	var relays sync.WaitGroup
	defer relays.Wait()
	defer cancel()
	for range 2 {
		r, err := outbox.NewRelay(s, publisher, outbox.RelayConfig{
			LeaseTTL: 10 * c.opt.wait, Batch: 10, Concurrency: 2, PollMin: c.opt.wait / 30, PollMax: c.opt.wait / 3, Probe: c.opt.wait / 10,
			Policy: &policy.Policy{MaxAttempts: -1, Backoff: policy.Constant(c.opt.wait / 30)},
		})
		if err != nil {
			c.Fatalf("relay: %v", err)
		}
		relays.Go(func() {
			if err := r.Run(ctx); err != nil && s == c.Store {
				c.Errorf("run: %v", err)
			}
		})
	}
	for i := range each {
		for k := range keys {
			c.put("k"+strconv.Itoa(k), fmt.Sprintf("k%d%02d", k, i))
		}
		c.put("", fmt.Sprintf("%02d", i))
	}
	for done := false; !done; {
		c.sleep(c.opt.wait / 10)
		mu.Lock()
		done = len(seen) == (keys+1)*each
		mu.Unlock()
	}
	mu.Lock()
	defer mu.Unlock()
	for k := range keys {
		key := "k" + strconv.Itoa(k)
		for i, name := range first[key] {
			if want := fmt.Sprintf("%s%02d", key, i); name != want {
				c.Fatalf("key %s was published as %s", key, show(first[key]))
			}
		}
	}
}

var errLost = errors.New("the answer got lost")

// losing loses a part of the answers of a store, after it has done its work.
type losing struct{ outbox.Store }

func lose(err error) error {
	if err == nil && rand.IntN(4) == 0 {
		return errLost
	}
	return err
}

// Lease implements [outbox.Store].
func (l *losing) Lease(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
	leases, err := l.Store.Lease(ctx, r)
	return leases, lose(err)
}

// Release implements [outbox.Store].
func (l *losing) Release(ctx context.Context, owner string, held []outbox.Lease) error {
	return lose(l.Store.Release(ctx, owner, held))
}

// Ack implements [outbox.Store].
func (l *losing) Ack(ctx context.Context, refs []outbox.Ref) error {
	return lose(l.Store.Ack(ctx, refs))
}

// Park implements [outbox.Store].
func (l *losing) Park(ctx context.Context, lease outbox.Lease, items []outbox.Outcome) error {
	return lose(l.Store.Park(ctx, lease, items))
}

// Settle implements [outbox.Store].
func (l *losing) Settle(ctx context.Context, lease outbox.Lease, items []outbox.Outcome) error {
	return lose(l.Store.Settle(ctx, lease, items))
}
