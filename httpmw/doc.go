// Package httpmw puts idempotency keys around net/http handlers, and safe retries around
// net/http clients: a caller may repeat its request, and the effect still happens once.
//
// # Server
//
// [Idempotency] runs a handler once per key. It knows nothing of the handler, and the handler
// nothing of it:
//
//	guard, err := idem.New(&idem.Memory{}, idem.Config{}) // or a store that outlives the process
//	once, err := httpmw.NewIdempotency(guard, tenant, httpmw.IdempotencyConfig{})
//	mux.Handle("POST /orders", once.Handler(orders))
//
// The first request with a key runs the handler, its answer is recorded, and then it is sent: a
// client never sees an answer that its retries will not see again. A repeat gets the recorded
// answer, marked with [HeaderReplayed]. A repeat that comes while the first still runs gets 409, or
// waits ([IdempotencyConfig.Wait]); another request with the same key gets 422. A client that goes
// away loses nothing: the handler goes on, its answer is recorded.
//
// [NewTxIdempotency] goes further: the handler runs inside of a database transaction ([TxFrom]), and what it
// wrote and the record are committed together, so that not even a crash between the two can
// double or lose the effect.
//
// # What the draft leaves open
//
// The server follows draft-ietf-httpapi-idempotency-key-header-07, which settles the header and the
// three refusals (400, 409, 422). Where it is silent:
//
//   - Whose key it is: [Scope] is a required argument. A key is looked up together with it, so two
//     tenants never meet; take it from the authenticated principal.
//   - Syntax: the draft wants a quoted string; a bare one is the same key, unless Strict.
//   - What "the same request" means: method, path, query, media type and body ([Fingerprint]). The key stays
//     bound to it through failures and crashes, for as long as it is remembered.
//   - Which answers are kept: the operation's result, 2xx, 3xx and 4xx; what says "not now", "not
//     you" or "not here" is not ([RecordByStatus], [IdempotencyConfig.Record], [SetOutcome]).
//   - How replays are told apart: Idempotent-Replayed: true.
//   - How long: idem.Config.Keep, 24 h by default. A later retry runs as new; [FreshUUIDv7] refuses it
//     instead, if keys carry their time.
//   - Crashes: the key is handed over when its lease ends, and the handler runs again with the
//     same downstream keys (idem.Attempt.SubKey); in at-most-once mode the answer is 409
//     outcome-unknown until an operator has settled the key.
//   - Streams and answers beyond MaxResponse: the first caller gets all of it, retries get 409
//     result-unavailable. They are never run again.
//   - A store that fails: 503, and nothing runs ([IdempotencyConfig.UnsafeFailOpen] for those who must).
//   - Asking for the outcome without repeating: [Idempotency.Status].
//
// Problems are RFC 9457 documents with a stable code.
//
// # What is stored
//
// Stored are the answer's status, its body, its trailers, and those headers that the handler itself has set or
// changed: what outer middleware adds (request ids, CORS, rate limits) is that of each request. The key
// is stored as a digest together with its scope, the request as a digest, which FingerprintKey makes an
// HMAC. Never stored are Set-Cookie, authentication headers, Date, Content-Length, trace headers and
// everything that belongs to one connection; [IdempotencyConfig.KeepHeader] can only make that list longer. Request
// bodies are not stored; above MaxMemory they lie in a private temporary file while the request runs.
//
// # The order of middleware
//
// From the outside in:
//
//  1. recovery, logging, tracing, metrics: they see every request
//  2. http.TimeoutHandler, request ids, CORS, compression
//  3. authentication and rate limits: no key is looked up for a caller who is not let in
//  4. [Idempotency]
//  5. the handler, with its own authorization: a refusal by 401 or 403 does not stick to the key
//
// A caller who may no longer see an answer needs [IdempotencyConfig.Authorize] if only the handler would
// know. Inside of Idempotency a TimeoutHandler is a trap: the handler behind it goes on
// when the key has been given up. A middleware that changes each request in another way, by a
// timestamp in the body, belongs inside, or retries will not match. ServeMux patterns may be on either side; ScopeByRoute wants the mux outside.
//
// The handler's ResponseWriter offers what the one underneath offers (Flusher, Hijacker,
// deadlines) but no Unwrap, which would reach past the record. Flush makes the answer a
// stream; reverse proxies, which flush out of habit, want BufferFlushes.
//
// # Client
//
// [Transport] is an http.RoundTripper that repeats what is safe to repeat:
//
//	client := &http.Client{Transport: &httpmw.Transport{Key: httpmw.NewKey}}
//
// It knows the difference between a request that never left, one that may have arrived, and an
// answer that says "later". A POST is repeated in the second case only with a key. It adds keys
// only if asked to, since a key is a claim that the server honours it: net/http, for one, repeats
// requests with a key by itself. [Attempts] on the server's side tells handlers which attempt they serve,
// so that retries do not multiply from service to service.
//
// Package httpmwtest checks any running service, from outside, against the draft.
package httpmw
