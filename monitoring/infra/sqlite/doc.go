// Package sqlite keeps the monitor in one SQLite file, which any number of replicas on one
// machine share.
//
// A unit of work is one transaction: the claim of its key, the rule's state, the
// record of the evaluation with its transitions, and the outbox. It begins with BEGIN
// IMMEDIATE and is on disk when it has committed. Every row has an identity that is
// made from the slot and not from the moment of writing: (rule, slot), (rule, slot,
// fingerprint), the message's id. A second row of one identity is refused by the file
// itself, so that nothing is doubled silently, whatever the code above does.
//
// The file is written through one connection, in turn, and read through a pool of
// others, which never wait for the writer. It must not lie on a network file system,
// whose locks and shared memory do not hold what SQLite's log needs.
//
// Tables, all readable with the sqlite3 tool: rule, evaluation, transition, message,
// attempt, target, beat and tally are this package's; once_idem is that of package idemsql and
// once_outbox and what begins like it that of package outboxsql. Times are nanoseconds since 1970.
package sqlite
