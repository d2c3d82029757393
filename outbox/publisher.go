package outbox

import "context"

// Publisher hands messages to a destination. errs has the batch's length and comes
// zeroed; errs[i] == nil on return means that batch[i] is durable at the destination. An
// error may be marked with [retry.Stop] (never will), [retry.After] (not before) or
// [Unavailable] (the destination is down: no attempt is spent and the lane's breaker
// opens); any other error is retryable. A batch never holds two messages of one ordering
// key unless the publisher says that it is order-safe. Publish must not keep batch or
// errs. It is called concurrently for different lanes.
type Publisher interface {
	Publish(ctx context.Context, batch []Delivery, errs []error)
}

// PublisherFunc is a Publisher that takes one delivery at a time.
type PublisherFunc func(ctx context.Context, d Delivery) error

// Publish calls f for each delivery of the batch in turn.
func (f PublisherFunc) Publish(ctx context.Context, batch []Delivery, errs []error) {
	for i, d := range batch {
		errs[i] = f(ctx, d)
	}
}

// Unavailable marks err as an outage of the destination.
func Unavailable(err error) error { panic("skeleton") }

// Route sends each delivery to the publisher of its topic, or to fallback.
func Route(byTopic map[string]Publisher, fallback Publisher) Publisher { panic("skeleton") }
