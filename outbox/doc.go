// Package outbox publishes messages after the transaction that wrote them has committed.
package outbox
