package outboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
	classes "example.com/once/retry"
)

func publisherCases() []kitCase[*P] {
	return []kitCase[*P]{
		{"B1 as it is", "A published message is at the destination with its ID and payload, and as much else as the destination keeps.", b1},
		{"B2 batches", "errs[i] == nil means that batch[i] is durable at the destination.", b2},
		{"B3 one identity", "Every attempt at a message bears the same ID.", b3},
		{"B4 order", "Messages of one key that are published one after the other arrive in this order.", b4},
		{"B5 order in a batch", "An order-safe publisher keeps the order of a key in a batch.", b5},
		{"B6 nothing is changed", "Publish changes neither the batch nor payloads, and keeps neither it nor errs.", b6},
		{"B7 concurrency", "Publish is called concurrently.", b7},
		{"B8 a context that has ended", "Publish returns soon after its context ends, and claims nothing that is not so.", b8},
		{"B9 outage", "While the destination is down nothing is claimed, it is said to be unavailable, and later it works again.", b9},
		{"B10 no answer", "Publish returns soon after its context ends, also while the destination gives no answer.", b10},
		{"B11 refusal", "A message that the destination refuses for good fails for good, and no other.", b11},
		{"B12 sizes", "An empty payload and one of a megabyte arrive as they are; an empty batch is nothing.", b12},
	}
}

