package idem

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// runKey finds the run that a context belongs to.
type runKey struct{}

// run is one execution of a function that holds its key. It is also the context of that
// function: the caller's, cancelled with cause ErrLeaseLost when the lease may be over.
type run struct {
	context.Context //nolint:containedctx // it is one
	renewal         // of the lease; see lease.go

	cancel context.CancelCauseFunc
	guard  *Guard
	outer  *run
	lease  Lease
	mode   Mode
	inTx   bool // no lease to renew, no outcome to record outside the transaction

	began, returned, ended bool // fn was called; it came back; all is settled

	over atomic.Bool // fn is done: a lost lease does not matter to it any more

	steps steps
}

// Value implements context.Context.
func (r *run) Value(key any) any {
	if key == (runKey{}) {
		return r
	}
	return r.Context.Value(key)
}

func (r *run) attempt() Attempt {
	return Attempt{Key: r.lease.Key, Number: r.lease.Attempt, Fence: r.lease.Fence}
}

// start makes the run of a key that was acquired by a claim sent at sent.
func (g *Guard) start(ctx context.Context, c *call, rec Record, sent time.Time) *run {
	r := &run{guard: g, outer: c.outer, lease: rec.Lease, mode: c.mode}
	r.steps.left = rec.Progress
	r.Context, r.cancel = context.WithCancelCause(ctx)
	r.renewed(sent)
	g.beats.add(r)
	return r
}

// begin tells of a run whose function is about to be called.
func (r *run) begin() {
	if h := r.guard.config.Hooks.Started; h != nil {
		h(r, r.attempt())
	}
	r.began = true
}

// end is the last thing that happens to a run: nothing renews it any more, and who waits
// for its key looks again.
func (r *run) end(err error) {
	r.ended = true
	r.guard.beats.remove(r)
	r.cancel(nil)
	r.guard.rooms.wake(r.lease.Key)
	if h := r.guard.config.Hooks.Finished; h != nil {
		h(context.WithoutCancel(r.Context), r.attempt(), err)
	}
}

// errUnwound is what hooks are told of a function that did not return.
var errUnwound = errors.New("idem: the function panicked or ended its goroutine")

// unwound is deferred around a run. It settles the key if the function, or a hook or codec
// around it, panicked or called runtime.Goexit, and lets that go on.
func (r *run) unwound() {
	if r.ended {
		return
	}
	defer r.end(errUnwound)
	r.over.Store(true)
	switch {
	case r.returned: // it is done, and nothing can say with what
		_, _, _ = r.complete(nil)
	case r.began:
		_ = r.release(verdictNone, errUnwound)
	default:
		_ = r.giveUp(unused(r.lease), errUnwound)
	}
}

