// Package idemtest checks that a store keeps the contract of [idem.Store]. A store is right
// when this kit says so.
//
//	func TestStore(t *testing.T) {
//		idemtest.Run(t, func(tb testing.TB) idem.Store { return openEmptyStore(tb) })
//	}
//
// Every case gets a store of its own from the factory, with no keys in it; the factory
// closes it with tb.Cleanup. A case that fails quotes the clause of the contract that was
// broken. Cases for optional powers (a sweeper, an inspector) are skipped, by name, if the
// store does not have them.
//
// Leases and retentions have to end for many clauses to be tested. A store in this process
// is tested in virtual time, where that takes none: pass [Virtual]. Any other is tested with
// short leases. The kit then polls, asserts only what its own clock can prove, and repeats
// with longer leases what a slow machine left open; see [Lease] and [Margin].
//
// Tell the kit with [MaxResult] how large a result the store takes, if there is a limit, and
// with [Writes] how to count what it writes: it then checks also that what is too large is
// refused and that replays write nothing.
//
// [RunTx] checks in addition what a store promises in transactions, up to [idem.DoTx] and
// [idem.JoinTx] over it. [Bench] measures it.
//
// Passing says nothing about durability, lost connections or a failing clock. Kill the
// server and cut its connections in tests of your own.
package idemtest
