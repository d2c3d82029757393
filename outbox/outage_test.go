package outbox_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
	"example.com/once/retry"
)

var errDown = errors.New("connection refused")

// lanes counts what the hooks say of a lane.
type lanes struct {
	mu                 sync.Mutex
	down, up, deferred int
	upAt               time.Time
}

func (l *lanes) hooks() outbox.Hooks {
	count := func(n *int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		*n++
		if n == &l.up {
			l.upAt = time.Now()
		}
	}
	return outbox.Hooks{
		LaneDown: func(context.Context, uint8, error) { count(&l.down) },
		LaneUp:   func(context.Context, uint8) { count(&l.up) },
		Deferred: func(context.Context, outbox.Delivery, error) { count(&l.deferred) },
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
				l.mu.Lock()
				if l.down != 1 || l.up != 0 || probes-l.deferred > 1 { // one may be under way
					t.Errorf("down %d times, up %d, %d deferred at %d probes", l.down, l.up, l.deferred, probes)
				}
				l.mu.Unlock()
				to.answers(nil)
				time.Sleep(time.Minute)
				synctest.Wait()
				if all := to.seen(""); all[len(all)-1].at != l.upAt.Sub(to.start) {
					t.Errorf("the last message went out at %v, the lane was up at %v: some workers slept on", all[len(all)-1].at, l.upAt.Sub(to.start))
				}
				for k := range 10 {
					key := "k" + strconv.Itoa(k)
					equal(t, key, to.took(key), names(key+"-", 10))
				}
				if l.down != 1 || l.up != 1 {
					t.Errorf("down %d times, up %d", l.down, l.up)
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

// One message at which the destination seems to be down, always: the others flow, and it
// ends as a dead letter like any that fails.
func TestMessagesThatLookLikeAnOutage(t *testing.T) {
	for name, bad := range map[string]error{"Unavailable": outbox.Unavailable(errDown), "timeout": errHang} {
		for _, poisonous := range []int{1, 3} {
			for _, whole := range []bool{false, true} {
				t.Run(name+" of "+strconv.Itoa(poisonous)+" whole "+strconv.FormatBool(whole), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						m := outboxtest.Memory{Shards: 1}
						to := newDestination(func(d outbox.Delivery) error {
							if strings.HasPrefix(string(d.Payload), "bad") {
								return bad
							}
							return nil
						})
						p := hangable(to)
						if whole { // the batch succeeds or fails as one
							each := p
							p = publishFunc(func(ctx context.Context, batch []outbox.Delivery, errs []error) {
								each.Publish(ctx, batch, errs)
								for _, err := range errs {
									if err != nil {
										for i := range errs {
											errs[i] = err
										}
										return
									}
								}
							})
						}
						start(t, &m, p, outbox.RelayConfig{Policy: quick(4)})
						for i := range 200 {
							if i < poisonous {
								write(t, &m, "", "bad"+strconv.Itoa(i))
							}
							write(t, &m, "", "good"+strconv.Itoa(i))
						}
						time.Sleep(10 * time.Minute)
						good := map[string]bool{}
						for _, n := range to.took("") {
							good[n] = true
						}
						if len(good) != 200 {
							t.Errorf("%d of 200 good messages were published within 10 minutes", len(good))
						}
						for i := range 360 { // were nothing else to get through, it would look like an outage for ever
							write(t, &m, "", "more"+strconv.Itoa(i))
							time.Sleep(10 * time.Second)
						}
						if n := len(dead(t, &m)); n != poisonous {
							t.Errorf("%d dead letters, want %d: %+v", n, poisonous, stats(t, &m))
						}
						write(t, &m, "", "last")
						time.Sleep(time.Minute)
						if len(to.seen("last")) != 1 {
							t.Error("the lane is down though only dead letters bring it down")
						}
					})
				})
			}
		}
	}
}

// Others get through in the same batches as the message that looks like an outage, so the
// lane never goes down. The first time, it has spent no attempt.
func TestMessageThatLooksLikeAnOutageAmongOthers(t *testing.T) {
	for name, c := range map[string]struct {
		bad      error
		attempts []int
	}{
		"Unavailable": {outbox.Unavailable(errDown), []int{1, 1, 2, 3}},
		"timeout":     {errHang, []int{1, 1, 1, 2, 3}}, // first among others, then by itself
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := outboxtest.Memory{Shards: 1}
				to := newDestination(func(d outbox.Delivery) error {
					if string(d.Payload) == "bad" {
						return c.bad
					}
					return nil
				})
				each := hangable(to)
				p := publishFunc(func(ctx context.Context, batch []outbox.Delivery, errs []error) {
					time.Sleep(200 * time.Millisecond)
					var wg sync.WaitGroup
					for i := range batch {
						wg.Go(func() { each.Publish(ctx, batch[i:i+1], errs[i:i+1]) })
					}
					wg.Wait()
				})
				var l lanes
				start(t, &m, p, outbox.RelayConfig{Policy: quick(3), Hooks: l.hooks(), LeaseTTL: 4 * time.Second})
				for i := range 5000 {
					if i == 100 {
						write(t, &m, "bad", "bad", "follower")
					}
					write(t, &m, "", "good"+strconv.Itoa(i))
					time.Sleep(20 * time.Millisecond)
				}
				time.Sleep(time.Minute)
				if l.down != 0 {
					t.Errorf("the lane went down %d times", l.down)
				}
				var numbers []int
				for _, a := range to.seen("bad") {
					numbers = append(numbers, a.number)
				}
				if !slices.Equal(numbers, c.attempts) {
					t.Errorf("attempts %v, want %v", numbers, c.attempts)
				}
				if len(dead(t, &m)) != 1 || len(to.seen("follower")) != 1 {
					t.Error("no dead letter, or its follower was not published")
				}
			})
		})
	}
}

