package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
	"example.com/once/retry"
)

// quick is a policy with a constant wait.
func quick(attempts int) *retry.Policy {
	return &retry.Policy{MaxAttempts: attempts, Backoff: retry.Constant(10 * time.Second)}
}

func TestPublishesAllInOrderOfEachKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		to := newDestination(nil)
		start(t, &m, to, outbox.RelayConfig{})
		for i := range 1000 {
			write(t, &m, "k"+strconv.Itoa(i%10), strconv.Itoa(i))
		}
		write(t, &m, "", names("free", 100)...)
		time.Sleep(time.Minute)
		for k := range 10 {
			var want []string
			for i := k; i < 1000; i += 10 {
				want = append(want, strconv.Itoa(i))
			}
			equal(t, "key "+strconv.Itoa(k), to.took("k"+strconv.Itoa(k)), want)
		}
		if n := len(to.seen("")); n != 1100 {
			t.Errorf("%d publications of 1100 messages", n)
		}
		empty(t, &m)
	})
}

func TestOutbox30FollowersWaitForTheirHeadAndNobodyElseDoes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		to := newDestination(failing("a0", 4, errBoom))
		start(t, &m, to, outbox.RelayConfig{Policy: quick(12)})
		write(t, &m, "a", names("a", 5)...)
		write(t, &m, "b", names("b", 5)...)
		time.Sleep(25 * time.Second)
		equal(t, "the other key", to.took("b"), names("b", 5))
		equal(t, "the failing key, while it fails", to.took("a"), nil)
		write(t, &m, "a", "a5")
		time.Sleep(5 * time.Minute)
		equal(t, "the failing key", to.took("a"), names("a", 6))
		attempts := to.seen("a0")
		if len(attempts) != 5 {
			t.Fatalf("%d attempts at the head, want 5", len(attempts))
		}
		for i, a := range attempts {
			if a.number != i+1 || a.id != attempts[0].id {
				t.Errorf("attempt %d is number %d with id %s, was %s", i+1, a.number, a.id, attempts[0].id)
			}
			if i > 0 && a.at-attempts[i-1].at < 10*time.Second {
				t.Errorf("attempt %d came %v after the one before", i+1, a.at-attempts[i-1].at)
			}
		}
		empty(t, &m)
	})
}

func TestOutbox29AStuckKeyLeavesTheHotTable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		to := newDestination(failing("a0", -1, errBoom))
		start(t, &m, to, outbox.RelayConfig{Policy: &retry.Policy{MaxAttempts: -1, Backoff: retry.Constant(time.Hour)}})
		const followers, others = 3000, 3000
		for i := range followers {
			write(t, &m, "a", "a"+strconv.Itoa(i))
			write(t, &m, "b"+strconv.Itoa(i%100), "b"+strconv.Itoa(i))
		}
		time.Sleep(time.Minute)
		if s := stats(t, &m); s.Hot != 0 || s.Parked != followers {
			t.Errorf("%+v, want nothing hot and %d parked", s, followers)
		}
		if n := len(to.took("")); n != others {
			t.Errorf("%d of %d other messages were published", n, others)
		}
		if n := len(to.seen("a0")); n != 1 {
			t.Errorf("%d attempts within the first wait", n)
		}
		to.answers(nil)
		time.Sleep(2 * time.Hour)
		equal(t, "the stuck key, in the end", to.took("a"), names("a", followers))
		empty(t, &m)
	})
}

func TestOutbox28PermanentFailureIsDeadAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		exhausted outbox.Exhausted
		goesOn    []string
	}{
		"SkipHead": {outbox.SkipHead, []string{"a1", "a2"}},
		"BlockKey": {outbox.BlockKey, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var m outboxtest.Memory
				to := newDestination(failing("a0", -1, retry.Stop(errBoom)))
				var letters notes[string]
				start(t, &m, to, outbox.RelayConfig{Exhausted: c.exhausted, Hooks: outbox.Hooks{
					DeadLettered: func(_ context.Context, d outbox.Delivery, err error) {
						letters.add(fmt.Sprint(string(d.Payload), " ", err))
					},
				}})
				write(t, &m, "a", names("a", 3)...)
				write(t, &m, "b", "b0")
				time.Sleep(time.Minute)
				equal(t, "the key", to.took("a"), c.goesOn)
				equal(t, "the other key", to.took("b"), []string{"b0"})
				equal(t, "dead letters", letters.all(), []string{"a0 boom"})
				list := dead(t, &m)
				if len(list) != 1 || list[0].Attempt != 1 || list[0].Err != "boom" || list[0].Blocks != (c.exhausted == outbox.BlockKey) {
					t.Errorf("%+v", list)
				}
			})
		})
	}
}

func TestExhaustedAttempts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		to := newDestination(failing("a0", -1, errBoom))
		start(t, &m, to, outbox.RelayConfig{Policy: quick(3), Exhausted: outbox.BlockKey})
		write(t, &m, "a", names("a", 3)...)
		time.Sleep(time.Hour)
		if n := len(to.seen("")); n != 3 {
			t.Errorf("%d attempts, want 3", n)
		}
		if list := dead(t, &m); len(list) != 1 || list[0].Attempt != 3 || !list[0].Blocks {
			t.Errorf("%+v", list)
		}
	})
}

// What is parked behind a blocked head leaves in order after a redrive or a skip.
func TestRedriveAndSkipUnblockAKeyInOrder(t *testing.T) {
	for name, want := range map[string][]string{
		"redrive": {"a0", "a1", "a2", "a3"},
		"skip":    {"a1", "a2", "a3"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var m outboxtest.Memory
				to := newDestination(failing("a0", -1, errBoom))
				start(t, &m, to, outbox.RelayConfig{Policy: quick(2), Exhausted: outbox.BlockKey})
				write(t, &m, "a", names("a", 3)...)
				time.Sleep(time.Minute)
				equal(t, "blocked", to.took("a"), nil)
				to.answers(nil)
				do := m.Redrive
				if name == "skip" {
					do = m.Skip
				}
				if n, err := do(t.Context(), outbox.Filter{Key: "a"}); n != 1 || err != nil {
					t.Fatal(n, err)
				}
				write(t, &m, "a", "a3")
				time.Sleep(time.Minute)
				equal(t, "unblocked", to.took("a"), want)
				if last := to.seen("a0"); name == "redrive" && last[len(last)-1].number != 1 {
					t.Errorf("the redriven message has attempt %d, want a new start", last[len(last)-1].number)
				}
				empty(t, &m)
			})
		})
	}
}

// A publisher that is not order-safe never gets two messages of a key at a time; one that
// is gets them in order.
func TestBatches(t *testing.T) {
	for _, safe := range []bool{false, true} {
		t.Run(fmt.Sprintf("order-safe %t", safe), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := outboxtest.Memory{Shards: 1}
				for i := range 30 {
					write(t, &m, "k"+strconv.Itoa(i%3), strconv.Itoa(i))
				}
				write(t, &m, "", names("free", 10)...)
				to := newDestination(nil)
				var noted notes[int]
				batches := batching{destination: to, safe: safe, check: func(batch []outbox.Delivery) {
					noted.add(len(batch))
					keys := map[string]int{}
					for _, d := range batch {
						if keys[d.Key]++; !safe && d.Key != "" && keys[d.Key] > 1 {
							t.Errorf("two messages of key %s in a batch", d.Key)
						}
					}
				}}
				start(t, &m, batches, outbox.RelayConfig{})
				time.Sleep(time.Minute)
				sizes := noted.all()
				want := []int{13, 3, 3, 3, 3, 3, 3, 3, 3, 3}
				if safe {
					want = []int{40}
				}
				if !slices.Equal(sizes, want) {
					t.Errorf("batches of %v, want %v", sizes, want)
				}
				empty(t, &m)
			})
		})
	}
}

