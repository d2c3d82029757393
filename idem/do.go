package idem

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Do runs fn once for key. It is [DoValue] for a function without a result.
func Do(ctx context.Context, g *Guard, key Key, fn func(context.Context) error, opts ...CallOption) error {
	_, err := DoValue(ctx, g, key, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, fn(ctx)
	}, opts...)
	return err
}

// DoValue runs fn once for key and hands its result to every caller.
//
// The first caller claims the key and runs fn, on its own goroutine, with a context that
// belongs to the run (see [Current]) and is cancelled with cause [ErrLeaseLost] if the key
// may no longer be its own. A caller who comes while fn runs gets [ErrInFlight], or waits as
// [Config.Wait] says; one who comes later gets the recorded outcome. A result of type []byte
// is shared by all callers that it is replayed to and must not be changed.
//
// What fn returns decides:
//
//   - nil: its result is recorded, then returned. Recording does not depend on ctx, so a
//     caller who left loses nothing. If the record is not confirmed, the result comes with
//     [ErrUnknown]. If another run took the key over and completed first, its outcome is
//     returned instead, as every later caller will see it.
//   - an error marked [Final]: recorded like a result.
//   - an error marked [Hold] or [Forget]: see there.
//   - any other error: the key is released and the next call runs fn again, unless the mode
//     is [AtMostOnce].
//
// The marks are consumed: the caller gets the error without them, and so does a function
// around the call that passes it on. If fn panics or calls runtime.Goexit the key is
// settled as for an unmarked error, and the panic goes on.
func DoValue[T any](ctx context.Context, g *Guard, key Key, fn func(context.Context) (T, error), opts ...CallOption) (T, error) {
	var zero T
	c, err := g.prepare(ctx, key, opts)
	if err != nil {
		return zero, err
	}
	if err := c.nested(g, false); err != nil {
		return zero, g.refuse(ctx, key, err)
	}
	rec, sent, err := g.acquire(ctx, &c)
	if err != nil {
		return zero, g.refuse(ctx, key, err)
	}
	if rec.State != Acquired {
		return answer[T](ctx, g, &c, rec)
	}
	r := g.start(ctx, &c, rec, sent)
	return perform(r, &c, fn)
}

// perform runs fn and settles its outcome.
func perform[T any](r *run, c *call, fn func(context.Context) (T, error)) (T, error) {
	defer r.unwound()
	r.begin()
	value, err := fn(r)
	r.returned = true
	r.over.Store(true)
	c.tell(r.lease, false)
	if err != nil {
		return settleError[T](r, c, err)
	}
	data, unencoded := encodeValue(r.guard.config.Codec, value)
	rec, tooLarge, err := r.complete(data)
	switch {
	case errors.Is(err, ErrLeaseLost):
		r.end(err)
		return overtaken[T](r, c, rec, nil)
	case err != nil:
		r.end(err)
		return value, err
	}
	r.end(r.kept(unencoded, tooLarge))
	return value, nil
}

// settleError settles a run whose function failed.
func settleError[T any](r *run, c *call, err error) (T, error) {
	var zero T
	v, err := consume(err)
	if v != verdictFinal {
		// The cause is read before anything else can end the context.
		if errors.Is(context.Cause(r), ErrLeaseLost) {
			err = fmt.Errorf("%w: %w", ErrLeaseLost, err)
		}
		if notHeld := r.release(v, err); notHeld != nil {
			err = fmt.Errorf("%w; its outcome: %w", notHeld, err)
		}
		r.end(err)
		return zero, err
	}
	data, unencoded := encodeError(err)
	rec, tooLarge, storeErr := r.complete(data)
	switch {
	case errors.Is(storeErr, ErrLeaseLost):
		r.end(storeErr)
		return overtaken[T](r, c, rec, err)
	case storeErr != nil:
		storeErr = fmt.Errorf("%w; its outcome: %w", storeErr, err)
		r.end(storeErr)
		return zero, storeErr
	}
	r.end(r.kept(unencoded, tooLarge))
	return zero, err
}

// overtaken answers a run that lost its key while it ran. If the other run is done, its
// outcome is the outcome; cause is this run's, if it was an error.
func overtaken[T any](r *run, c *call, rec Record, cause error) (T, error) {
	if rec.State == Done {
		return answer[T](context.WithoutCancel(r.Context), r.guard, c, rec)
	}
	var zero T
	if cause != nil {
		return zero, fmt.Errorf("%w: %w", ErrLeaseLost, cause)
	}
	return zero, ErrLeaseLost
}

// kept says, and logs, whether a recorded outcome can be replayed.
func (r *run) kept(unencoded error, tooLarge bool) error {
	err := unencoded
	if err == nil && tooLarge {
		err = ErrTooLarge
	}
	if err != nil {
		r.guard.config.Logger.WarnContext(r, "idem: done, but its result is not kept for replay", "key", r.lease.Key, "err", err)
	}
	return err
}

// answer is what a call gets from a record that it did not make.
func answer[T any](ctx context.Context, g *Guard, c *call, rec Record) (T, error) {
	c.tell(rec.Lease, rec.State == Done)
	if rec.State != Done {
		var zero T
		return zero, g.refuse(ctx, c.key, refusal(rec))
	}
	if h := g.config.Hooks.Replayed; h != nil {
		h(ctx, c.key)
	}
	body, err := g.body(rec)
	if err != nil {
		var zero T
		return zero, err
	}
	return decodeValue[T](g.config.Codec, body)
}

// refusal is the error for a claim that was not granted.
func refusal(rec Record) error {
	switch rec.State {
	case InFlight:
		return inFlight(rec)
	case Mismatch:
		return ErrMismatch
	case Abandoned:
		return ErrAbandoned
	default:
		return fmt.Errorf("idem: the store answered a claim with state %d", rec.State)
	}
}

func (g *Guard) refuse(ctx context.Context, key Key, err error) error {
	if h := g.config.Hooks.Refused; h != nil {
		h(ctx, key, err)
	}
	return err
}

// newClaim is the claim of a call, with a token of its own.
func (g *Guard) newClaim(c *call) Claim {
	return Claim{
		Key:         c.key,
		Token:       newToken(),
		Fingerprint: c.fingerprint,
		Lease:       g.config.Lease,
		Keep:        g.config.Keep,
		NoTakeover:  c.mode == AtMostOnce,
	}
}

// newToken is a random UUID (version 4, RFC 9562).
func newToken() uuid.UUID {
	var t uuid.UUID
	_, _ = rand.Read(t[:]) // never fails: see crypto/rand
	t[6] = t[6]&0x0f | 0x40
	t[8] = t[8]&0x3f | 0x80
	return t
}
