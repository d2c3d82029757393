package outbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
)

func TestOutbox45RunTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		to := newDestination(nil)
		r := start(t, &m, to, outbox.RelayConfig{})
		synctest.Wait()
		if err := r.Run(t.Context()); !errors.Is(err, outbox.ErrRunning) {
			t.Error(err)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		write(t, &m, "a", "a0")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		equal(t, "after a new start", to.took(""), []string{"a0"})
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestOutbox45ContextThatHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &faulty{Memory: &outboxtest.Memory{}}
		r, err := outbox.NewRelay(m, newDestination(nil), outbox.RelayConfig{})
		if err != nil {
			t.Fatal(err)
		}
		r.Wake()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
		if n := m.count("lease"); n != 0 {
			t.Errorf("%d leases asked for", n)
		}
	})
}

// What is in flight is finished and acknowledged, what is not yet sent is left, and another
// relay goes on at once.
func TestDrain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &outboxtest.Memory{Shards: 1}
		to := newDestination(nil)
		slow := outbox.PublisherFunc(func(ctx context.Context, d outbox.Delivery) error {
			time.Sleep(time.Second)
			if err := ctx.Err(); err != nil {
				t.Error(err)
			}
			return to.take(ctx, d)
		})
		r := start(t, m, slow, outbox.RelayConfig{Batch: 3})
		write(t, m, "", names("", 10)...)
		time.Sleep(4500 * time.Millisecond)
		begun := time.Now()
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took != 1500*time.Millisecond {
			t.Errorf("the drain took %v, want the rest of the batch in flight", took)
		}
		equal(t, "published", to.took(""), names("", 6))
		if s := stats(t, m); s.Hot != 4 {
			t.Errorf("%+v, want 4 messages left", s)
		}
		next := newDestination(nil)
		start(t, m, next, outbox.RelayConfig{})
		synctest.Wait()
		equal(t, "published by the next relay, at once", next.took(""), names("", 10)[6:])
	})
}

// The drain cuts off what takes too long. Nothing is lost, and no attempt is spent.
func TestOutbox10DrainIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &outboxtest.Memory{Shards: 1}
		to := newDestination(func(outbox.Delivery) error { return errHang })
		var l lanes
		r := start(t, m, hangable(to), outbox.RelayConfig{Drain: 5 * time.Second, Hooks: l.hooks()})
		write(t, m, "", names("", 3)...)
		time.Sleep(100 * time.Millisecond)
		begun := time.Now()
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took != 4*time.Second {
			t.Errorf("the drain took %v, want four fifths of 5s", took)
		}
		if c := l.now(); c.deferred+c.down > 0 {
			t.Errorf("the drain is taken for an outage: %d deferred, down %d times", c.deferred, c.down)
		}
		next := newDestination(nil)
		start(t, m, next, outbox.RelayConfig{})
		synctest.Wait()
		sameSet(t, "by the next relay", next.took(""), names("", 3))
		for _, a := range next.seen("") {
			if a.number != 1 {
				t.Errorf("%s has spent an attempt", a.name)
			}
		}
	})
}

func TestDrainReportsWhatIsLeftUndone(t *testing.T) {
	for op, want := range map[string]string{
		"ack":     "2 messages were published but not acknowledged within Drain",
		"release": "releasing the leases, which now run out by themselves",
	} {
		t.Run(op, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := &faulty{Memory: &outboxtest.Memory{Shards: 1}}
				m.on(func(_ context.Context, o string) error {
					if o == op {
						return errCut
					}
					return nil
				})
				to := newDestination(nil)
				r := start(t, m, to, outbox.RelayConfig{})
				write(t, m.Memory, "", "0", "1")
				time.Sleep(time.Second)
				begun := time.Now()
				err := r.stop()
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q", err, want)
				}
				if took := time.Since(begun); took > 10*time.Second {
					t.Errorf("Run took %v to end", took)
				}
			})
		})
	}
}

// A store that hangs does not hold Run back for longer than Drain.
func TestDrainWithAStoreThatHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &faulty{Memory: &outboxtest.Memory{}}
		r := start(t, m, newDestination(nil), outbox.RelayConfig{})
		time.Sleep(time.Second)
		m.on(func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		})
		write(t, m.Memory, "a", "a0")
		time.Sleep(time.Second)
		begun := time.Now()
		if err := r.stop(); err == nil {
			t.Error("nothing is reported of leases that could not be released")
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("Run took %v to end", took)
		}
	})
}