// batching is a publisher of whole batches.
type batching struct {
	*destination

	safe  bool
	check func(batch []outbox.Delivery)
}

func (b batching) OrderSafe() bool { return b.safe }

func (b batching) Publish(ctx context.Context, batch []outbox.Delivery, errs []error) {
	if b.check != nil {
		b.check(batch)
	}
	for i, d := range batch {
		errs[i] = b.take(ctx, d)
	}
}

func TestOutbox31PartOfABatchFails(t *testing.T) {
	for _, safe := range []bool{false, true} {
		t.Run(fmt.Sprintf("order-safe %t", safe), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := outboxtest.Memory{Shards: 1}
				for i := range 12 {
					write(t, &m, "k"+strconv.Itoa(i%3), "k"+strconv.Itoa(i%3)+"-"+strconv.Itoa(i/3))
				}
				// Once one of k1 has failed in a batch, the later ones of the batch fail too.
				to := newDestination(failing("k1-1", 2, errBoom))
				publish := publishFunc(func(ctx context.Context, batch []outbox.Delivery, errs []error) {
					broken := false
					for i, d := range batch {
						if broken && d.Key == "k1" {
							errs[i] = errBoom
							continue
						}
						errs[i] = to.take(ctx, d)
						broken = broken || errs[i] != nil
					}
				})
				start(t, &m, orderSafe{publish, safe}, outbox.RelayConfig{Policy: quick(5)})
				time.Sleep(5 * time.Second)
				equal(t, "k1 before the retry", to.took("k1"), []string{"k1-0"})
				equal(t, "k0 before the retry", to.took("k0"), names("k0-", 4))
				equal(t, "k2 before the retry", to.took("k2"), names("k2-", 4))
				time.Sleep(time.Minute)
				equal(t, "k1", to.took("k1"), names("k1-", 4))
				empty(t, &m)
			})
		})
	}
}

type publishFunc func(ctx context.Context, batch []outbox.Delivery, errs []error)

func (f publishFunc) Publish(ctx context.Context, batch []outbox.Delivery, errs []error) {
	f(ctx, batch, errs)
}

type orderSafe struct {
	outbox.Publisher

	safe bool
}

func (o orderSafe) OrderSafe() bool { return o.safe }

// A publisher that breaks the promise of OrderSafe gets the rest again, in order, and does
// not make the relay spin.
func TestOrderSafePublisherThatSkipsAMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := outboxtest.Memory{Shards: 1}
		write(t, &m, "a", "a0", "a1")
		to := newDestination(nil)
		var calls atomic.Int32
		p := publishFunc(func(ctx context.Context, batch []outbox.Delivery, errs []error) {
			calls.Add(1)
			for i, d := range batch {
				if errs[i] = outbox.ErrNotSent; string(d.Payload) != "a0" || calls.Load() > 60 {
					errs[i] = to.take(ctx, d)
				}
			}
		})
		start(t, &m, orderSafe{p, true}, outbox.RelayConfig{})
		time.Sleep(3 * time.Second)
		if n := calls.Load(); n > 25 {
			t.Errorf("%d calls in 3s", n)
		}
		time.Sleep(2 * time.Minute)
		got := to.took("a")
		equal(t, "the last two", got[max(0, len(got)-2):], []string{"a0", "a1"})
		empty(t, &m)
	})
}

// More followers than are read at a time leave at once, one page after the other.
func TestFollowersLeaveAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := outboxtest.Memory{Shards: 1}
		to := newDestination(failing("a0", 1, errBoom))
		start(t, &m, to, outbox.RelayConfig{Batch: 1, Policy: quick(3)})
		write(t, &m, "a", names("a", 10)...)
		time.Sleep(time.Minute)
		equal(t, "a", to.took("a"), names("a", 10))
		if first, last := to.seen("a0")[1].at, to.seen("a9")[0].at; first != last {
			t.Errorf("the head left at %v, the last follower at %v", first, last)
		}
	})
}