func b1(p *P) {
	d := p.delivery("key", `{"a":"\u0000 é"}`, outbox.Header{Key: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	p.sends(d)
	list := p.received()
	if len(list) != 1 {
		p.Fatalf("%d messages arrived, want 1", len(list))
	}
	got := list[0]
	if got.ID != d.ID || !bytes.Equal(got.Payload, d.Payload) {
		p.Errorf("%v %q arrived, %v %q was sent", got.ID, got.Payload, d.ID, d.Payload)
	}
	if p.Keys && got.Key != d.Key {
		p.Errorf("key %q arrived, %q was sent", got.Key, d.Key)
	}
	if p.Headers && !slices.Contains(got.Headers, d.Headers[0]) {
		p.Errorf("headers %v arrived, %v were sent", got.Headers, d.Headers)
	}
}

func b2(p *P) {
	for _, n := range []int{1, 2, 100} {
		batch := p.batch(n)
		errs := p.publish(p.ctx, batch...)
		for i, err := range errs {
			if err != nil {
				p.Errorf("message %d of %d: %v", i, n, err)
			}
		}
		p.honest(fmt.Sprint("a batch of ", n), batch, errs)
	}
	for id, n := range p.arrived() {
		if n != 1 {
			p.Errorf("%v arrived %d times", id, n)
		}
	}
}

func b3(p *P) {
	d := p.delivery("k", "again and again")
	for i := range 3 {
		d.Attempt = i + 1
		p.sends(d)
	}
	n := p.arrived()
	if len(n) != 1 || n[d.ID] == 0 {
		p.Errorf("three attempts at %v arrived as %v", d.ID, n)
	}
}

func b4(p *P) {
	const n = 20
	var want []uuid.UUID
	for i := range n {
		d := p.delivery("k", strconv.Itoa(i))
		want = append(want, d.ID)
		p.sends(d)
	}
	p.inOrder(want)
}

func b5(p *P) {
	if !p.orderSafe() {
		p.Skipf("the publisher is not OrderSafe")
	}
	var batch []outbox.Delivery
	var want []uuid.UUID
	for i := range 50 {
		d := p.delivery("k", strconv.Itoa(i))
		want = append(want, d.ID)
		batch = append(batch, d, p.delivery("other", fmt.Sprint("other", i)))
	}
	p.sends(batch...)
	p.inOrder(want)
}

// inOrder expects messages to have arrived in an order, each counted when it came first.
func (p *P) inOrder(want []uuid.UUID) {
	var got []uuid.UUID
	for _, m := range p.received() {
		if slices.Contains(want, m.ID) && !slices.Contains(got, m.ID) {
			got = append(got, m.ID)
		}
	}
	if !slices.Equal(got, want) {
		p.Errorf("%d of %d messages arrived, or in another order", len(got), len(want))
	}
}

func b6(p *P) {
	batch := []outbox.Delivery{p.delivery("a", "first", outbox.Header{Key: "h", Value: "v"}), p.delivery("b", "second")}
	before := slices.Clone(batch)
	for i := range before {
		before[i].Payload = slices.Clone(before[i].Payload)
		before[i].Headers = slices.Clone(before[i].Headers)
	}
	errs := p.publish(p.ctx, batch...)
	for i, d := range batch {
		if d.ID != before[i].ID || d.Key != before[i].Key || !bytes.Equal(d.Payload, before[i].Payload) || !slices.Equal(d.Headers, before[i].Headers) {
			p.Errorf("message %d was changed from %+v to %+v", i, before[i].Message, d.Message)
		}
	}
	// They are the caller's again: what is done to them reaches nobody.
	for i := range batch {
		errs[i] = nil
		copy(batch[i].Payload, "xxxxxx")
		batch[i] = outbox.Delivery{}
	}
	for _, m := range p.received() {
		if bytes.HasPrefix(m.Payload, []byte("xx")) {
			p.Errorf("a payload changed after it was published")
		}
	}
}

func b7(p *P) {
	const callers, each = 8, 10
	batches := make([][]outbox.Delivery, callers)
	for i := range batches {
		batches[i] = p.batch(each)
	}
	errs := make([][]error, callers)
	race(callers, func(i int) { errs[i] = p.publish(p.ctx, batches[i]...) })
	for i := range batches {
		for j, err := range errs[i] {
			if err != nil {
				p.Errorf("message %d of caller %d: %v", j, i, err)
			}
		}
		p.honest(fmt.Sprint("caller ", i), batches[i], errs[i])
	}
}

// soon is how long a publisher may take to return once its context has ended.
const soon = 5 * time.Second

func b8(p *P) {
	ctx, cancel := context.WithCancel(p.ctx)
	cancel()
	batch := p.batch(10)
	start := time.Now()
	errs := p.publish(ctx, batch...)
	if took := time.Since(start); took > soon {
		p.Errorf("it took %v to return", took)
	}
	p.honest("a context that has ended", batch, errs)
	p.sends(p.batch(1)...)
}

func b9(p *P) {
	if p.Break == nil {
		p.Skipf("the destination cannot be broken")
	}
	p.sends(p.batch(3)...)
	mend := p.Break()
	batch := p.batch(5)
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	errs := p.publish(ctx, batch...)
	cancel()
	for i, err := range errs {
		switch {
		case err == nil:
			p.Errorf("message %d is said to be published to a destination that is down", i)
		case classes.Classify(err).Class == classes.Permanent && !errors.Is(err, outbox.ErrUnavailable):
			p.Errorf("message %d fails for good because the destination is down: %v", i, err)
		}
	}
	if unavailable(errs) == 0 {
		p.Errorf("no error matches ErrUnavailable: %v", errs)
	}
	mend()
	p.sends(batch...)
	p.honest("after the outage", batch, make([]error, len(batch)))
}

func b10(p *P) {
	if p.Hang == nil {
		p.Skipf("the destination cannot be made to hang")
	}
	resume := p.Hang()
	defer resume()
	batch := p.batch(3)
	const patience = 300 * time.Millisecond
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	start := time.Now()
	errs := p.publish(ctx, batch...)
	if took := time.Since(start); took > patience+soon {
		p.Errorf("it took %v to return, its context ended after %v", took, patience)
	}
	for i, err := range errs {
		if err == nil {
			p.Errorf("message %d is said to be published, though nothing was answered", i)
		} else if classes.Classify(err).Class == classes.Permanent {
			p.Errorf("message %d fails for good because nothing was answered: %v", i, err)
		}
	}
}

func b11(p *P) {
	if p.Refused == nil {
		p.Skipf("the destination refuses nothing")
	}
	bad := *p.Refused
	if bad.ID == uuid.Nil {
		bad.ID = uuid.Must(uuid.NewV7())
	}
	batch := []outbox.Delivery{p.delivery("a", "good"), p.attempt(bad), p.delivery("b", "good")}
	errs := p.publish(p.ctx, batch...)
	if classes.Classify(errs[1]).Class != classes.Permanent {
		p.Errorf("the refused message: %v, want an error that retry.Stop has marked", errs[1])
	}
	for _, i := range []int{0, 2} {
		if errs[i] != nil && !errors.Is(errs[i], outbox.ErrNotSent) {
			p.Errorf("message %d fails beside a refused one: %v", i, errs[i])
		}
	}
	p.honest("beside a refusal", batch, errs)
}

func b12(p *P) {
	p.publish(p.ctx)
	empty, big := p.delivery("", ""), p.delivery("", string(bytes.Repeat([]byte{'x'}, 1<<20)))
	p.sends(empty)
	p.sends(big)
	for _, m := range p.received() {
		switch {
		case m.ID == empty.ID && len(m.Payload) != 0:
			p.Errorf("an empty payload arrived as %d bytes", len(m.Payload))
		case m.ID == big.ID && !bytes.Equal(m.Payload, big.Payload):
			p.Errorf("a payload of a megabyte arrived as %d bytes", len(m.Payload))
		}
	}
	if n := p.arrived(); n[empty.ID] != 1 || n[big.ID] != 1 {
		p.Errorf("an empty payload arrived %d times, one of a megabyte %d times", n[empty.ID], n[big.ID])
	}
}
