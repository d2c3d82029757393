// Package outboxsql keeps an outbox in a SQL database, through database/sql and without
// importing a driver: a [Writer] that adds messages to the caller's own transactions, and a
// [Store] from which an [outbox.Relay] publishes them.
//
// # Setting up
//
// [Store.Migrate] makes the tables, or the statements of [Schema] do, in a migration tool of one's
// own. Their names begin with [Config].Prefix. [Config].Shards is decided when they are
// made; writers and stores that are configured otherwise are refused.
//
// Of SQLite, the package needs 3.35 or newer, and a file on a local disk. Every connection,
// the application's too, should wait for its turn to write, and take it at the beginning of
// a transaction; readers should not wait at all. These are data source names that say so:
//
//	file:app.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_txlock=immediate   ncruces, modernc
//	file:app.db?_busy_timeout=5000&_journal_mode=WAL&_synchronous=FULL&_txlock=immediate                          mattn
//
// [Store.Check], which a relay calls when it starts, complains if it finds something else.
// Where a process writes a lot, a pool of one connection for writing and another pool as
// [Config].Reader spare the writers from competing for the file.
//
// # Writing and relaying
//
//	tx, err := db.BeginTx(ctx, nil)
//	...
//	_, err = tx.ExecContext(ctx, `INSERT INTO orders (id) VALUES (?)`, order)
//	...
//	err = writer.Write(ctx, tx, outbox.Message{Topic: "order.placed", Key: order, Payload: body})
//	...
//	err = tx.Commit()
//
// and, in the same program or in another one:
//
//	store, err := outboxsql.New(db, outboxsql.SQLite, outboxsql.Config{})
//	...
//	relay, err := outbox.NewRelay(store, publisher, outbox.RelayConfig{})
//	...
//	err = relay.Run(ctx)
//
// [Writer.Write] takes the transaction of the effect that a message tells of. A *sql.DB is
// no [Tx], so that passing one does not compile. A transaction's messages become visible
// when it commits; [outbox.Relay.Wake] then tells a relay of the same process at once, while
// others find out within a fraction of a second by themselves.
//
// # Inside
//
// The hot table sees inserts and deletes only: a message goes in with its transaction, is
// read in the order of its Seq, and goes out when it is published. The parked table has
// those that wait: for their next attempt, for others of their key, for the time they were
// delayed to, or, as dead letters, for an operator. The shard table has the leases, which
// the database's clock judges; the relay table, who is there to share them; the meta table,
// how the tables were made. No transaction is open while a message is being published.
package outboxsql
