package outboxtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
)

// Destination is a publisher under test, and a view of what it publishes to, where nothing
// has been published yet.
type Destination struct {
	Publisher outbox.Publisher

	// Received returns what is durable at the destination, in the order of arrival. The
	// messages have what the destination keeps of them: ID and Payload always, Key and
	// Headers if Keys and Headers say so. A message that was published twice may be there
	// once or twice.
	Received      func(context.Context) ([]outbox.Message, error)
	Keys, Headers bool

	// Topic is the topic of the messages that are published. "" = "test".
	Topic string

	// Break makes the destination unavailable until mend is called. nil = cases that
	// need it are skipped.
	Break func() (mend func())

	// Hang makes the destination take what comes and give no answer until resume is
	// called. nil = cases that need it are skipped.
	Hang func() (resume func())

	// Refused is a message that the destination refuses for good. nil = cases that need
	// it are skipped.
	Refused *outbox.Message
}

// RunPublisher checks the publishers that open makes. Of the options, Wait, Margin and
// OneWriter have no meaning here.
func RunPublisher(t *testing.T, open func(testing.TB) Destination, opts ...Option) {
	t.Helper()
	runAll(t, publisherCases(), newOptions(opts), func(tb testing.TB) func(*recorder, context.Context, options, func(*P)) {
		tb.Helper()
		d := open(tb)
		return func(r *recorder, ctx context.Context, _ options, run func(*P)) {
			run(&P{recorder: r, ctx: ctx, Destination: d})
		}
	})
}

// P is a case of [RunPublisher] at work.
type P struct {
	*recorder
	Destination

	ctx context.Context //nolint:containedctx // a case is one call
	seq int64
}

// delivery is a first attempt at a fresh message.
func (p *P) delivery(key, payload string, headers ...outbox.Header) outbox.Delivery {
	topic := p.Topic
	if topic == "" {
		topic = "test"
	}
	return p.attempt(outbox.Message{ID: uuid.Must(uuid.NewV7()), Topic: topic, Key: key, Payload: []byte(payload), Headers: headers})
}

func (p *P) attempt(m outbox.Message) outbox.Delivery {
	p.seq++
	return outbox.Delivery{Message: m, Seq: p.seq, Attempt: 1, CreatedAt: time.Now()}
}

// batch is n fresh messages without a key.
func (p *P) batch(n int) []outbox.Delivery {
	list := make([]outbox.Delivery, n)
	for i := range list {
		list[i] = p.delivery("", sequence("m", n)[i])
	}
	return list
}

// publish hands a batch to the publisher.
func (p *P) publish(ctx context.Context, batch ...outbox.Delivery) []error {
	errs := make([]error, len(batch))
	p.Publisher.Publish(ctx, batch, errs)
	return errs
}

// sends expects that a batch is taken.
func (p *P) sends(batch ...outbox.Delivery) {
	for i, err := range p.publish(p.ctx, batch...) {
		if err != nil {
			p.Fatalf("message %d of %d: %v", i, len(batch), err)
		}
	}
}

func (p *P) received() []outbox.Message {
	list, err := p.Received(p.ctx)
	if err != nil {
		p.Fatalf("received: %v", err)
	}
	return list
}

// arrived counts how often each message is at the destination.
func (p *P) arrived() map[uuid.UUID]int {
	n := map[uuid.UUID]int{}
	for _, m := range p.received() {
		n[m.ID]++
	}
	return n
}

// honest expects of a batch that every message said to be published is there.
func (p *P) honest(what string, batch []outbox.Delivery, errs []error) {
	n := p.arrived()
	for i, err := range errs {
		if err == nil && n[batch[i].ID] == 0 {
			p.Errorf("%s: message %d is said to be published, and is not there", what, i)
		}
	}
}

// orderSafe says whether several messages of one key may be in a batch.
func (p *P) orderSafe() bool {
	s, ok := p.Publisher.(outbox.OrderSafe)
	return ok && s.OrderSafe()
}

func unavailable(errs []error) (n int) {
	for _, err := range errs {
		if errors.Is(err, outbox.ErrUnavailable) {
			n++
		}
	}
	return n
}
