package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"example.com/once/idem"
	"example.com/once/idem/idemsql"
	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
)

// The code of docs/guide.md that needs a database.

// orders is a service that ships orders and tells others so, each once.
type orders struct {
	db     *sql.DB
	guard  *idem.TxGuard[*sql.Tx]
	writer *outboxsql.Writer
	outbox *outboxsql.Store
}

func openOrders(ctx context.Context, path string) (*orders, error) {
	db, err := ncruces(path) // journal_mode=WAL, synchronous=FULL, busy_timeout=20000
	if err != nil {
		return nil, err
	}

	keys, err := idemsql.New(db, idemsql.SQLite, idemsql.Config{})
	if err != nil {
		return nil, err
	}
	guard, err := idem.NewTx(keys, idem.Config{})
	if err != nil {
		return nil, err
	}
	writer, err := outboxsql.NewWriter(outboxsql.SQLite, outboxsql.Config{})
	if err != nil {
		return nil, err
	}
	store, err := outboxsql.New(db, outboxsql.SQLite, outboxsql.Config{})
	if err != nil {
		return nil, err
	}

	for _, migrate := range []func(context.Context) error{keys.Migrate, store.Migrate} {
		if err := migrate(ctx); err != nil {
			return nil, err
		}
	}
	_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS shipments (order_id TEXT PRIMARY KEY, at TEXT)`)
	return &orders{db, guard, writer, store}, err
}

func (o *orders) ship(ctx context.Context, id string, at time.Time) (string, error) {
	key := idem.NewKey("ship", id)
	return idem.DoTx(ctx, o.guard, key, func(ctx context.Context, tx *sql.Tx) (string, error) {
		_, err := tx.ExecContext(ctx, `INSERT INTO shipments (order_id, at) VALUES (?, ?)`, id, at.Format(time.DateTime))
		if err != nil {
			return "", err
		}
		attempt, _ := idem.Current(ctx)
		err = o.writer.Write(ctx, tx, outbox.Message{
			ID:      uuid.MustParse(attempt.SubKey("shipped")), // made from the key
			Topic:   "orders",
			Key:     id, // messages about one order stay in order
			Payload: []byte("order " + id + " has been shipped"),
		})
		return "shipped", err
	})
}

func Example_unitOfWork() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "guide")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	o, err := openOrders(ctx, filepath.Join(dir, "orders.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = o.db.Close() }()

	at := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	for range 3 { // the caller retries
		fmt.Println(o.ship(ctx, "1138", at))
	}

	ctx, stop := context.WithCancel(ctx)
	publish := func(_ context.Context, d outbox.Delivery) error {
		fmt.Println(d.ID, string(d.Payload))
		stop() // after one message; a service runs its relay until it ends
		return nil
	}
	relay, err := outbox.NewRelay(o.outbox, outbox.PublisherFunc(publish), outbox.RelayConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(relay.Run(ctx))
	left, err := o.outbox.Stats(context.Background())
	fmt.Println(left.Hot, err)
	// Output:
	// shipped <nil>
	// shipped <nil>
	// shipped <nil>
	// 917dd42e-9896-5a03-b18c-9a5f09340efc order 1138 has been shipped
	// <nil>
	// 0 <nil>
}

// bank receives messages that may come more than once.
type bank struct {
	db    *sql.DB
	guard *idem.TxGuard[*sql.Tx]
}

// receive does the work of a message once: the mark that it was seen and its effect are one
// transaction. On nil it may be acknowledged; on an error let it come again.
func (b *bank) receive(ctx context.Context, id string, amount int) error {
	key := idem.NewKey("bank", id)
	_, err := idem.DoTx(ctx, b.guard, key, func(ctx context.Context, tx *sql.Tx) (struct{}, error) {
		_, err := tx.ExecContext(ctx, `UPDATE account SET balance = balance + ?`, amount)
		return struct{}{}, err
	})
	return err
}

func Example_receiver() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "guide")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	o, err := openOrders(ctx, filepath.Join(dir, "bank.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = o.db.Close() }()
	if _, err := o.db.ExecContext(ctx, `CREATE TABLE account (balance INTEGER); INSERT INTO account VALUES (0)`); err != nil {
		fmt.Println(err)
		return
	}
	b := &bank{o.db, o.guard}

	for range 3 { // the acknowledgement gets lost
		fmt.Println(b.receive(ctx, "wire-4711", 100))
	}
	var balance int
	err = b.db.QueryRowContext(ctx, `SELECT balance FROM account`).Scan(&balance)
	fmt.Println(balance, err)
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// 100 <nil>
}
