package outbox_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
	"example.com/once/retry"
)

var errDown = errors.New("connection refused")

// lanes counts what the hooks say of a lane.
type lanes struct {
	mu     sync.Mutex
	counts laneCounts
}

type laneCounts struct {
	down, up, deferred int
	upAt               time.Time
}

func (l *lanes) now() laneCounts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

func (l *lanes) hooks() outbox.Hooks {
	note := func(f func(*laneCounts)) {
		l.mu.Lock()
		defer l.mu.Unlock()
		f(&l.counts)
	}
	return outbox.Hooks{
		LaneDown: func(context.Context, uint8, error) { note(func(c *laneCounts) { c.down++ }) },
		LaneUp:   func(context.Context, uint8) { note(func(c *laneCounts) { c.up, c.upAt = c.up+1, time.Now() }) },
		Deferred: func(context.Context, outbox.Delivery, error) { note(func(c *laneCounts) { c.deferred++ }) },
	}
}

func TestOutbox27AnOutageSpendsNoAttempts(t *testing.T) {
	for name, outage := range map[string]error{
		"Unavailable": outbox.Unavailable(errDown),
		"timeout":     errHang,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var m outboxtest.Memory
				to := newDestination(nil)
				p := publishFunc(func(ctx context.Context, batch []outbox.Delivery, errs []error) {
					hangable(to).Publish(ctx, batch, errs)
				})
				var l lanes
				start(t, &m, p, outbox.RelayConfig{Hooks: l.hooks()})
				to.answers(func(d outbox.Delivery) error {
					if d.Lane == 0 {
						return outage
					}
					return nil
				})
				send(t, &m, outbox.Message{Topic: "t", Lane: 1, Key: "first", Payload: []byte("first of its lane")})
				for i := range 100 {
					write(t, &m, "k"+strconv.Itoa(i%10), "k"+strconv.Itoa(i%10)+"-"+strconv.Itoa(i/10))
				}
				time.Sleep(30 * time.Minute)
				for i := range 50 { // the other lane
					send(t, &m, outbox.Message{Topic: "t", Lane: 1, Key: "other", Payload: []byte(strconv.Itoa(i))})
				}
				synctest.Wait()
				equal(t, "the other lane, at once", to.took("other"), names("", 50))
				time.Sleep(30 * time.Minute)
				synctest.Wait()

				probes := 0
				for _, a := range to.seen("") {
					if a.number != 1 {
						t.Fatalf("attempt %d at %s", a.number, a.name)
					}
					if a.outcome != nil {
						probes++
					}
				}
				if probes < 200 || probes > 820 {
					t.Errorf("%d probes in an hour, want about one in 5s", probes)
				}
				if c := l.now(); c.down != 1 || c.up != 0 || probes-c.deferred > 1 { // one may be under way
					t.Errorf("down %d times, up %d, %d deferred at %d probes", c.down, c.up, c.deferred, probes)
				}
				to.answers(nil)
				time.Sleep(time.Minute)
				synctest.Wait()
				c, all := l.now(), to.seen("")
				if last, up := all[len(all)-1].at, c.upAt.Sub(to.start); last != up {
					t.Errorf("the last message went out at %v, the lane was up at %v: some workers slept on", last, up)
				}
				for k := range 10 {
					key := "k" + strconv.Itoa(k)
					equal(t, key, to.took(key), names(key+"-", 10))
				}
				if c.down != 1 || c.up != 1 {
					t.Errorf("down %d times, up %d", c.down, c.up)
				}
				empty(t, &m)
			})
		})
	}
}

// errHang makes a hangable publisher wait for the end of its context.
var errHang = errors.New("hangs")

func hangable(to *destination) outbox.Publisher {
	return outbox.PublisherFunc(func(ctx context.Context, d outbox.Delivery) error {
		err := to.take(ctx, d)
		if errors.Is(err, errHang) {
			<-ctx.Done()
			return ctx.Err()
		}
		return err
	})
}

func TestUnavailableWithAWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		to := newDestination(failing("a0", 1, outbox.Unavailable(retry.After(errDown, 10*time.Minute))))
		start(t, &m, to, outbox.RelayConfig{})
		write(t, &m, "a", names("a", 3)...)
		write(t, &m, "b", names("b", 3)...)
		time.Sleep(10*time.Minute - time.Second)
		if n := len(to.seen("")); n > 4 { // a0 may come after the others
			t.Errorf("%d attempts before the wait is over", n)
		}
		time.Sleep(2 * time.Minute)
		equal(t, "a", to.took("a"), names("a", 3))
		equal(t, "b", to.took("b"), names("b", 3))
	})
}

// A publisher that says of everything that it was not sent does not make the relay spin.
func TestNothingSentIsAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		var calls atomic.Int32
		p := publishFunc(func(_ context.Context, _ []outbox.Delivery, errs []error) {
			calls.Add(1)
			for i := range errs {
				errs[i] = outbox.ErrNotSent
			}
		})
		start(t, &m, p, outbox.RelayConfig{Concurrency: 1})
		write(t, &m, "a", names("a", 10)...)
		time.Sleep(time.Minute)
		if n := calls.Load(); n < 5 || n > 15 {
			t.Errorf("%d calls in a minute, want one probe in 5s", n)
		}
		if s := stats(t, &m); s.Hot != 10 {
			t.Errorf("%+v", s)
		}
	})
}

// ErrNotSent spends no attempt and is sent again with the next batch.
func TestNotSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := outboxtest.Memory{Shards: 1}
		to := newDestination(nil)
		p := publishFunc(func(ctx context.Context, batch []outbox.Delivery, errs []error) {
			for i, d := range batch {
				if errs[i] = outbox.ErrNotSent; i < 3 {
					errs[i] = to.take(ctx, d)
				}
			}
		})
		write(t, &m, "", names("a", 10)...)
		start(t, &m, p, outbox.RelayConfig{})
		synctest.Wait()
		equal(t, "sent", to.took(""), names("a", 10))
		for _, a := range to.seen("") {
			if a.number != 1 {
				t.Errorf("%s was sent as attempt %d", a.name, a.number)
			}
		}
	})
}

func TestRetryAfterIsTheLeastWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		to := newDestination(failing("a0", 1, retry.After(errBoom, 10*time.Minute)))
		start(t, &m, to, outbox.RelayConfig{})
		write(t, &m, "a", "a0")
		write(t, &m, "b", "b0")
		time.Sleep(15 * time.Minute)
		a := to.seen("a0")
		if len(a) != 2 || a[1].at-a[0].at < 10*time.Minute || a[1].number != 2 {
			t.Errorf("%+v", a)
		}
		if b := to.seen("b0"); len(b) != 1 || b[0].at != 0 {
			t.Errorf("another message waited: %+v", b)
		}
	})
}
