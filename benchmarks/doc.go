// Package benchmarks measures what once adds to the work that it guards. It has no code of its
// own; its parts are
//
//   - measure: runs operations side by side, in rounds, and says how they compare;
//   - backend: the stores that can be measured, each with the same work written by hand;
//   - suite: the operations, of ours and of other libraries;
//   - report: the table, JSON, the Go benchmark format and a page;
//   - cmd/bench: all of it as one command;
//   - storm: what becomes of a server when its clients retry, in simulated time.
//
// The operations are Go benchmarks too: go test -bench . in this folder.
package benchmarks
