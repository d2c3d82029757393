package outbox_test

import (
	"context"
	"errors"
	"fmt"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
	"example.com/once/retry"
)

// A message is written in the transaction of what it tells of. The relay publishes it once
// that has committed, and never if it has not. Package outboxsql has the same for a
// database: there the transaction is your *sql.Tx.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store := &outboxtest.Memory{}

	tx := store.Begin()
	// ... and change what else belongs to the payment.
	if err := tx.Write(ctx, outbox.Message{Topic: "order.paid", Key: "order-42", Payload: []byte(`{"order":42}`)}); err != nil {
		fmt.Println(err)
		return
	}
	if err := tx.Commit(); err != nil {
		fmt.Println(err)
		return
	}

	publisher := outbox.PublisherFunc(func(_ context.Context, d outbox.Delivery) error {
		fmt.Printf("%s %s at attempt %d\n", d.Topic, d.Payload, d.Attempt)
		return nil
	})
	relay, err := outbox.NewRelay(store, publisher, outbox.RelayConfig{
		Hooks: outbox.Hooks{Published: func(context.Context, outbox.Delivery) { cancel() }}, // enough for an example
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("drained:", relay.Run(ctx))
	// Output:
	// order.paid {"order":42} at attempt 1
	// drained: <nil>
}

// A publisher says what a failure means: this one is of the message, for good; that one is an
// outage of the destination, which is no fault of the message.
func ExamplePublisherFunc() {
	errMalformed, errRefused := errors.New("malformed"), errors.New("connection refused")
	deliver := func(_ context.Context, d outbox.Delivery) error {
		switch d.Topic {
		case "malformed":
			return errMalformed
		case "down":
			return errRefused
		}
		return nil
	}
	publisher := outbox.PublisherFunc(func(ctx context.Context, d outbox.Delivery) error {
		err := deliver(ctx, d)
		switch {
		case errors.Is(err, errMalformed):
			return retry.Stop(err) // a dead letter at once
		case errors.Is(err, errRefused):
			return outbox.Unavailable(err) // spends no attempt; the lane is left alone for a while
		}
		return err // any other is tried again, on the schedule of RelayConfig.Policy
	})

	for _, topic := range []string{"fine", "malformed", "down"} {
		errs := make([]error, 1)
		publisher.Publish(context.Background(), []outbox.Delivery{{Message: outbox.Message{Topic: topic}}}, errs)
		fmt.Printf("%s: %v\n", topic, errs[0])
	}
	// Output:
	// fine: <nil>
	// malformed: malformed
	// down: outbox: destination unavailable: connection refused
}

// Each topic goes where it belongs. Destinations that may be down at different times get
// different lanes when messages are written.
func ExampleRoute() {
	to := func(name string) outbox.Publisher {
		return outbox.PublisherFunc(func(_ context.Context, d outbox.Delivery) error {
			fmt.Println(d.Topic, "to", name)
			return nil
		})
	}
	publisher := outbox.Route(map[string]outbox.Publisher{
		"order.paid":   to("the shop"),
		"alert.firing": to("the pager"),
	}, to("the archive"))

	errs := make([]error, 3)
	publisher.Publish(context.Background(), []outbox.Delivery{
		{Message: outbox.Message{Topic: "alert.firing", Lane: 1}},
		{Message: outbox.Message{Topic: "user.seen"}},
		{Message: outbox.Message{Topic: "order.paid"}},
	}, errs)
	// Output:
	// alert.firing to the pager
	// user.seen to the archive
	// order.paid to the shop
}

// A message that was given up is kept as a dead letter, with what failed. Once the cause is
// mended, it is redriven; under BlockKey, what waited behind it follows in order.
func ExampleInspector() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store := &outboxtest.Memory{}
	for _, status := range []string{"opened", "paid", "closed"} {
		if err := store.Write(ctx, outbox.Message{Topic: "order", Key: "order-42", Payload: []byte(status)}); err != nil {
			fmt.Println(err)
			return
		}
	}
	mended := false
	publisher := outbox.PublisherFunc(func(_ context.Context, d outbox.Delivery) error {
		if !mended {
			return retry.Stop(errors.New("unknown order"))
		}
		fmt.Printf("published %s\n", d.Payload)
		if string(d.Payload) == "closed" {
			cancel()
		}
		return nil
	})
	died := make(chan struct{}, 1)
	relay, err := outbox.NewRelay(store, publisher, outbox.RelayConfig{
		Exhausted: outbox.BlockKey,
		Hooks:     outbox.Hooks{DeadLettered: func(context.Context, outbox.Delivery, error) { died <- struct{}{} }},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error)
	go func() { done <- relay.Run(ctx) }()
	<-died

	for letter, err := range store.Dead(ctx, outbox.Filter{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("dead: %s %s: %s\n", letter.Key, letter.Payload, letter.Err)
	}
	mended = true
	n, err := store.Redrive(ctx, outbox.Filter{Key: "order-42"})
	fmt.Println("redriven:", n, err)
	relay.Wake()
	<-done
	// Output:
	// dead: order-42 opened: unknown order
	// redriven: 1 <nil>
	// published opened
	// published paid
	// published closed
}
