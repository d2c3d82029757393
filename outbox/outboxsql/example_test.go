package outboxsql_test

import (
	"context"
	"database/sql"
	"log/slog"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
)

// An order and the message that tells of it are committed together, or not at all.
func ExampleWriter_Write() {
	placeOrder := func(ctx context.Context, db *sql.DB, w *outboxsql.Writer, order string) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(ctx, `INSERT INTO orders (id) VALUES (?)`, order); err != nil {
			return err
		}
		if err := w.Write(ctx, tx, outbox.Message{Topic: "order.placed", Key: order, Payload: []byte(`{}`)}); err != nil {
			return err
		}
		return tx.Commit()
	}
	_ = placeOrder
}

// A relay publishes what was committed, until ctx ends.
func ExampleNew() {
	relay := func(ctx context.Context, db *sql.DB, p outbox.Publisher) error {
		store, err := outboxsql.New(db, outboxsql.SQLite, outboxsql.Config{})
		if err != nil {
			return err
		}
		if err := store.Migrate(ctx); err != nil {
			return err
		}
		r, err := outbox.NewRelay(store, p, outbox.RelayConfig{Logger: slog.Default()})
		if err != nil {
			return err
		}
		return r.Run(ctx)
	}
	_ = relay
}
