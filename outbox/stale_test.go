package outbox_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
)

// Two relays think that they hold a shard. Both may acknowledge, only the later one may
// decide about a failed message.
func TestOutbox11AStaleRelay(t *testing.T) {
	for name, outcome := range map[string]error{"acknowledges": nil, "cannot park": errBoom} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := &outboxtest.Memory{}
				stale := &faulty{Memory: m}
				var reported notes[string]
				old := newDestination(func(outbox.Delivery) error { return outcome })
				start(t, stale, old, outbox.RelayConfig{Policy: quick(1), Hooks: outbox.Hooks{
					DeadLettered: func(_ context.Context, d outbox.Delivery, _ error) { reported.add(string(d.Payload)) },
				}})
				time.Sleep(time.Second)
				stale.on(func(_ context.Context, op string) error {
					switch op { // reading goes on, everything else is cut off
					case "lease", "ack", "park":
						return errCut
					}
					return nil
				})
				write(t, m, "a", "a0", "a1")
				time.Sleep(time.Second)
				release := make(chan struct{})
				young := newDestination(nil)
				start(t, m, outbox.PublisherFunc(func(ctx context.Context, d outbox.Delivery) error {
					<-release
					return young.take(ctx, d)
				}), outbox.RelayConfig{LeaseTTL: 2 * time.Minute})
				time.Sleep(time.Minute) // the young relay has taken over and is publishing
				stale.on(func(_ context.Context, op string) error {
					if op == "lease" {
						return errCut
					}
					return nil
				})
				time.Sleep(10 * time.Second)
				left := stats(t, m).Hot
				close(release)
				time.Sleep(time.Minute)

				if n := len(old.seen("")); n != 1 {
					t.Errorf("the stale relay published %d messages, want to see it stop at the first", n)
				}
				if outcome == nil && left != 1 {
					t.Errorf("%d messages are left after the stale relay's acknowledgement, want 1", left)
				}
				if outcome != nil && (left != 2 || len(reported.all()) > 0) {
					t.Errorf("%d messages are left, %q reported dead: the stale relay decided", left, reported.all())
				}
				equal(t, "the young relay", young.took("a"), []string{"a0", "a1"})
				empty(t, m)
			})
		})
	}
}

// Settle of a stale relay removes what was published, and changes nothing else.
func TestOutbox11AStaleRelaySettles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &outboxtest.Memory{Shards: 1}
		stale := &faulty{Memory: m}
		old := newDestination(func(d outbox.Delivery) error {
			if d.Attempt == 1 || string(d.Payload) == "b0" {
				return errBoom
			}
			return nil
		})
		start(t, stale, old, outbox.RelayConfig{Policy: quick(2)})
		write(t, m, "a", "a0")
		write(t, m, "b", "b0")
		time.Sleep(8 * time.Second) // past a renewal
		stale.on(func(_ context.Context, op string) error {
			if op == "lease" || op == "settle" {
				return errCut
			}
			return nil
		})
		time.Sleep(5 * time.Second) // both are tried again: a0 is published, b0 is to be dead
		equal(t, "published by the stale relay", old.took(""), []string{"a0"})
		young := newDestination(func(outbox.Delivery) error { return errBoom })
		start(t, m, young, outbox.RelayConfig{Policy: quick(-1)})
		time.Sleep(20 * time.Second)
		stale.on(func(_ context.Context, op string) error {
			if op == "lease" {
				return errCut
			}
			return nil
		})
		time.Sleep(10 * time.Second)
		if s := stats(t, m); s.Parked != 1 || s.Dead != 0 {
			t.Errorf("%+v, want b0 alone, and alive", s)
		}
	})
}

