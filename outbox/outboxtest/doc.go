// Package outboxtest has what tests of an outbox need: a store in memory, and two kits that tell
// whether a store or a publisher keeps its contract.
//
// [Memory] is a store with writing transactions of its own. It is right by the kit, so a test that
// uses it in place of a database sees the same behaviour, in virtual time if it runs in a
// testing/synctest bubble.
//
// # Stores
//
// [RunStore] checks the contract of [outbox.Store].
//
//	func TestStore(t *testing.T) {
//		outboxtest.RunStore(t, func(tb testing.TB) outboxtest.Backend {
//			db := openEmptyDatabase(tb)
//			return outboxtest.Backend{Store: db.store(), Begin: db.begin}
//		})
//	}
//
// Every case gets a store of its own from the factory, without messages, leases or relays; the
// factory closes it with tb.Cleanup. A case that fails quotes the clause of the contract that was
// broken. Cases for optional powers (an [outbox.Inspector], an [outbox.Notifier]) are skipped, by
// name, if the store does not have them, and those that need two writing transactions at a time if
// it is said to have [OneWriter].
//
// Leases and waits have to end for many clauses to be tested. A store in this process is tested in
// virtual time, where that takes none: pass [Virtual]. Any other is tested with short waits; see
// [Wait] and [Margin].
//
// # Publishers
//
// [RunPublisher] checks the contract of [outbox.Publisher] against a [Destination]: the publisher, a way
// to see what arrived, and if possible ways to break the destination and to make it hang.
//
// # What passing says
//
// The kits are themselves tested: each case fails at least one of some sixty stores and fifteen
// publishers that are broken on purpose, and each of those fails at least one case. Passing says nothing about durability,
// lost connections or a failing clock. Kill the server and cut its connections in tests of your
// own.
package outboxtest
