// Package app is the monitor's use cases: walk the grid of slots, fetch, evaluate,
// and commit what came of it as one unit of work.
//
// A unit of work is the claim of the key (rule id, evaluation timestamp), the rule's
// new state, the log of its transitions and one outbox message for each transition and sink, in
// one transaction behind the port [UnitOfWork]. Nothing is sent before that
// transaction has committed; sending is the relay's work, outside this package.
// However many replicas evaluate a slot, however often one of them is killed and
// starts again, one of them commits it and the others are handed the outcome that
// stands.
//
// The package has no technology in it: what it needs of a database, of the
// network and of the page's tables it says as ports, in port.go and view.go.
package app
