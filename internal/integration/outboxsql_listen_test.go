package integration_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
)

// TestOutboxListenNoticesCommits, those of other connections too, and nothing else.
func TestOutboxListenNoticesCommits(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		o.write(t, outbox.Message{Topic: "t"})
		writer := openOutbox(t, d, o.path, outboxsql.Config{})
		o.db.SetMaxOpenConns(1) // it must not keep the connection for itself
		wakes := make(chan struct{}, 100)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- o.Listen(ctx, func() { wakes <- struct{}{} }) }()
		o.lease(t, "a")
		select {
		case <-wakes:
			t.Error("woken without reason")
		case <-time.After(100 * time.Millisecond):
		}
		for _, m := range []outbox.Message{{Topic: "t"}, {Topic: "t", NotBefore: time.Now()}} {
			for noticed := false; !noticed; {
				writer.write(t, m)
				select {
				case <-wakes:
					noticed = true
				case <-time.After(200 * time.Millisecond): // it had not begun to listen
				}
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestOutboxListenSaysWhyItEnds(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		if err := o.db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := o.Listen(t.Context(), func() {}); err == nil {
			t.Error("no error")
		}
	})
}
