package outboxtest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
	"example.com/once/retry"
)

// queue is a destination in memory. It takes several messages of a key in order.
type queue struct {
	mu     sync.Mutex
	list   []outbox.Message
	down   bool
	hanged chan struct{} // while it hangs

	publish func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) // nil = right
}

var errQueue = errors.New("queue: closed")

func (q *queue) OrderSafe() bool { return true }

func (q *queue) Publish(ctx context.Context, batch []outbox.Delivery, errs []error) {
	if q.publish != nil {
		q.publish(q, ctx, batch, errs)
		return
	}
	q.take(ctx, batch, errs)
}

// take is the right way to publish.
func (q *queue) take(ctx context.Context, batch []outbox.Delivery, errs []error) {
	for i, d := range batch {
		if ctx.Err() != nil {
			errs[i] = outbox.ErrNotSent
			continue
		}
		errs[i] = q.put(ctx, d)
	}
}

func (q *queue) put(ctx context.Context, d outbox.Delivery) error {
	q.mu.Lock()
	down, hanged := q.down, q.hanged
	q.mu.Unlock()
	switch {
	case down:
		return outbox.Unavailable(errQueue)
	case d.Topic == "forbidden":
		return retry.Stop(errors.New("queue: forbidden"))
	}
	if hanged != nil {
		select {
		case <-hanged:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	q.add(d)
	return nil
}

func (q *queue) add(d outbox.Delivery) {
	m := d.Message
	m.Payload = slices.Clone(m.Payload)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append(q.list, m)
}

func (q *queue) destination() Destination {
	return Destination{
		Publisher: q,
		Received: func(context.Context) ([]outbox.Message, error) {
			q.mu.Lock()
			defer q.mu.Unlock()
			return slices.Clone(q.list), nil
		},
		Keys: true, Headers: true,
		Break: func() func() {
			q.set(func() { q.down = true })
			return func() { q.set(func() { q.down = false }) }
		},
		Hang: func() func() {
			q.set(func() { q.hanged = make(chan struct{}) })
			return func() { q.set(func() { close(q.hanged); q.hanged = nil }) }
		},
		Refused: &outbox.Message{Topic: "forbidden", Payload: []byte("x")},
	}
}

func (q *queue) set(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f()
}

func TestPublisherKit(t *testing.T) {
	RunPublisher(t, func(testing.TB) Destination { return new(queue).destination() }, Virtual())
}

func TestPublisherKitOfAFunc(t *testing.T) {
	RunPublisher(t, func(testing.TB) Destination {
		q := &queue{}
		d := q.destination()
		d.Publisher = outbox.PublisherFunc(q.put)
		return d
	}, Virtual())
}

// brokenPublishers are publishers by what is wrong with them.
func brokenPublishers() map[string]func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
	return map[string]func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error){
		"it buffers, and says yes at once": func(q *queue, ctx context.Context, batch []outbox.Delivery, _ []error) {
			if q.down || q.hanged != nil {
				return
			}
			q.take(ctx, batch, make([]error, len(batch)))
		},
		"it loses the last of a batch": func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
			if len(batch) > 1 {
				batch = batch[:len(batch)-1]
			}
			q.take(ctx, batch, errs[:len(batch)])
		},
		"each attempt has an ID of its own": func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
			batch = slices.Clone(batch)
			for i := range batch {
				batch[i].ID = uuid.New()
			}
			q.take(ctx, batch, errs)
		},
		"an outage is a failure of the message": func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
			q.take(ctx, batch, errs)
			for i, err := range errs {
				if errors.Is(err, outbox.ErrUnavailable) {
					errs[i] = errQueue
				}
			}
		},
		"an outage is final": func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
			q.take(ctx, batch, errs)
			for i, err := range errs {
				if errors.Is(err, outbox.ErrUnavailable) {
					errs[i] = retry.Stop(errQueue)
				}
			}
		},
		"a refusal is not final": func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
			q.take(ctx, batch, errs)
			for i, err := range errs {
				if retry.Classify(err).Class == retry.Permanent {
					errs[i] = errQueue
				}
			}
		},
		"one error fails the batch": func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
			q.take(ctx, batch, errs)
			if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
				for j := range errs {
					errs[j] = errs[i]
				}
			}
		},
		"it ignores its context": func(q *queue, _ context.Context, batch []outbox.Delivery, errs []error) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			q.take(ctx, batch, errs)
		},
		"it says yes to what it did not get to": func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
			q.take(ctx, batch, errs)
			for i, err := range errs {
				if errors.Is(err, outbox.ErrNotSent) {
					errs[i] = nil
				}
			}
		},
		"it changes payloads": func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
			q.take(ctx, batch, errs)
			for _, d := range batch {
				if len(d.Payload) > 0 {
					d.Payload[0]++
				}
			}
		},
		"it keeps payloads": func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
			q.take(ctx, batch, errs)
			q.set(func() {
				for _, d := range batch {
					if i := slices.IndexFunc(q.list, func(m outbox.Message) bool { return m.ID == d.ID }); i >= 0 {
						q.list[i].Payload = d.Payload
					}
				}
			})
		},
		"a batch goes out backwards": func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
			batch = slices.Clone(batch)
			slices.Reverse(batch)
			q.take(ctx, batch, errs)
			slices.Reverse(errs)
		},
		"the latest comes first": func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
			q.take(ctx, batch, errs)
			q.set(func() {
				slices.SortStableFunc(q.list, func(a, b outbox.Message) int { return -slices.Compare(a.ID[:], b.ID[:]) })
			})
		},
		"empty payloads are left out": func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
			for i := range batch {
				if len(batch[i].Payload) > 0 {
					q.take(ctx, batch[i:i+1], errs[i:i+1])
				}
			}
		},
		"one call at a time": func(q *queue, ctx context.Context, batch []outbox.Delivery, errs []error) {
			if !q.mu.TryLock() {
				return
			}
			q.mu.Unlock()
			n := 0
			q.set(func() { n = len(q.list) })
			time.Sleep(time.Millisecond)
			changed := false
			q.set(func() { changed = n != len(q.list) })
			if changed {
				for i := range errs {
					errs[i] = errors.New("queue: busy")
				}
				return
			}
			q.take(ctx, batch, errs)
		},
	}
}

func TestEveryBrokenPublisherFails(t *testing.T) {
	useful := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(brokenPublishers())) {
		t.Run(name, func(t *testing.T) {
			var by []string
			for _, k := range publisherCases() {
				synctest.Test(t, func(t *testing.T) {
					q := &queue{publish: brokenPublishers()[name]}
					failures, _ := execute(t.Context(), newOptions([]Option{Virtual()}), func(r *recorder, ctx context.Context) {
						k.run(&P{recorder: r, ctx: ctx, Destination: q.destination()})
					}).result()
					if len(failures) > 0 {
						by = append(by, k.number())
						useful[k.number()] = true
					}
				})
			}
			if len(by) == 0 {
				t.Error("the kit passes it")
			}
			t.Log("caught by", by)
		})
	}
	for _, k := range publisherCases() {
		if !useful[k.number()] {
			t.Errorf("no broken publisher fails %s", k.name)
		}
	}
}
