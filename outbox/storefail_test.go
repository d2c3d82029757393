package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
)

// failures counts what StoreFailed reports.
type failures struct {
	mu  sync.Mutex
	ops map[string]int
}

func (f *failures) hooks() outbox.Hooks {
	return outbox.Hooks{StoreFailed: func(_ context.Context, op string, _ error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.ops == nil {
			f.ops = map[string]int{}
		}
		f.ops[op]++
	}}
}

func (f *failures) of(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops[op]
}

// While the store cannot take acknowledgements nothing new is published, and the relay
// does not spin.
func TestOutbox37AckFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &faulty{Memory: &outboxtest.Memory{Shards: 1}}
		to := newDestination(nil)
		var f failures
		start(t, m, to, outbox.RelayConfig{Batch: 5, Hooks: f.hooks()})
		m.on(func(_ context.Context, op string) error {
			if op == "ack" {
				return errors.New("disk full")
			}
			return nil
		})
		write(t, m.Memory, "", names("", 20)...)
		time.Sleep(time.Minute)
		if n := len(to.took("")); n > 5 {
			t.Errorf("%d messages were published though none could be acknowledged", n)
		}
		if n := m.count("ack"); n < 50 || n > 90 {
			t.Errorf("%d tries in a minute, want about one a second", n)
		}
		if f.of("ack") != m.count("ack") {
			t.Errorf("%d of %d failures were reported", f.of("ack"), m.count("ack"))
		}
		m.on(nil)
		time.Sleep(5 * time.Second)
		sameSet(t, "published", to.took(""), names("", 20))
		empty(t, m)
	})
}

// The answers of the store get lost after it has done its work: everything is repeated, and
// nothing happens twice.
func TestOutbox38LostAnswers(t *testing.T) {
	for _, op := range []string{"ack", "park", "settle", "lease", "fetch", "due", "release"} {
		t.Run(op, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := &faulty{Memory: &outboxtest.Memory{}}
				var lost atomic.Int32
				m.lose(func(o string, err error) error {
					if o == op && err == nil && lost.Add(1)%3 != 0 {
						return errCut
					}
					return err
				})
				to := newDestination(nil)
				to.answers(func(d outbox.Delivery) error {
					if d.Attempt < 3 && d.Key != "k0" {
						return errBoom
					}
					return nil
				})
				start(t, m, to, outbox.RelayConfig{Policy: quick(5)})
				for i := range 50 {
					write(t, m.Memory, "k"+strconv.Itoa(i%5), "k"+strconv.Itoa(i%5)+"-"+strconv.Itoa(i/5))
				}
				time.Sleep(30 * time.Second)
				if op == "release" { // only a relay that gives something back releases
					start(t, m, to, outbox.RelayConfig{Policy: quick(5)})
				}
				time.Sleep(5 * time.Minute)
				for k := range 5 {
					key := "k" + strconv.Itoa(k)
					equal(t, key, to.took(key), names(key+"-", 10))
				}
				if n := len(to.seen("")); n != 10+3*40 {
					t.Errorf("%d attempts, want one at each of 10 messages and three at each of 40", n)
				}
				if lost.Load() == 0 {
					t.Error("no answer was lost")
				}
				empty(t, m)
			})
		})
	}
}

// Reading fails, or hangs: it is reported and tried again, without spinning.
func TestReadingFails(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	fail := func(context.Context) error { return errCut }
	for _, op := range []string{"fetch", "due", "lease"} {
		for how, do := range map[string]func(context.Context) error{"fails": fail, "hangs": hang} {
			t.Run(op+" "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					m := &faulty{Memory: &outboxtest.Memory{Shards: 1}}
					var f failures
					to := newDestination(nil)
					m.on(func(ctx context.Context, o string) error {
						if o == op {
							return do(ctx)
						}
						return nil
					})
					start(t, m, to, outbox.RelayConfig{Hooks: f.hooks(), Concurrency: 1})
					write(t, m.Memory, "a", "a0")
					send(t, m.Memory, outbox.Message{Topic: "t", Payload: []byte("later"), NotBefore: time.Now().Add(time.Second)})
					time.Sleep(time.Minute)
					if n := f.of(op); n < 4 || n > 150 {
						t.Errorf("%d failures of %s reported in a minute", n, op)
					}
					m.on(nil)
					time.Sleep(10 * time.Second)
					sameSet(t, "published", to.took(""), []string{"a0", "later"})
					empty(t, m)
				})
			})
		}
	}
}

// A shard that is owed to another relay, but could not be released, is released later. It
// is not forgotten: the relay renews it and nobody serves it.
func TestReleaseFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &faulty{Memory: &outboxtest.Memory{}}
		to := newDestination(nil)
		start(t, m, to, outbox.RelayConfig{})
		time.Sleep(time.Second)
		m.on(func(_ context.Context, op string) error {
			if op == "release" {
				return errCut
			}
			return nil
		})
		start(t, m.Memory, to, outbox.RelayConfig{})
		time.Sleep(time.Minute)
		write(t, m.Memory, "", names("", 100)...)
		time.Sleep(time.Minute)
		if n := len(to.took("")); n == 100 {
			t.Error("shards are served that are owed to another relay")
		}
		m.on(nil)
		time.Sleep(10 * time.Second)
		sameSet(t, "published", to.took(""), names("", 100))
	})
}