// An outage begins in the middle of a batch, and nothing else is to be sent during it: the
// message that met it spends no attempt, however often it is tried. A success that comes in
// later, but was under way before, is no proof against it.
func TestOutbox27AnOutageThatBeginsInABatch(t *testing.T) {
	for name, outage := range map[string]error{"Unavailable": outbox.Unavailable(errDown), "timeout": errHang} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := outboxtest.Memory{Shards: 2}
				to := newDestination(func(d outbox.Delivery) error {
					switch string(d.Payload) {
					case "slow":
						time.Sleep(7 * time.Second)
					case "bad":
						return outage
					}
					return nil
				})
				slow := outbox.Message{Topic: "t", Key: "slow", Payload: []byte("slow")}
				other := outbox.Message{Topic: "t", Payload: []byte("good")}
				for i := 0; outbox.ShardOf(&slow, 2) == outbox.ShardOf(&other, 2); i++ {
					other.Key = "k" + strconv.Itoa(i)
				}
				bad := other
				bad.Key, bad.Payload = "", []byte("bad")
				for outbox.ShardOf(&bad, 2) != outbox.ShardOf(&other, 2) {
					bad.ID = uuid.Must(uuid.NewV7())
				}
				send(t, &m, slow, other, bad)
				start(t, &m, hangable(to), outbox.RelayConfig{})
				time.Sleep(time.Hour)
				to.answers(nil)
				time.Sleep(time.Minute)
				got := to.seen("bad")
				if last := got[len(got)-1]; len(got) < 3 || last.number != 1 || last.outcome != nil {
					t.Errorf("%d attempts, the last: %+v", len(got), last)
				}
				empty(t, &m)
			})
		})
	}
}

// A message that was to blame once is not to blame for an outage that comes later.
func TestOutbox27AnOutageAfterAFailureThatLookedLikeOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := outboxtest.Memory{Shards: 1}
		to := newDestination(failing("bad", -1, outbox.Unavailable(errDown)))
		start(t, &m, to, outbox.RelayConfig{Policy: quick(12)})
		write(t, &m, "", "good")
		write(t, &m, "", "bad")
		for range 30 { // it fails alone: others got through before and after
			time.Sleep(time.Second)
			write(t, &m, "", "good")
		}
		// Nothing else is sent from now on: it may be an outage.
		time.Sleep(time.Minute)
		before := to.seen("bad")
		time.Sleep(time.Hour)
		after := to.seen("bad")
		was, is := before[len(before)-1].number, after[len(after)-1].number
		if was < 3 || is != was || len(after) == len(before) {
			t.Errorf("attempt %d after a minute, attempt %d an hour later", was, is)
		}
	})
}

// What was under way when the lane went down proves nothing: the lane stays down.
func TestALateSuccessDoesNotShutTheBreaker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := outboxtest.Memory{Shards: 2}
		to := newDestination(nil)
		p := outbox.PublisherFunc(func(ctx context.Context, d outbox.Delivery) error {
			if d.Key == "slow" {
				time.Sleep(time.Second)
				return to.take(ctx, d)
			}
			to.see(d, errDown)
			return outbox.Unavailable(errDown)
		})
		slow := outbox.Message{Topic: "t", Key: "slow", Payload: []byte("slow")}
		other := outbox.Message{Topic: "t", Payload: []byte("other")}
		for i := 0; outbox.ShardOf(&slow, 2) == outbox.ShardOf(&other, 2); i++ {
			other.Key = strconv.Itoa(i)
		}
		var l lanes
		start(t, &m, p, outbox.RelayConfig{Hooks: l.hooks()})
		send(t, &m, slow)
		synctest.Wait()
		send(t, &m, other)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if l.down != 1 || l.up != 0 || len(to.seen("slow")) != 1 || len(to.seen("other")) != 1 {
			t.Errorf("down %d times, up %d times, attempts: %+v", l.down, l.up, to.seen(""))
		}
	})
}

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
				var failures []error
				hooks := outbox.Hooks{
					Failed: func(_ context.Context, _ outbox.Delivery, err error, _ time.Duration) {
						failures = append(failures, err)
					},
					DeadLettered: func(_ context.Context, _ outbox.Delivery, err error) { failures = append(failures, err) },
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
				if len(failures) != 3 {
					t.Fatalf("%d failures reported, want 3: %v", len(failures), failures)
				}
				var panicked *outbox.PanicError
				if !errors.As(failures[0], &panicked) || !strings.Contains(string(panicked.Stack), "outage_test.go") {
					t.Errorf("%#v", failures[0])
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

// A publisher that says of everything that it was not sent does not make the relay spin.
func TestNothingSentIsAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		calls := 0
		p := publishFunc(func(_ context.Context, _ []outbox.Delivery, errs []error) {
			calls++
			for i := range errs {
				errs[i] = outbox.ErrNotSent
			}
		})
		start(t, &m, p, outbox.RelayConfig{Concurrency: 1})
		write(t, &m, "a", names("a", 10)...)
		time.Sleep(time.Minute)
		synctest.Wait()
		if calls < 5 || calls > 15 {
			t.Errorf("%d calls in a minute, want one probe in 5s", calls)
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
