// Package idem runs a function once per idempotency key: however often a caller retries, from
// however many processes, the effect happens once and every caller gets the same outcome.
//
//	guard, err := idem.New(store, idem.Config{})
//	...
//	receipt, err := idem.DoValue(ctx, guard, idem.NewKey(tenant, "charge", orderID),
//		func(ctx context.Context) (Receipt, error) { return charge(ctx, order) })
//
// # How it works
//
// A [Guard] stands in front and a [Store] behind. The first caller claims the key, runs the
// function and records what it returned; whoever comes later gets the record. A caller who
// comes while the function runs gets [ErrInFlight], or waits, as [Config.Wait] says. A claim
// is a lease, renewed for as long as the function runs, so a key is never stuck longer than
// a lease when its holder dies: the next caller takes it over.
//
// The key names the operation. Make it with [NewKey] from whose it is and what it is about;
// the retry must make the same one, so nothing that changes from call to call belongs in it.
// Give the request's digest to [WithFingerprint] and a key that is used for another request
// is refused with [ErrMismatch] instead of being answered with somebody else's result.
//
// # What the function's error says
//
//   - nil: done. The result is recorded and replayed until [Config.Keep] ends.
//   - [Final](err): done, and this is the outcome. Replays get it as a [*RecordedError].
//   - any other error: not done. The key is released and the next call runs the function again,
//     except under [AtMostOnce].
//   - [Forget](err): nothing happened, and nothing is remembered.
//   - [Hold](err): nobody knows. The key is Abandoned until somebody settles it with
//     [Guard.Resolve] or [Guard.Forget].
//
// # Three promises to choose from
//
// A crash between an effect and its record leaves two worlds that nobody can tell apart from
// outside. What to do then is a decision, and it is made by name:
//
//   - [AtLeastOnce], the default: the function runs again. Its effects happen once if what it
//     calls is idempotent too; [Attempt.SubKey] makes a key to pass on that is the same on
//     every attempt. [Step] keeps the results of finished parts, which then do not run again.
//   - [AtMostOnce]: the function does not run again. Callers get [ErrAbandoned] until somebody
//     has found out what happened.
//   - [DoTx] and [JoinTx]: the effect and the record are written in one transaction of the
//     database that also keeps the keys. After a crash both are there, or neither. This is
//     exactly once, for effects inside that transaction.
//
// A lease does not stop a process that is paused and wakes up later. The function's context is
// cancelled, with cause [ErrLeaseLost], before the key can be somebody else's; whatever the
// late process records changes nothing; and a resource that compares [Attempt.Fence] can
// refuse what it writes. Nothing else can.
//
// # Errors of the store
//
// If the store cannot be asked, nothing runs. If the function has run and the store does not
// confirm the record, the caller gets the result beside [ErrUnknown]; calling again with the
// same key finds out. A call repeats its own store operations after lost connections, with a
// token chosen before the first was sent, so that a lost answer is not mistaken for a lost
// key.
//
// # What a store can see
//
// Stores keep keys, fingerprints and results as they are. [Config.Seal] encrypts results, and
// refuses those that somebody else has written; digest keys with a secret if they must not be
// read.
//
// # Stores
//
// [Memory] keeps keys in this process. Package idemsql keeps them in a database. A store of
// your own implements the four methods of [Store]; package idemtest tells whether it is right.
// Call [Guard.Check] when a service starts, to hear of settings that void the promises, and
// let [Guard.Run] run beside it, to remove what has ended.
//
// A Guard is made once and shared: it is safe for concurrent use, calls of one Guard wake each
// other, and it costs no goroutine but while leases are being renewed. A new key costs one
// trip to the store to claim and one to complete; a replay costs one and writes nothing, or
// none at all while [Config.Cache] remembers the outcome.
package idem
