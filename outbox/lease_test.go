package outbox_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
)

var errCut = errors.New("connection to the store is cut")

// cut makes a store unreachable.
func cut(context.Context, string) error { return errCut }

// holdings counts the shards that relays say they hold.
type holdings struct {
	mu   sync.Mutex
	held map[string]int
}

func (h *holdings) hooks(name string) outbox.Hooks {
	return outbox.Hooks{Leases: func(_ context.Context, n int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.held == nil {
			h.held = map[string]int{}
		}
		h.held[name] = n
	}}
}

func (h *holdings) of(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held[name]
}

func TestOutbox14RelaysShareTheShards(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &outboxtest.Memory{Shards: 8}
		var h holdings
		to := newDestination(nil)
		want := func(what string, shares map[string]int) {
			t.Helper()
			for name, n := range shares {
				if got := h.of(name); got != n {
					t.Errorf("%s: %s holds %d shards, want %d", what, name, got, n)
				}
			}
		}
		a := start(t, m, to, outbox.RelayConfig{Hooks: h.hooks("a")})
		time.Sleep(time.Minute)
		want("one relay", map[string]int{"a": 8})
		b := start(t, m, to, outbox.RelayConfig{Hooks: h.hooks("b")})
		time.Sleep(time.Minute)
		want("two", map[string]int{"a": 4, "b": 4})
		start(t, m, to, outbox.RelayConfig{Hooks: h.hooks("c")})
		time.Sleep(time.Minute)
		if x, y, z := h.of("a"), h.of("b"), h.of("c"); min(x, y, z) < 2 || max(x, y, z) > 3 || x+y+z != 8 {
			t.Errorf("three hold %d, %d and %d shards", x, y, z)
		}
		if err := a.stop(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		want("two again", map[string]int{"b": 4, "c": 4})
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		want("one again", map[string]int{"c": 8})
	})
}

// Relays come and go under load; nobody crashes. Each message is published once, in order.
func TestOutbox14HandOversLoseAndDoubleNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &outboxtest.Memory{}
		to := newDestination(nil)
		slow := outbox.PublisherFunc(func(ctx context.Context, d outbox.Delivery) error {
			time.Sleep(2 * time.Millisecond)
			return to.take(ctx, d)
		})
		start(t, m, slow, outbox.RelayConfig{})
		const n, keys = 6000, 20
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range n {
				k := strconv.Itoa(i % keys)
				write(t, m, k, k+"-"+strconv.Itoa(i/keys))
				time.Sleep(10 * time.Millisecond)
			}
		})
		for i := range 20 {
			r := start(t, m, slow, outbox.RelayConfig{})
			time.Sleep(time.Duration(1+i%7) * time.Second)
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
		time.Sleep(time.Minute)
		for k := range keys {
			key := strconv.Itoa(k)
			equal(t, "key "+key, to.took(key), names(key+"-", n/keys))
		}
		empty(t, m)
	})
}

// A relay that loses its connection is replaced after LeaseTTL, and not before.
func TestOutbox4TakeOverAfterACrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &outboxtest.Memory{}
		crashing := &faulty{Memory: m}
		first, second := newDestination(nil), newDestination(nil)
		start(t, crashing, first, outbox.RelayConfig{})
		write(t, m, "a", "a0")
		time.Sleep(time.Minute)
		crashing.on(cut)
		crashed := time.Now()
		start(t, m, second, outbox.RelayConfig{})
		write(t, m, "a", "a1", "a2")
		time.Sleep(time.Minute)
		equal(t, "the first relay", first.took(""), []string{"a0"})
		equal(t, "the second", second.took(""), []string{"a1", "a2"})
		if at := second.start.Add(second.seen("a1")[0].at).Sub(crashed); at < 9*time.Second || at > 21*time.Second {
			t.Errorf("taken over after %v, with leases of 15s renewed every 5s", at)
		}
	})
}

func TestOutbox5PublishedButNotAcked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &outboxtest.Memory{}
		crashing := &faulty{Memory: m}
		to := newDestination(func(outbox.Delivery) error { crashing.on(cut); return nil })
		start(t, crashing, to, outbox.RelayConfig{})
		write(t, m, "a", "a0")
		time.Sleep(time.Second)
		start(t, m, to, outbox.RelayConfig{})
		time.Sleep(time.Minute)
		got := to.seen("a0")
		if len(got) != 2 || got[0].id != got[1].id {
			t.Errorf("%+v, want two publications with one id", got)
		}
		if got[1].number != 1 {
			t.Errorf("the second has attempt number %d, though no attempt failed", got[1].number)
		}
		empty(t, m)
	})
}

