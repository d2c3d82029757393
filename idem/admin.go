package idem

import (
	"context"
	"errors"
	"fmt"
)

// Inspect says what the store knows of key, without claiming it and without writing. A State
// of zero means that nothing is known. For a key that is Done, Result is what [Config.Codec]
// made of the result, or the bytes of a []byte. For one that is not, Progress.Data has the
// names of the finished [Step]s, one a line. The error is the one that a replay would
// give: nil, a [*RecordedError], or one that matches [ErrNoResult]. The store must be an
// [Inspector].
func (g *Guard) Inspect(ctx context.Context, key Key) (Record, error) {
	i, err := g.inspector(key)
	if err != nil {
		return Record{}, err
	}
	rec, err := i.Get(ctx, key)
	if err != nil {
		return Record{}, fmt.Errorf("idem: inspect: %w", err)
	}
	return g.reveal(rec)
}

// Resolve settles a key whose outcome is unknown, once somebody has found out: result is
// recorded as if the function had returned it, or failure as if it had been [Final], if it is
// not nil. Give it a result of the type that the function returns, or nil if it returns
// none. The last holder, should it still be alive, has lost the key.
//
// It returns the record that stands, as [Guard.Inspect] does: a key that is Done stays as it
// is, an unknown one gives a State of zero. A key whose lease is alive is refused with
// [ErrInFlight]. The store must be an [Inspector].
func (g *Guard) Resolve(ctx context.Context, key Key, result any, failure error) (Record, error) {
	i, err := g.inspector(key)
	if err != nil {
		return Record{}, err
	}
	var data []byte
	switch {
	case failure != nil:
		_, failure = consume(failure)
		data, err = encodeError(failure)
	case result == nil:
		data, err = encodeValue(g.config.Codec, struct{}{})
	default:
		data, err = encodeValue(g.config.Codec, result)
	}
	if err != nil {
		return Record{}, err
	}
	if g.tooLarge(data) {
		return Record{}, fmt.Errorf("%w: %d bytes, Config.MaxResult is %d", ErrTooLarge, len(data), g.config.MaxResult)
	}
	rec, err := i.Resolve(ctx, key, g.pack(formOutcome, Lease{Key: key}, data), g.config.Keep)
	g.rooms.wake(key)
	switch {
	case errors.Is(err, ErrInFlight):
		return rec, err
	case err != nil:
		return Record{}, fmt.Errorf("idem: resolve: %w", err)
	}
	return g.reveal(rec)
}

// Forget removes a key, whatever its state: its holder loses the lease, and the next call
// runs as if the key had never been used, but with a higher fence. It is for keys of which
// somebody has found out that nothing happened. The store must be an [Inspector].
func (g *Guard) Forget(ctx context.Context, key Key) error {
	i, err := g.inspector(key)
	if err != nil {
		return err
	}
	defer g.cache.forget(key) // also if it is not known whether the store did
	if err := i.Delete(ctx, key); err != nil {
		return fmt.Errorf("idem: forget: %w", err)
	}
	g.rooms.wake(key)
	return nil
}

// CanInspect reports whether the store is an [Inspector], as Inspect, Resolve and Forget
// need it to be.
func (g *Guard) CanInspect() bool {
	_, ok := g.store.(Inspector)
	return ok
}

func (g *Guard) inspector(key Key) (Inspector, error) {
	if err := key.check(); err != nil {
		return nil, err
	}
	i, ok := g.store.(Inspector)
	if !ok {
		return nil, fmt.Errorf("idem: %T does not implement Inspector", g.store)
	}
	return i, nil
}

// reveal turns the stored form of an inspected record into the codec's.
func (g *Guard) reveal(rec Record) (Record, error) {
	if rec.State == Done {
		var err error
		rec.Result, err = g.body(rec)
		return rec, err
	}
	done, err := g.checkpoints(rec.Lease, rec.Progress.Data)
	rec.Progress.Data = done.list()
	return rec, err
}
