// Package outboxsql keeps an outbox in a SQL database, through database/sql and without
// importing a driver: a [Writer] that adds messages to the caller's own transactions, and a
// [Store] from which a relay publishes them.
package outboxsql
