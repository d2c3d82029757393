// Package outboxhttp publishes messages as webhooks, signed by the rules of Standard Webhooks
// (https://www.standardwebhooks.com), and verifies such webhooks on the receiver's side. It needs the
// standard library only.
//
//	publisher, err := outboxhttp.New(outboxhttp.Config{URL: url, Secrets: []string{secret}})
//	...
//	relay, err := outbox.NewRelay(store, publisher, outbox.RelayConfig{})
//
// # What is sent
//
// Each message is one POST with its payload as the body, and:
//
//   - Webhook-Id, the message's ID: the same on every attempt, so a receiver tells repeats by it;
//   - Idempotency-Key, the same as a quoted string, for receivers that speak that draft, such as
//     package httpmw's;
//   - Webhook-Timestamp, the time of this attempt, in seconds;
//   - Webhook-Signature, an HMAC-SHA256 of id, timestamp and body with each of [Config.Secrets];
//   - the message's headers, as far as they do not belong to the protocol, among them Content-Type,
//     which else is application/json.
//
// # What an answer means
//
//	2xx                  delivered
//	410                  a dead letter, which matches ErrGone: stop writing messages for this receiver
//	400, 413, 422 ...    about this message: a dead letter, unless Retry-After comes with it
//	429, 502, 503, 504   the receiver is unavailable: no attempt is spent, its lane is left alone
//	3xx and the rest     a failed attempt; redirects are not followed
//	no connection        the receiver is unavailable
//	no answer            a failed attempt
//
// Retry-After is honoured, up to a day. A date in it is read against the answer's own date. Errors are
// [*StatusError] where there was an answer, with its beginning. No error shows a secret, a credential
// from Config.Header, or more of the URL than its host.
//
// # Where requests go
//
// URLs of webhooks are often chosen by others. The publisher dials no address that is not on the public
// internet: the check is made on the address itself when it is dialed, whatever the name
// resolves to. [Config].AllowPrivate lifts it for receivers of your own; [PublicOnly] is the check alone.
//
// # The receiver's side
//
// [Verifier] checks what arrived: that one of the signatures is right, and that the request is not
// older than five minutes. Give it the body as received, before any decoding.
package outboxhttp
