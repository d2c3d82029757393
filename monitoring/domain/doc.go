// Package domain is what the monitor knows about alerts: rules and the conditions in them,
// the grid of instants at which they are evaluated, and the states that an alert passes
// through.
//
// It is pure. [Evaluate] is a function from a rule, what was seen in a slot and the state
// before it to the state after it and the transitions in between: no clock, no input or
// output, no randomness. So a slot can be evaluated again, by anybody, with the same
// result; side effects are left to those who have committed it.
//
// States are set, never incremented. "Pending since slot s" can be written twice; "pending
// for one slot more" cannot.
package domain
