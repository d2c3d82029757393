// Package chaos runs the monitor as its users would fear it to run, and judges what
// came of it.
//
// Two replicas of "monitor serve" share one database file. They watch a [shop] whose
// releases go bad and recover, and whose metrics page answers when it feels like it. They
// tell a [receiver], which fails a third of all requests: some before it has done
// anything, some after, some so slowly that the sender has given up. Meanwhile the
// replicas are killed, at random, and started again.
//
// The shop knows which alerts there ought to have been, and the receiver which ones
// it has acted upon. The two have nothing in common with the monitor, so the [Verdict]
// that compares them says what a customer would say: alerts that were lost, and
// alerts that came twice.
package chaos
