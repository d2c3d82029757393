// Package outbox publishes messages after the transaction that wrote them has committed: each at
// least once, those of one key in order, and none of a transaction that was rolled back.
//
//	err := writer.Write(ctx, tx, outbox.Message{Topic: "order.paid", Key: orderID, Payload: body})
//	...
//	relay, err := outbox.NewRelay(store, publisher, outbox.RelayConfig{})
//	...
//	err = relay.Run(ctx) // until ctx ends
//
// # Why
//
// A program that commits and then publishes loses the message when it dies in between; one that
// publishes first tells of what may never have happened. With an outbox the wish to publish
// is a row of the same transaction. A [Relay] reads committed rows, hands them to a [Publisher]
// and removes them. If it dies between the two, the message is published again, with the same
// [Message.ID]: receivers tell repeats by it.
//
// # Three parts
//
//   - A writer adds messages to the caller's own transaction. It comes with the store: package
//     outboxsql has one for database/sql, which takes a transaction and does not compile with a pool.
//   - A [Store] keeps them. Any number of relays may work on one store, in any number of processes;
//     they share the work, and take over from one that is gone after [RelayConfig.LeaseTTL].
//   - A [Publisher] hands them on. [PublisherFunc] makes one of a function, [Route] chooses by topic,
//     and package outboxhttp posts signed webhooks.
//
// # Order
//
// Messages of one [Message.Key] are published in the order in which they were written, if their
// writers wait for each other, as they do when they first lock the row that the key stands for.
// No order is kept across keys, nor for a message that has [Message.NotBefore] set. A message that fails
// holds back those behind it of its key, and nobody else.
//
// # What a publisher's error says
//
//   - nil: durable at the destination.
//   - [retry.Stop](err): never. The message becomes a dead letter at once.
//   - [Unavailable](err): the destination is down, which is no fault of the message. It spends no
//     attempt, and its [Message.Lane] is left alone but for one probe now and then. Give each
//     destination that may fail alone a lane of its own.
//   - [retry.After](err, d): it failed; not again before d from now.
//   - [ErrNotSent]: it was not tried.
//   - any other error: it failed. It is tried again on the schedule of [RelayConfig.Policy], by
//     default twelve times over about a day, and is then a dead letter.
//
// A publisher cannot always know whether the destination is down or whether it chokes on this
// message. The relay finds out: what looks like an outage for one message again and again, while others
// get through, is a failure of that message. A publisher that panics has failed. One that does
// not return is left behind, and its shards go to another relay.
//
// # Dead letters
//
// A message that was given up stays in the store with what failed last; [Hooks].DeadLettered tells of
// it, and an [Inspector] lists, redrives and skips. What becomes of its key is a choice:
// [SkipHead] lets the later messages go on, [BlockKey] keeps them waiting for an operator.
//
// # How it works
//
// A row belongs to a shard, by its lane and key ([ShardOf]). A relay leases shards; inside one it is alone, so
// it reads without locks and marks nothing as taken. Rows are inserted and deleted, never updated.
// What fails, waits or was given up moves to a second table, together with what is behind it, so
// a stuck key costs those that flow nothing. No transaction is open and no row is locked while a
// publisher is at work.
//
// Every lease has an epoch that grows with each owner. A relay that was paused and wakes up may
// still send what it had in hand; what it then decides about failed messages is refused, while
// "this one went out" is believed, because it did.
//
// [Hooks] say what happens, for metrics and logs. Time is package time's, so tests run in
// testing/synctest bubbles; package outboxtest has a store in memory for them, and the kits that
// tell whether a store or a publisher of your own is right.
package outbox
