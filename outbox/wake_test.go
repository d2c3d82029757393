package outbox_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
	"example.com/once/retry"
)

// A short wait is not stretched to the interval at which an idle relay looks.
func TestShortWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		to := newDestination(failing("a0", 3, errBoom))
		start(t, &m, to, outbox.RelayConfig{Policy: &retry.Policy{MaxAttempts: 5, Backoff: retry.Constant(50 * time.Millisecond)}})
		write(t, &m, "a", "a0")
		time.Sleep(time.Minute)
		if got := to.seen("a0"); len(got) != 4 || got[3].at > 200*time.Millisecond {
			t.Errorf("%+v", got)
		}
	})
}

func TestNotBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		to := newDestination(nil)
		start(t, &m, to, outbox.RelayConfig{})
		at := time.Now().Add(time.Hour)
		send(t, &m, outbox.Message{Topic: "t", Key: "a", Payload: []byte("later"), NotBefore: at})
		write(t, &m, "a", "a0", "a1")
		time.Sleep(time.Hour - time.Second)
		equal(t, "before", to.took("a"), []string{"a0", "a1"})
		time.Sleep(3 * time.Second)
		equal(t, "after", to.took("a"), []string{"a0", "a1", "later"})
		if a := to.seen("later")[0]; a.at < time.Hour || a.at > time.Hour+2*time.Second || a.number != 1 {
			t.Errorf("%+v", a)
		}
		empty(t, &m)
	})
}

// A delayed message that fails does not hold up its key, nor does the key hold it up.
func TestDelayedMessagesAreOutsideTheOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		to := newDestination(func(d outbox.Delivery) error {
			if string(d.Payload) == "later" || string(d.Payload) == "a1" {
				return errBoom
			}
			return nil
		})
		start(t, &m, to, outbox.RelayConfig{Policy: quick(-1)})
		send(t, &m, outbox.Message{Topic: "t", Key: "a", Payload: []byte("later"), NotBefore: time.Now().Add(time.Second)})
		time.Sleep(10 * time.Second)
		write(t, &m, "a", "a0", "a1")
		send(t, &m, outbox.Message{Topic: "t", Key: "a", Payload: []byte("also later"), NotBefore: time.Now().Add(time.Second)})
		time.Sleep(time.Minute)
		equal(t, "published", to.took("a"), []string{"a0", "also later"})
	})
}

func TestWakeUps(t *testing.T) {
	for name, c := range map[string]struct {
		wake   bool
		within time.Duration
	}{
		"Wake": {true, 0},
		"poll": {false, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := &outboxtest.Memory{}
				to := newDestination(nil)
				r := start(t, deaf{m}, to, outbox.RelayConfig{})
				r.Wake() // before anything is there
				time.Sleep(time.Hour + 300*time.Millisecond)
				write(t, m, "a", "a0")
				written := time.Since(to.start)
				if c.wake {
					r.Wake()
				}
				time.Sleep(2 * time.Second)
				got := to.seen("a0")
				if len(got) != 1 || got[0].at-written > c.within {
					t.Errorf("%+v, written at %v", got, written)
				}
			})
		})
	}
}

// deaf is a store that is no Notifier.
type deaf struct{ outbox.Store }

// An idle relay polls ever less often, up to PollMax; the first message makes it quick again.
func TestIdlePolling(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &faulty{Memory: &outboxtest.Memory{Shards: 1}}
		start(t, deaf{m}, newDestination(nil), outbox.RelayConfig{})
		time.Sleep(time.Minute)
		before := m.count("fetch")
		time.Sleep(100 * time.Second)
		if n := m.count("fetch") - before; n < 100 || n > 210 {
			t.Errorf("%d reads in 100 idle seconds, want one in half a second to a second", n)
		}
		if n := m.count("due"); n > 250 {
			t.Errorf("%d looks at the parked messages in 160 idle seconds", n)
		}
	})
}

func TestFullPagesAreReadOnAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &outboxtest.Memory{Shards: 1}
		for i := range 2000 {
			write(t, m, "", strconv.Itoa(i))
		}
		to := newDestination(nil)
		start(t, deaf{m}, to, outbox.RelayConfig{Batch: 10})
		synctest.Wait()
		if n := len(to.took("")); n != 2000 {
			t.Errorf("%d of 2000 messages without waiting", n)
		}
	})
}

// No Publish call gets more than Batch messages, and no more than Concurrency run at a time.
func TestBatchAndConcurrency(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &outboxtest.Memory{Shards: 16}
		for i := range 1000 {
			write(t, m, "", strconv.Itoa(i))
		}
		var now, most, large atomic.Int32
		p := publishFunc(func(_ context.Context, batch []outbox.Delivery, _ []error) {
			large.Store(max(large.Load(), int32(len(batch))))
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Millisecond)
			now.Add(-1)
		})
		start(t, m, p, outbox.RelayConfig{Batch: 7, Concurrency: 3})
		time.Sleep(time.Minute)
		if most.Load() != 3 || large.Load() != 7 {
			t.Errorf("%d calls at a time, the largest of %d, want 3 and 7", most.Load(), large.Load())
		}
		empty(t, m)
	})
}
