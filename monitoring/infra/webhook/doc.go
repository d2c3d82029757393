// Package webhook sends notifications as webhooks, by the rules of Standard Webhooks: a sink
// of events, which is told once of each transition.
//
// The body is the [app.Notification] that was committed with the transition, byte for byte.
// The headers webhook-id and Idempotency-Key hold the message's id and are the same on every
// attempt by every replica, so a receiver that honours one of them has the effect once. To
// any other receiver delivery is at least once: an attempt whose answer was lost is
// repeated.
package webhook
