// Package once is the map of a toolkit for one promise: a caller may retry,
// and the effect still happens once.
//
// It holds no code. Take the package that fits the call you have:
//
//   - [example.com/once/retry] repeats a call when repeating it is safe: policy,
//     budget, breaker and a classification that knows whether a failed call may
//     have had an effect.
//   - [example.com/once/idem] runs a function once per idempotency key, across
//     crashes, races and lost acknowledgements; its stores live in sub-packages.
//   - [example.com/once/outbox] publishes messages after the transaction that
//     wrote them has committed, in order per key.
//   - [example.com/once/httpmw] puts idempotency keys around net/http handlers and
//     safe retries around net/http clients.
//
// The packages compose but do not know each other more than they must: retry and
// idem import nothing of ours; httpmw imports both; outbox imports retry; idem and
// outbox meet only in a key string and in the caller's own transaction.
//
// The monitoring directory wires all four into a service that fetches metrics,
// evaluates rules and emits each alert once, while replicas crash and receivers
// fail.
package once