// checked is a store with a Check.
type checked struct {
	outbox.Store

	err error
}

func (c checked) Check(context.Context) error { return c.err }

func TestOutbox21CheckRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &faulty{Memory: &outboxtest.Memory{}}
		wrong := errors.New("sequence has CACHE 32: set it to 1")
		r, err := outbox.NewRelay(checked{m, wrong}, newDestination(nil), outbox.RelayConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Run(t.Context()); !errors.Is(err, wrong) {
			t.Error(err)
		}
		if n := m.count("lease"); n != 0 {
			t.Errorf("%d leases asked for", n)
		}
	})
}

// flaky is a store whose notifications fail now and then.
type flaky struct {
	*outboxtest.Memory

	lasts time.Duration // of one Listen; 0 = for ever

	mu      sync.Mutex
	listens int
	broken  bool
}

func (f *flaky) Listen(ctx context.Context, wake func()) error {
	f.mu.Lock()
	f.listens++
	broken := f.broken
	f.mu.Unlock()
	if broken {
		return errCut
	}
	if f.lasts > 0 {
		ctx, cancel := context.WithTimeout(ctx, f.lasts)
		defer cancel()
		return f.Memory.Listen(ctx, wake)
	}
	return f.Memory.Listen(ctx, wake)
}

// Connections that hold for a while and then break are made anew soon.
func TestOutbox25NotificationsBreakNowAndThen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &flaky{Memory: &outboxtest.Memory{Shards: 1}, lasts: 2 * time.Minute}
		start(t, m, newDestination(nil), outbox.RelayConfig{})
		time.Sleep(time.Hour)
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.listens < 28 {
			t.Errorf("listened %d times in an hour of connections that hold for two minutes", m.listens)
		}
	})
}

func TestOutbox25NotificationsFail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &flaky{Memory: &outboxtest.Memory{Shards: 1}, broken: true}
		var logged strings.Builder
		to := newDestination(nil)
		start(t, m, to, outbox.RelayConfig{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		time.Sleep(10 * time.Minute)
		m.mu.Lock()
		if m.listens < 10 || m.listens > 30 {
			t.Errorf("listened %d times in 10 minutes, want ever less often, down to once a minute", m.listens)
		}
		m.broken = false
		m.mu.Unlock()
		write(t, m.Memory, "", "polled")
		time.Sleep(2 * time.Second)
		if len(to.took("")) != 1 {
			t.Error("not found by polling")
		}
		time.Sleep(2 * time.Minute)
		before := time.Since(to.start)
		write(t, m.Memory, "", "called")
		synctest.Wait()
		if got := to.seen("called"); len(got) != 1 || got[0].at != before {
			t.Errorf("%+v, written at %v", got, before)
		}
		if !strings.Contains(logged.String(), "notifications failed") {
			t.Error("the log says nothing of it")
		}
	})
}

// Stores are unreachable at random, answers get lost, relays come and go, messages fail:
// every message is published, and those of a key are published for the first time in order.
func TestHistories(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 5
	}
	for seed := range rounds {
		t.Run(strconv.Itoa(seed), func(t *testing.T) { bubble(t, func(t *testing.T) { history(t, uint64(seed)) }) })
	}
}

func TestHooksOfOneMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		var mu sync.Mutex
		var log []string
		say := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, fmt.Sprintf(format, args...))
		}
		to := newDestination(nil)
		n := 0
		to.answers(func(outbox.Delivery) error {
			n++
			return []error{errBoom, outbox.Unavailable(errDown), nil}[n-1]
		})
		start(t, &m, to, outbox.RelayConfig{Policy: quick(3), Hooks: outbox.Hooks{
			Published: func(_ context.Context, d outbox.Delivery) { say("published %s at attempt %d", d.Payload, d.Attempt) },
			Failed: func(_ context.Context, d outbox.Delivery, err error, wait time.Duration) {
				say("failed %s at attempt %d: %v, again in %v", d.Payload, d.Attempt, err, wait)
			},
			Deferred: func(_ context.Context, d outbox.Delivery, err error) {
				say("deferred %s at attempt %d: %v", d.Payload, d.Attempt, err)
			},
			Batch: func(_ context.Context, lane uint8, n int, took time.Duration) {
				say("batch of %d in lane %d took %v", n, lane, took)
			},
			LaneDown: func(_ context.Context, lane uint8, err error) { say("lane %d down: %v", lane, err) },
			LaneUp:   func(_ context.Context, lane uint8) { say("lane %d up", lane) },
		}})
		write(t, &m, "a", "a0")
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		equal(t, "hooks", log, []string{
			"batch of 1 in lane 0 took 0s",
			"failed a0 at attempt 1: boom, again in 10s",
			"batch of 1 in lane 0 took 0s",
			"deferred a0 at attempt 2: outbox: destination unavailable: connection refused",
			"lane 0 down: outbox: destination unavailable: connection refused",
			"batch of 1 in lane 0 took 0s",
			"lane 0 up",
			"published a0 at attempt 2",
		})
	})
}
