// Package retry repeats calls where repeating is safe.
//
//	err := retry.Do(ctx, nil, func(ctx context.Context) error { return ping(ctx) })
//
// That makes three attempts, with growing random waits between them. A [Policy] says more; it
// is plain data, its zero value and nil are good defaults, and one serves calls of every result
// type, from any number of goroutines. There are three forms of one loop: [Do], [DoValue] for
// results, and [Policy.Attempts] for range, where return and defer keep their meaning. [Hedge]
// does not wait for a slow attempt to fail. [Policy.Next] is one step without sleeping, for rows
// and queues that outlive the process.
//
// # What may be repeated
//
// Retryable is not one bit. A failure has a [Class]: Permanent (repeating cannot help), NoEffect (the call
// surely did nothing), Ambiguous (it may have done its work, and only the answer was lost), or
// Undecided, which counts as Ambiguous. A call that must not be made twice sets
// [Policy.NonIdempotent]: it is then repeated after NoEffect failures only. Better is to make
// it safe to repeat, by an idempotency key (package idem).
//
// [Classify] tells the classes apart by type and method, never by text. The operation knows more: it marks
// its errors with [Stop] (permanent), [Safe] (no effect) and [After] (not before). A type can
// speak for itself: by Verdict() [Verdict], or without importing this package by
// NoEffect() bool and RetryAfter() time.Duration. A policy's own classifier is a function that falls
// through:
//
//	Classify: func(err error) retry.Verdict {
//		if errors.Is(err, errNotYet) {
//			return retry.Verdict{Class: retry.NoEffect, After: time.Second}
//		}
//		return retry.Classify(err)
//	}
//
// A result that is not good enough is an error too: return it.
//
// # When it ends
//
// A permanent failure comes back as it is. Every other end is an [*Error]: it names the local reason
// first ([ErrAttempts], [ErrBudget], [ErrDeadline] ...) and holds the errors of the attempts, so errors.Is finds both.
// No wait is begun that the deadline would cut off: the call fails at once, and matches
// context.DeadlineExceeded as well as the real error. A peer that asks for a longer wait
// than [Policy.MaxRetryAfter] gets it handed back in [Error.RetryAt], where it can be scheduled.
//
// # Not making it worse
//
//   - Retries do not multiply: inside of a retried attempt an inner policy makes one attempt ([Nested]), because the
//     outer one repeats already. Five layers of three attempts cost 11 calls in the worst
//     case, not 243. [Fresh] lifts it. Over process borders [WithAttempt] carries it on.
//   - A [Budget] keeps repeats to a tenth of the calls, plus ten a second, so that an outage
//     costs the peer little more than the calls themselves. Share one for each destination.
//   - A [Breaker] refuses calls while a destination fails ([NewBreaker]). It learns from verdicts: an answer that
//     is permanent is a healthy peer's, a caller who cancels says nothing. It gets its permits
//     back from attempts that panic, exit, or hang.
//   - Waits are random over their whole length (full jitter), since callers that failed together
//     would otherwise come back together. A wait that the peer asked for is never shortened.
//
// # What it costs
//
// A first attempt that succeeds allocates nothing and reads no clock. Markers are consumed by the loop that
// sees them: what stopped an inner call does not stop an outer one. A panic passes through, and costs no
// budget. Time is package time's, so tests run in testing/synctest bubbles without waiting.
package retry
