// Package outboxhttp publishes messages as webhooks, signed by the rules of Standard
// Webhooks, and verifies such webhooks on the receiver's side.
package outboxhttp
