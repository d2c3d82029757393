package idem

import (
	"context"
	"fmt"
	"time"
)

// CallOption changes one call.
type CallOption func(*call)

// call is what one call asks for.
type call struct {
	key         Key
	fingerprint []byte
	wait        time.Duration
	mode        Mode
	info        *Info
	outer       *run // the run that the call is made in, if any
}

// Info tells how a call was answered.
type Info struct {
	Replayed bool  // the outcome is a recorded one; this call's function did not make it
	Attempt  int   // of the run that made the outcome, or holds the key; 0 if unknown
	Fence    int64 // of that run
}

// WithFingerprint binds the key to a digest of the request: a call with the same key and
// another digest fails with [ErrMismatch], whatever became of the first, for as long as the
// key is remembered. nil compares to nothing. The digest is not kept after the call.
func WithFingerprint(digest []byte) CallOption {
	return func(c *call) { c.fingerprint = digest }
}

// WithWait overrides [Config.Wait]; 0 = do not wait. JoinTx never waits.
func WithWait(d time.Duration) CallOption {
	return func(c *call) { c.wait = max(d, 0) }
}

// WithMode overrides [Config.Mode]. AtMostOnce fails if the store is no [Inspector].
func WithMode(m Mode) CallOption {
	return func(c *call) { c.mode = m }
}

// Report fills info when the call returns, also when it returns an error.
func Report(info *Info) CallOption {
	return func(c *call) { c.info = info }
}

// prepare checks a call before anything is done for it.
func (g *Guard) prepare(ctx context.Context, key Key, opts []CallOption) (call, error) {
	c := call{key: key, wait: g.config.Wait, mode: g.config.Mode}
	if len(opts) > 0 {
		c = apply(c, opts)
	}
	if c.info != nil {
		*c.info = Info{}
	}
	if err := key.check(); err != nil {
		return c, err
	}
	if c.mode != g.config.Mode {
		if err := checkMode(c.mode, g.store); err != nil {
			return c, fmt.Errorf("idem: WithMode: %w", err)
		}
	}
	c.outer, _ = ctx.Value(runKey{}).(*run)
	return c, nil
}

// apply is apart because the options make c escape.
func apply(c call, opts []CallOption) call {
	for _, o := range opts {
		o(&c)
	}
	return c
}

func checkMode(m Mode, s Store) error {
	switch m {
	case AtLeastOnce:
		return nil
	case AtMostOnce:
		if _, ok := s.(Inspector); !ok {
			return fmt.Errorf("AtMostOnce needs a store that implements Inspector, so that an abandoned key can be resolved; %T does not", s)
		}
		return nil
	default:
		return fmt.Errorf("unknown mode %d; use AtLeastOnce or AtMostOnce", m)
	}
}

// nested refuses a call inside a run that it would wait for without end. Inside a
// transaction that is every call on the store, since the connection may be the only one;
// joining asks for the transaction itself and is safe but for the keys already in it.
func (c *call) nested(g *Guard, joining bool) error {
	for r := c.outer; r != nil; r = r.outer {
		if r.guard.id != g.id || r.over.Load() {
			continue
		}
		if r.lease.Key == c.key {
			return fmt.Errorf("%w: the key is held by the function that makes the call", ErrNested)
		}
		if r.inTx && !joining {
			return fmt.Errorf("%w: a transaction on the same store is open; use JoinTx with it", ErrNested)
		}
	}
	return nil
}

// tell fills the caller's Info.
func (c *call) tell(l Lease, replayed bool) {
	if c.info != nil {
		*c.info = Info{Replayed: replayed, Attempt: l.Attempt, Fence: l.Fence}
	}
}