// A relay whose leases cannot be renewed stops sending in time, and goes on when it can.
func TestOutbox12ARelayStopsBeforeItsLeasesEnd(t *testing.T) {
	for name, c := range map[string]struct {
		config outbox.RelayConfig
		takes  time.Duration // one message
		spare  time.Duration // left of the lease after the last one
	}{
		"large batches": {outbox.RelayConfig{}, 100 * time.Millisecond, 1500 * time.Millisecond},
		"long rounds":   {outbox.RelayConfig{Batch: 1, Concurrency: 1}, time.Second, 1500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := &faulty{Memory: &outboxtest.Memory{Shards: 32}}
				to := newDestination(nil)
				slow := outbox.PublisherFunc(func(ctx context.Context, d outbox.Delivery) error {
					select {
					case <-time.After(c.takes):
						return to.take(ctx, d)
					case <-ctx.Done():
						return ctx.Err()
					}
				})
				var mu sync.Mutex
				var renewed time.Duration
				c.config.Hooks.Leases = func(context.Context, int) {
					mu.Lock()
					defer mu.Unlock()
					renewed = time.Since(to.start)
				}
				c.config.Hooks.LaneDown = func(_ context.Context, _ uint8, err error) { t.Errorf("taken for an outage: %v", err) }
				start(t, m, slow, c.config)
				const n = 1000
				for i := range n {
					write(t, m.Memory, strconv.Itoa(i%50), strconv.Itoa(i))
				}
				time.Sleep(6500 * time.Millisecond)
				m.on(func(_ context.Context, op string) error {
					if op == "lease" {
						return errCut
					}
					return nil
				})
				time.Sleep(time.Minute)
				all := to.seen("")
				mu.Lock()
				last, end := all[len(all)-1].at, renewed+15*time.Second
				mu.Unlock()
				if last > end-c.spare || last < end-7*time.Second {
					t.Errorf("the last message went out at %v, the leases ended at %v", last, end)
				}
				m.on(nil)
				time.Sleep(time.Hour)
				if got := len(to.took("")); got != n {
					t.Errorf("%d publications of %d messages", got, n)
				}
				empty(t, m)
			})
		})
	}
}

// A Publish call is never given more time than its leases have.
func TestPublishTimeIsCutToTheLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &faulty{Memory: &outboxtest.Memory{Shards: 1}}
		m.on(func(ctx context.Context, op string) error {
			if op == "lease" { // a slow answer, which counts from before the request
				time.Sleep(4900 * time.Millisecond)
			}
			return ctx.Err()
		})
		started := time.Now()
		var noted notes[time.Duration]
		start(t, m, outbox.PublisherFunc(func(ctx context.Context, _ outbox.Delivery) error {
			end, _ := ctx.Deadline()
			noted.add(time.Until(end))
			return nil
		}), outbox.RelayConfig{})
		write(t, m.Memory, "a", "a0")
		time.Sleep(4910 * time.Millisecond)
		m.on(func(context.Context, string) error { return errCut })
		given := noted.all()
		if len(given) != 1 || given[0] != 7500*time.Millisecond || time.Since(started) > 5*time.Second {
			t.Fatalf("%v", given)
		}
		m.on(func(_ context.Context, op string) error {
			if op == "lease" {
				return errCut
			}
			return nil
		})
		time.Sleep(3 * time.Second) // 7.1s of 15s are left, of which a tenth is kept back
		write(t, m.Memory, "a", "a1")
		time.Sleep(2 * time.Second)
		given = noted.all()
		if len(given) != 2 || given[1] > 5600*time.Millisecond || given[1] < 3*time.Second {
			t.Errorf("%v", given)
		}
	})
}

func TestLanesOfTheConfiguration(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		one, rest := newDestination(nil), newDestination(nil)
		start(t, &m, one, outbox.RelayConfig{Lanes: []uint8{1}})
		for lane := range 3 {
			send(t, &m, outbox.Message{Topic: "t", Lane: uint8(lane), Payload: []byte(strconv.Itoa(lane))})
		}
		time.Sleep(time.Minute)
		equal(t, "lane 1", one.took(""), []string{"1"})
		start(t, &m, rest, outbox.RelayConfig{Lanes: []uint8{0, 2}})
		time.Sleep(time.Minute)
		sameSet(t, "the others", rest.took(""), []string{"0", "2"})
	})
}
