package outbox_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
)

func TestOutbox34PublisherPanics(t *testing.T) {
	for name, die := range map[string]func(){
		"panic":        func() { panic("ouch") },
		"panic(error)": func() { panic(errBoom) },
		"Goexit":       runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := outboxtest.Memory{Shards: 1}
				to := newDestination(nil)
				p := publishFunc(func(ctx context.Context, batch []outbox.Delivery, errs []error) {
					for i, d := range batch {
						if string(d.Payload) == "a1" {
							die()
						}
						errs[i] = to.take(ctx, d)
					}
				})
				var noted notes[error]
				hooks := outbox.Hooks{
					Failed: func(_ context.Context, _ outbox.Delivery, err error, _ time.Duration) {
						noted.add(err)
					},
					DeadLettered: func(_ context.Context, _ outbox.Delivery, err error) { noted.add(err) },
				}
				r := start(t, &m, p, outbox.RelayConfig{Policy: quick(3), Hooks: hooks})
				write(t, &m, "a", names("a", 3)...)
				write(t, &m, "b", names("b", 3)...)
				time.Sleep(time.Hour)
				sameSet(t, "b", to.took("b"), names("b", 3))
				equal(t, "a", to.took("a"), []string{"a0", "a2"})
				if list := dead(t, &m); len(list) != 1 || list[0].Attempt != 3 || !strings.Contains(list[0].Err, "publisher") {
					t.Errorf("%+v", list)
				}
				failures := noted.all()
				if len(failures) != 3 {
					t.Fatalf("%d failures reported, want 3: %v", len(failures), failures)
				}
				var panicked *outbox.PanicError
				if !errors.As(failures[0], &panicked) || !strings.Contains(string(panicked.Stack), "panic_test.go") {
					t.Errorf("%v is no PanicError with a stack that leads here", failures[0])
				}
				if got := errors.Is(failures[0], errBoom); got != (name == "panic(error)") {
					t.Errorf("matches the panic's error: %t", got)
				}
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A panic of a PublisherFunc is the failure of its delivery alone.
func TestPublisherFuncPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := outboxtest.Memory{Shards: 1}
		to := newDestination(func(d outbox.Delivery) error {
			if string(d.Payload) == "a1" {
				panic("ouch")
			}
			return nil
		})
		start(t, &m, to, outbox.RelayConfig{Policy: quick(1)})
		write(t, &m, "", names("a", 3)...)
		synctest.Wait()
		equal(t, "a", to.took(""), []string{"a0", "a2"})
		if list := dead(t, &m); len(list) != 1 || list[0].Err != "outbox: publisher panicked: ouch" {
			t.Errorf("%+v", list)
		}
	})
}

func TestOutbox34PublisherThatIgnoresItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := outboxtest.Memory{Shards: 1}
		release := make(chan struct{})
		to := newDestination(nil)
		stuck := outbox.PublisherFunc(func(ctx context.Context, d outbox.Delivery) error {
			if d.Lane == 1 {
				<-release
			}
			return to.take(ctx, d)
		})
		r := start(t, &m, stuck, outbox.RelayConfig{})
		send(t, &m, outbox.Message{Topic: "t", Lane: 1, Key: "a", Payload: []byte("a0")})
		time.Sleep(10 * time.Second) // a publication takes at most 7.5s and the grace

		// The lane's shards are free for others, this relay goes on with other lanes.
		write(t, &m, "b", "b0")
		other := newDestination(nil)
		second := start(t, &m, other, outbox.RelayConfig{Lanes: []uint8{1}})
		time.Sleep(10 * time.Second)
		equal(t, "the other lane", to.took(""), []string{"b0"})
		equal(t, "the stuck lane, by another relay", other.took(""), []string{"a0"})
		if err := second.stop(); err != nil {
			t.Error(err)
		}

		// It comes back when the call returns.
		close(release)
		time.Sleep(time.Second)
		send(t, &m, outbox.Message{Topic: "t", Lane: 1, Key: "a", Payload: []byte("a1")})
		synctest.Wait()
		if n := len(to.seen("a1")); n != 1 {
			t.Errorf("%d attempts in the lane that is free again", n)
		}
		empty(t, &m)
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOutbox34RunReportsAPublisherThatNeverReturned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		release := make(chan struct{})
		defer close(release)
		r := start(t, &m, outbox.PublisherFunc(func(context.Context, outbox.Delivery) error { <-release; return nil }), outbox.RelayConfig{})
		write(t, &m, "a", "a0")
		time.Sleep(10 * time.Second)
		stopped := time.Now()
		if err := r.stop(); err == nil || !strings.Contains(err.Error(), "lane 0: outbox: publisher did not return") {
			t.Error(err)
		}
		if took := time.Since(stopped); took > 10*time.Second {
			t.Errorf("Run took %v to end", took)
		}
	})
}
