package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
)

func TestThin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &outboxtest.Memory{}
		var mu sync.Mutex
		got := map[string][]string{}
		n := 0
		r, err := outbox.NewRelay(m, outbox.PublisherFunc(func(_ context.Context, d outbox.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			n++
			if n%3 == 0 {
				return errors.New("boom")
			}
			got[d.Key] = append(got[d.Key], string(d.Payload))
			return nil
		}), outbox.RelayConfig{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		for i := range 100 {
			if err := m.Write(ctx, outbox.Message{Topic: "t", Key: fmt.Sprint(i % 7), Payload: []byte(fmt.Sprint(i))}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(24 * time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		s, _ := m.Stats(context.Background())
		t.Log(s, n, got)
	})
}
