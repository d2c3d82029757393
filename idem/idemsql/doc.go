// Package idemsql keeps idempotency keys in a table of a database that is reached through
// database/sql, so that [idem.DoTx] can commit a record together with what the function wrote.
// It imports no driver.
//
//	db, err := sql.Open("sqlite", dsn) // a driver of your choice
//	...
//	store, err := idemsql.New(db, idemsql.SQLite, idemsql.Config{})
//	err = store.Migrate(ctx) // once; or run the statements of Schema yourself
//	err = store.Check(ctx)   // at each start
//	guard, err := idem.NewTx(store, idem.Config{})
//
// # SQLite
//
// SQLite 3.35 or newer, through any driver; github.com/ncruces/go-sqlite3 and
// modernc.org/sqlite are tested. Every connection needs these settings, so they belong in the
// data source name, which for both drivers is
//
//	file:app.db?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)
//
// [Store.Check] complains if they are missing.
//
//   - busy_timeout makes a writer wait for its turn; without it concurrent calls fail.
//   - journal_mode=WAL lets replays read while somebody writes.
//   - synchronous=FULL makes a record survive a power cut. With NORMAL a power cut, not a
//     crash of the process, may forget the latest records, and their keys run again; set
//     [Config.Relaxed] if that is acceptable.
//   - _txlock=immediate makes your own transactions take the right to write when they begin.
//     One that reads first and then calls [idem.JoinTx] could else fail because another has
//     written in between. Transactions of [idem.DoTx] take it in any case.
//
// SQLite has one writer at a time. A pool of several connections makes them wait for each
// other inside SQLite, which is correct and slower than waiting in Go: give the store a pool
// with db.SetMaxOpenConns(1) to write, the one that your transactions use too, and another
// one as [Config.Reader] for replays. With one connection, what a function under [idem.DoTx]
// reads and writes must go through its transaction, or it waits for itself. Several processes
// may share the file, on one machine and a local disk: SQLite's locks do not work on network
// file systems.
//
// The clock is the host's, read by SQLite to the millisecond. Setting it forward ends leases
// early; setting it back makes them longer. Fences grow regardless.
//
// # Rights
//
// [Store.Migrate] needs the right to define tables and does nothing when repeated; [Schema]
// has its statements for a migration tool, under another account if need be. Everything else
// needs SELECT, INSERT, UPDATE and DELETE on the one table. In SQLite that is write access to
// the file and its directory, and to no other table.
//
// # How large it grows
//
// A key lives for [idem.Config.Keep] after its completion, and until the next sweep:
// [idem.Guard.Run] removes a thousand ended ones at a time. The table holds, about,
//
//	new keys a second × Keep in seconds × bytes a key
//
// where a key of 50 bytes with a fingerprint takes about 260 bytes in SQLite, 600 with a
// result of 256 bytes, and 4.7 kB with one of 1 to 4 kB, since SQLite keeps long rows in pages
// of their own. 50 keys a second for a day with small results are 1.1 GB. Record a reference
// instead of a document, or shorten Keep, but never below the time in which a caller may still
// retry. SQLite reuses what a sweep has freed and does not shrink the file by itself.
//
// # What happens to statements that are lost
//
// Drivers, and database/sql itself, may send a statement again whose answer was lost. Every
// statement here that changes rows compares what was read and is harmless when it runs twice.
// A COMMIT whose answer was lost is settled by [idem.DoTx], which asks for the record.
package idemsql
