package outbox_test

import (
	"context"
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
)

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
				if n := l.now().down; n != 0 {
					t.Errorf("the lane went down %d times", n)
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
						time.Sleep(4 * time.Second)
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
				start(t, &m, hangable(to), outbox.RelayConfig{})
				send(t, &m, slow)
				synctest.Wait() // it is under way
				send(t, &m, other, bad)
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
		if c := l.now(); c.down != 1 || c.up != 0 || len(to.seen("slow")) != 1 || len(to.seen("other")) != 1 {
			t.Errorf("down %d times, up %d times, attempts: %+v", c.down, c.up, to.seen(""))
		}
	})
}