// complete records data as the outcome. A nil error means that the record which is
// returned stands: the run's own, or under ErrLeaseLost that of another. tooLarge says that
// it was recorded without data.
func (r *run) complete(data []byte) (rec Record, tooLarge bool, err error) {
	g := r.guard
	if g.tooLarge(data) {
		data, tooLarge = nil, true
	}
	data = g.pack(formOutcome, r.lease, data)
	var sent time.Time
	err = r.settle(func(ctx context.Context) (err error) {
		sent = time.Now()
		rec, err = g.store.Complete(ctx, r.lease, data, g.config.Keep)
		if errors.Is(err, ErrTooLarge) && data != nil {
			data, tooLarge = nil, true
			rec, err = g.store.Complete(ctx, r.lease, nil, g.config.Keep)
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrLeaseLost) {
		return Record{}, tooLarge, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	g.cache.remember(rec, sent)
	return rec, tooLarge, err
}

// tooLarge says whether an encoded outcome exceeds what the Guard may store.
func (g *Guard) tooLarge(data []byte) bool {
	const tag = 1 // precedes the result
	return g.config.MaxResult >= 0 && len(data)-tag > g.config.MaxResult
}

// release gives the key up as the verdict on the function's error says. An error means that
// the key is not held, as it should be.
func (r *run) release(v verdict, cause error) error {
	switch {
	case v == verdictForget:
		return r.giveUp(DispositionForget, cause)
	case v == verdictHold, r.mode == AtMostOnce:
		return r.giveUp(DispositionHold, cause)
	default:
		return r.giveUp(DispositionRetry, cause)
	}
}

func (r *run) giveUp(d Disposition, cause error) error {
	if d != DispositionHold { // what nobody needs to hold is not renewed while the store hangs
		r.guard.beats.remove(r)
	}
	err := r.settle(func(ctx context.Context) error { return r.guard.store.Release(ctx, r.lease, d) })
	if err == nil || errors.Is(err, ErrLeaseLost) {
		return nil
	}
	r.guard.config.Logger.WarnContext(r, "idem: key not released; it stays taken until its lease ends",
		"key", r.lease.Key, "after", cause, "err", err)
	if d != DispositionHold || r.mode == AtMostOnce { // in that mode the end of the lease does it too
		return nil
	}
	return fmt.Errorf("%w: not held: %w", ErrUnknown, err)
}

// settle repeats a store call until its outcome is known or Config.Settle is over. It goes
// on when the caller has left: that does not undo what happened. A single try gets half of
// the time, so that one that hangs leaves some for another.
func (r *run) settle(call func(context.Context) error) error {
	patience := r.guard.config.Settle
	end := time.Now().Add(patience)
	detached := context.WithoutCancel(r.Context)
	for try := 0; ; try++ {
		ctx, cancel := context.WithTimeout(detached, min(patience/2, time.Until(end)))
		err := call(ctx)
		cancel()
		if err == nil || errors.Is(err, ErrLeaseLost) {
			return err
		}
		if !pause(detached, try) || !time.Now().Before(end) {
			return err
		}
	}
}

// claim sends c until its outcome is known. sent is when the claim that was answered was.
func (g *Guard) claim(ctx context.Context, c Claim) (rec Record, sent time.Time, err error) {
	const tries = 3
	if err := ctx.Err(); err != nil {
		return Record{}, time.Time{}, err
	}
	for try := 0; ; try++ {
		sent = time.Now()
		rec, err = g.store.Claim(ctx, c)
		switch {
		case err == nil:
			g.cache.remember(rec, sent)
			return rec, sent, nil
		case errors.Is(err, ErrFull), errors.Is(err, ErrKey):
			return Record{}, sent, err
		}
		if try+1 < tries && pause(ctx, try) {
			continue
		}
		if ctx.Err() != nil {
			g.forsake(ctx, c)
		}
		return Record{}, sent, fmt.Errorf("idem: claim: %w", err)
	}
}

// forsake gives up a claim that was cut off by its caller's context. It may have been
// granted, and would then keep others out for the length of a lease, or for good under
// NoTakeover, although nothing ran.
func (g *Guard) forsake(ctx context.Context, c Claim) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(g.config.Settle, time.Second))
	defer cancel()
	rec, err := g.store.Claim(ctx, c) // granted again if it was granted
	if err == nil && rec.State == Acquired {
		err = g.store.Release(ctx, rec.Lease, unused(rec.Lease))
	}
	if err != nil && !errors.Is(err, ErrLeaseLost) {
		g.config.Logger.WarnContext(ctx, "idem: a cancelled claim may stand until its lease ends", "key", c.Key, "err", err)
	}
}

// unused is how a claim is given up for which nothing ran.
func unused(l Lease) Disposition {
	if l.Attempt > 1 {
		return DispositionRetry // what earlier attempts left is not ours to forget
	}
	return DispositionForget
}

// pause waits between two tries of a store call, and says whether there is time for
// another.
func pause(ctx context.Context, try int) bool {
	const base, longest = 10 * time.Millisecond, 500 * time.Millisecond
	d := min(base<<min(try, 10), longest)
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
