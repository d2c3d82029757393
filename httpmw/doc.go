// Package httpmw puts idempotency keys around net/http handlers and safe retries around
// net/http clients.
package httpmw
