package examples_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3/driver"

	"example.com/once/httpmw"
	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
	"example.com/once/retry"
)

// Retry in three lines.
func Example_retry() {
	ctx := context.Background()
	calls := 0
	fetch := func(context.Context) (string, error) {
		if calls++; calls < 3 {
			return "", errors.New("connection reset")
		}
		return "12.5 °C", nil
	}

	policy := &retry.Policy{MaxElapsed: 10 * time.Second, Budget: &retry.Budget{}}
	reading, err := retry.DoValue(ctx, policy, fetch)                    // any function
	client := &http.Client{Transport: &httpmw.Transport{Policy: policy}} // any HTTP client

	fmt.Println(reading, err, calls, client.Transport != nil)
	// Output: 12.5 °C <nil> 3 true
}

// Outbox in six lines.
func Example_outbox() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "outbox")
	check(err)
	defer os.RemoveAll(dir)
	db, err := driver.Open("file:" + filepath.Join(dir, "shop.db") + "?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)")
	check(err)
	defer db.Close()
	_, err = db.ExecContext(ctx, `CREATE TABLE orders (id TEXT PRIMARY KEY, item TEXT NOT NULL)`)
	check(err)
	store, err := outboxsql.New(db, outboxsql.SQLite, outboxsql.Config{})
	check(err)
	check(store.Migrate(ctx))
	writer, err := outboxsql.NewWriter(outboxsql.SQLite, outboxsql.Config{})
	check(err)
	publisher := outbox.PublisherFunc(func(_ context.Context, d outbox.Delivery) error {
		fmt.Printf("%s: %s\n", d.Topic, d.Payload)
		cancel()
		return nil
	})

	place := func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO orders (id, item) VALUES (?, ?)`, "42", "tea"); err != nil {
			return err
		}
		return writer.Write(ctx, tx, outbox.Message{Topic: "orders", Key: "42", Payload: []byte("tea")})
	}
	relay, err := outbox.NewRelay(store, publisher, outbox.RelayConfig{})

	check(err)
	tx, err := db.BeginTx(ctx, nil)
	check(err)
	check(place(ctx, tx))
	check(tx.Commit())
	relay.Wake()
	check(relay.Run(ctx))
	// Output: orders: tea
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