// thief takes every shard from the relay that asked for leases last, as after a failover of
// the store to a replica that has forgotten some.
func thief(t *testing.T, m *outboxtest.Memory, owner string) {
	t.Helper()
	if err := m.Release(t.Context(), owner, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Lease(t.Context(), outbox.LeaseRequest{Owner: "thief", TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
}

// named notes who asks for leases.
type named struct {
	*outboxtest.Memory

	mu    sync.Mutex
	owner string
}

func (n *named) Lease(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
	n.mu.Lock()
	n.owner = r.Owner
	n.mu.Unlock()
	return n.Memory.Lease(ctx, r)
}

// A relay that is told that its lease is lost serves the shard no more, though by its own
// reckoning there is time left.
func TestALostLeaseIsBelieved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &named{Memory: &outboxtest.Memory{Shards: 1}}
		to := newDestination(failing("0", -1, errBoom))
		start(t, m, to, outbox.RelayConfig{})
		time.Sleep(5500 * time.Millisecond) // just after a renewal
		m.mu.Lock()
		thief(t, m.Memory, m.owner)
		m.mu.Unlock()
		// Two batches of one round: 0 and a0, then a1.
		send(t, m.Memory, outbox.Message{Topic: "t", Payload: []byte("0")},
			outbox.Message{Topic: "t", Key: "a", Payload: []byte("a0")}, outbox.Message{Topic: "t", Key: "a", Payload: []byte("a1")})
		time.Sleep(time.Second)
		write(t, m.Memory, "", "1")
		time.Sleep(time.Minute)
		if n := len(to.seen("0")); n != 1 {
			t.Errorf("%d attempts at the first message", n)
		}
		if n := len(to.seen("a1")) + len(to.seen("1")); n != 0 {
			t.Errorf("%d attempts at messages of a shard that is lost", n)
		}
		if s := stats(t, m); s.Hot != 3 {
			t.Errorf("%+v", s)
		}
	})
}

// The answer to a request for leases comes so late that shards named in it were given back
// in the meantime, and another relay has them. It does not revive them.
func TestALateAnswerRevivesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &faulty{Memory: &outboxtest.Memory{}}
		first, third := newDestination(nil), newDestination(nil)
		start(t, m, first, outbox.RelayConfig{})
		time.Sleep(time.Second)
		answered := make(chan struct{}) // the store has answered a request, and the answer is still on its way
		var released, late atomic.Bool
		m.on(func(ctx context.Context, op string) error {
			if op != "release" {
				return nil
			}
			select {
			case <-answered:
				released.Store(true)
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		second := start(t, m.Memory, newDestination(nil), outbox.RelayConfig{})
		time.Sleep(6 * time.Second) // the first relay owes the second some shards
		if err := second.stop(); err != nil {
			t.Fatal(err)
		}
		m.lose(func(op string, err error) error {
			if op == "lease" && !late.Swap(true) { // nobody is owed anything any more
				close(answered)
				time.Sleep(4 * time.Second)
			}
			return err
		})
		for !released.Load() {
			time.Sleep(100 * time.Millisecond)
		}
		slow := outbox.PublisherFunc(func(ctx context.Context, d outbox.Delivery) error {
			time.Sleep(2 * time.Second)
			return third.take(ctx, d)
		})
		start(t, m.Memory, slow, outbox.RelayConfig{})
		write(t, m.Memory, "", names("", 100)...)
		time.Sleep(5 * time.Second)
		if n := len(first.took("")); n == 0 || n > 70 {
			t.Errorf("the first relay published %d of 100 messages, though half of the shards are the third's", n)
		}
	})
}

// A relay that was waiting for shards begins the moment it gets some.
func TestGainedShardsAreServedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &named{Memory: &outboxtest.Memory{Shards: 1}}
		to := newDestination(nil)
		var mu sync.Mutex
		var gained time.Duration // when it last got what it had lost
		held := 0
		start(t, m, to, outbox.RelayConfig{Hooks: outbox.Hooks{Leases: func(_ context.Context, n int) {
			mu.Lock()
			defer mu.Unlock()
			if n > held {
				gained = time.Since(to.start)
			}
			held = n
		}}})
		time.Sleep(time.Second)
		m.mu.Lock()
		thief(t, m.Memory, m.owner)
		m.mu.Unlock()
		time.Sleep(10 * time.Second)
		write(t, m.Memory, "", "0")
		if err := m.Release(t.Context(), "thief", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if got := to.seen("0"); len(got) != 1 || got[0].at != gained || gained < 10*time.Second {
			t.Errorf("%+v, gained at %v", got, gained)
		}
	})
}

// A shard that was lost and won back unnoticed is served under its new lease from the start.
func TestAShardThatCameBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &named{Memory: &outboxtest.Memory{Shards: 1}}
		to := newDestination(failing("1", 1, errBoom))
		start(t, m, to, outbox.RelayConfig{Policy: quick(5)})
		write(t, m.Memory, "", "0")
		time.Sleep(5500 * time.Millisecond)
		m.mu.Lock()
		thief(t, m.Memory, m.owner)
		m.mu.Unlock()
		if err := m.Release(t.Context(), "thief", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		write(t, m.Memory, "", "1")
		time.Sleep(time.Minute)
		if got := to.seen("1"); len(got) != 2 || got[1].number != 2 {
			t.Errorf("%+v, want one failed attempt, recorded, and a second", got)
		}
	})
}
