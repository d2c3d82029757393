package outboxhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/google/uuid"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxhttp"
	"example.com/once/outbox/outboxtest"
)

// A relay that posts messages as signed webhooks, and the receiver that verifies them. The
// Idempotency-Key that comes with every attempt is what httpmw wants to see.
func Example() {
	secret := outboxhttp.NewSecret() // shared with the receiver

	verifier, err := outboxhttp.NewVerifier(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		if err := verifier.Verify(r.Header, body); err != nil {
			http.Error(w, "not verified", http.StatusUnauthorized)
			return
		}
		fmt.Printf("%s for %s\n", body, r.Header.Get("Idempotency-Key"))
	}))
	defer receiver.Close()

	publisher, err := outboxhttp.New(outboxhttp.Config{
		URL:          receiver.URL,
		Secrets:      []string{secret},
		AllowPrivate: true, // the receiver is on this machine
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store := &outboxtest.Memory{}
	if err := store.Write(ctx, outbox.Message{
		ID:      uuid.MustParse("0190163d-8694-739b-aea5-966c26f8ad91"),
		Topic:   "order.paid",
		Payload: []byte(`{"order":42}`),
	}); err != nil {
		fmt.Println(err)
		return
	}
	relay, err := outbox.NewRelay(store, publisher, outbox.RelayConfig{
		Hooks: outbox.Hooks{Published: func(context.Context, outbox.Delivery) { cancel() }}, // enough for an example
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := relay.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {"order":42} for "0190163d-8694-739b-aea5-966c26f8ad91"
}

// The new secret is added in front, and the old one stays until every receiver knows the
// new one: each request is signed with both.
func ExampleConfig_rotation() {
	before, after := outboxhttp.NewSecret(), outboxhttp.NewSecret()
	_, err := outboxhttp.New(outboxhttp.Config{URL: "https://example.com/hooks", Secrets: []string{after, before}})
	fmt.Println(err)
	// Output:
	// <nil>
}

// What a wrong configuration says.
func ExampleNew_errors() {
	_, err := outboxhttp.New(outboxhttp.Config{URL: "example.com/hooks", Secrets: []string{"hunter2"}})
	fmt.Println(err)
	// Output:
	// outboxhttp: Config.URL has no scheme: it must begin with https:// or http://
	// outboxhttp: Config.Secrets[0] does not begin with whsec_: it must be whsec_ and the secret's bytes in base64; see NewSecret
}
