package idem

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// TxGuard is a Guard over a store that can join a transaction. Besides [DoTx] and [JoinTx]
// it does all that its Guard does, outside transactions.
type TxGuard[Tx any] struct {
	*Guard

	store TxStore[Tx]
}

// NewTx makes a TxGuard over s. The error names the field of c that cannot be used.
func NewTx[Tx any](s TxStore[Tx], c Config) (*TxGuard[Tx], error) {
	if s == nil {
		return nil, errors.New("idem: NewTx needs a store")
	}
	if c.Mode == AtMostOnce {
		return nil, fmt.Errorf("idem: Config.Mode is AtMostOnce; %w; use New for an at-most-once guard", errTxMode)
	}
	g, err := New(s, c)
	if err != nil {
		return nil, err
	}
	return &TxGuard[Tx]{Guard: g, store: s}, nil
}

var (
	errTxMode = errors.New("a transaction is exactly once by itself")
	errTxHold = errors.New("idem: Hold has no meaning in a transaction, it was rolled back")

	errUndo    = errors.New("idem: undo what the function wrote")
	errNothing = errors.New("idem: nothing to commit")
)

// DoTx runs fn once for key and commits its effect and the record in one transaction: after
// a crash at any moment either both are there or neither. fn must write through its
// transaction only; what it does elsewhere is done again if the transaction fails.
//
// While the transaction is open another call for the key is blocked by the database, or
// told [ErrInFlight]. There is no lease and no renewal. If fn fails, everything is rolled
// back and the key is as it was, unless the error is [Final]: then what fn wrote is undone
// and the error committed as the outcome. A serialization failure is returned as the store
// gave it; repeat the whole call then. A commit whose outcome was lost is settled by asking
// for the record that it would have left; [ErrUnknown] is returned only if the store cannot
// be asked within [Config.Settle]. A call on the same store inside fn is refused with
// [ErrNested], but for JoinTx.
func DoTx[T, Tx any](ctx context.Context, g *TxGuard[Tx], key Key, fn func(context.Context, Tx) (T, error), opts ...CallOption) (T, error) {
	var zero T
	c, err := g.prepareTx(ctx, key, opts, false)
	if err != nil {
		return zero, err
	}
	if rec, ok := g.recall(ctx, &c); ok {
		return answer[T](ctx, g.Guard, &c, rec)
	}
	claim := g.newClaim(&c)
	b := txBody[T]{guard: g.Guard, call: &c, claim: claim}
	defer b.unwound()
	try := func() (Record, time.Time, error) {
		sent := time.Now()
		err := g.store.InTx(ctx, func(tx Tx) error {
			b = txBody[T]{guard: g.Guard, call: &c, claim: claim}
			if err := b.do(ctx, g.store.With(tx), func(ctx context.Context) (T, error) { return fn(ctx, tx) }); err != nil {
				return err
			}
			if b.run == nil {
				return errNothing
			}
			return nil
		})
		switch {
		case b.run == nil && b.record.State != 0: // nothing was written
			g.cache.remember(b.record, sent)
			return b.record, sent, nil
		case errors.Is(err, ErrUnknown) && b.ready:
			return g.settleCommit(ctx, claim, err)
		case err != nil:
			return Record{}, sent, err
		default:
			g.cache.remember(b.record, sent)
			return b.record, sent, nil
		}
	}
	rec, _, err := try()
	if err == nil && rec.State == InFlight && c.wait > 0 {
		rec, _, err = g.await(ctx, &c, rec, try)
	}
	g.rooms.wake(key)
	return b.answer(ctx, rec, err)
}

// JoinTx is [DoTx] inside a transaction that the caller commits: the outcome counts if the
// caller commits, and not if it does not. It never waits for a key in flight, whatever
// [Config.Wait] says. If fn fails, what it wrote and the claim are undone, so that the
// caller may commit the rest; after a [Final] error the caller must commit for the error to
// be recorded.
func JoinTx[T, Tx any](ctx context.Context, g *TxGuard[Tx], tx Tx, key Key, fn func(context.Context) (T, error), opts ...CallOption) (T, error) {
	var zero T
	c, err := g.prepareTx(ctx, key, opts, true)
	if err != nil {
		return zero, err
	}
	if rec, ok := g.recall(ctx, &c); ok { // what JoinTx records is not remembered: it may not be committed
		return answer[T](ctx, g.Guard, &c, rec)
	}
	st := g.store.With(tx)
	sp, err := savepointer(st)
	if err != nil {
		return zero, err
	}
	b := txBody[T]{guard: g.Guard, call: &c, claim: g.newClaim(&c)}
	defer b.unwound()
	err = sp.Savepoint(ctx, func(ctx context.Context) error { return b.do(ctx, st, fn) })
	return b.answer(ctx, b.record, err)
}

func (g *TxGuard[Tx]) prepareTx(ctx context.Context, key Key, opts []CallOption, joining bool) (call, error) {
	c, err := g.prepare(ctx, key, opts)
	if err != nil {
		return c, err
	}
	if c.mode == AtMostOnce {
		return c, fmt.Errorf("idem: WithMode(AtMostOnce): %w", errTxMode)
	}
	if err := c.nested(g.Guard, joining); err != nil {
		return c, g.refuse(ctx, key, err)
	}
	return c, nil
}

func savepointer(st Store) (Savepointer, error) {
	sp, ok := st.(Savepointer)
	if !ok {
		return nil, fmt.Errorf("idem: %T, which TxStore.With returned, does not implement Savepointer", st)
	}
	return sp, nil
}

// txBody is what happens in the transaction.
type txBody[T any] struct {
	guard  *Guard
	call   *call
	claim  Claim
	run    *run   // set if fn was to run
	record Record // what the claim or the completion said
	ready  bool   // recorded; only the commit is missing
	value  T
	final  error // the outcome, if it is an error
	lack   error // why the result is not kept, if it is not
	told   bool  // the end of the run has been told
}

// do claims, runs fn and records its outcome, all inside st's transaction. An error means
// that everything is to be undone.
func (b *txBody[T]) do(ctx context.Context, st Store, fn func(context.Context) (T, error)) error {
	sp, err := savepointer(st)
	if err != nil {
		return err
	}
	if b.record, err = st.Claim(ctx, b.claim); err != nil {
		b.record = Record{}
		return fmt.Errorf("idem: claim: %w", err)
	}
	if b.record.State != Acquired {
		return nil
	}
	b.run = &run{guard: b.guard, outer: b.call.outer, lease: b.record.Lease, inTx: true}
	b.run.Context = ctx
	b.run.begin()
	var fnErr error
	err = sp.Savepoint(ctx, func(ctx context.Context) error {
		b.run.Context = ctx
		if b.value, fnErr = fn(b.run); fnErr != nil {
			return errUndo
		}
		return nil
	})
	var data []byte
	v, fnErr := consume(fnErr)
	switch {
	case fnErr == nil && err == nil:
		data, b.lack = encodeValue(b.guard.config.Codec, b.value)
	case fnErr == nil:
		return err
	case err != errUndo: //nolint:errorlint // anything but exactly this is a failure to undo
		return fmt.Errorf("%w; and not undone: %w", fnErr, err)
	case v == verdictHold:
		return fmt.Errorf("%w: %w", errTxHold, fnErr)
	case v != verdictFinal:
		return fnErr
	default:
		b.final = fnErr
		data, b.lack = encodeError(fnErr)
	}
	return b.recordOutcome(ctx, st, data)
}

func (b *txBody[T]) recordOutcome(ctx context.Context, st Store, data []byte) error {
	c := b.guard.config
	if b.guard.tooLarge(data) {
		data, b.lack = nil, ErrTooLarge
	}
	data = b.guard.pack(formOutcome, b.run.lease, data)
	rec, err := st.Complete(ctx, b.run.lease, data, c.Keep)
	if errors.Is(err, ErrTooLarge) && data != nil {
		b.lack = ErrTooLarge
		rec, err = st.Complete(ctx, b.run.lease, nil, c.Keep)
	}
	if err != nil {
		return fmt.Errorf("idem: complete: %w", err)
	}
	b.record, b.ready = rec, true
	return nil
}

// answer is the call's, once the transaction is over, or for JoinTx handed back.
func (b *txBody[T]) answer(ctx context.Context, rec Record, err error) (T, error) {
	var zero T
	g, c := b.guard, b.call
	if b.run != nil {
		c.tell(b.run.lease, false)
		outcome := err
		if outcome == nil {
			outcome = b.lack
		}
		b.finished(outcome)
	}
	switch {
	case err != nil && b.run == nil:
		return zero, g.refuse(ctx, c.key, err)
	case err != nil && errors.Is(err, ErrUnknown):
		return b.value, err
	case err != nil:
		return zero, err
	case rec.State == Done && b.ready && rec.Lease.Token == b.claim.Token:
		return b.value, b.final
	default:
		return answer[T](ctx, g, c, rec)
	}
}

// unwound is deferred around the transaction: it tells of a function that did not return.
func (b *txBody[T]) unwound() {
	if b.run != nil && !b.told {
		b.finished(errUnwound)
	}
}

// finished tells of the end of the run.
func (b *txBody[T]) finished(err error) {
	b.told = true
	b.run.over.Store(true)
	if h := b.guard.config.Hooks.Finished; h != nil {
		h(context.WithoutCancel(b.run.Context), b.run.attempt(), err)
	}
}

// notCommittedError says that a commit whose acknowledgement was lost did not take place. It
// does not unwrap to the store's error, which says that the outcome is unknown.
type notCommittedError struct{ cause error }

// NoEffect tells package retry that the whole call may be repeated.
func (e *notCommittedError) NoEffect() bool { return true }

func (e *notCommittedError) Error() string {
	return "idem: the transaction was not committed: " + e.cause.Error()
}

// settleCommit finds out whether a transaction whose commit was not acknowledged stands: if
// it does, its record is Done with our token. Any other answer says that it does not, and
// never will, since the store has decided for somebody else.
func (g *TxGuard[Tx]) settleCommit(ctx context.Context, c Claim, cause error) (Record, time.Time, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.config.Settle)
	defer cancel()
	for try := 0; ; try++ {
		rec, err := g.store.Claim(ctx, c)
		switch {
		case err != nil:
		case rec.State == Done:
			return rec, time.Time{}, nil
		case rec.State == Acquired: // what we hold now is a fresh claim
			if err := g.store.Release(ctx, rec.Lease, unused(rec.Lease)); err != nil && !errors.Is(err, ErrLeaseLost) {
				g.config.Logger.WarnContext(ctx, "idem: key not released; it stays taken until its lease ends", "key", c.Key, "err", err)
			}
			return Record{}, time.Time{}, &notCommittedError{cause}
		default:
			return Record{}, time.Time{}, &notCommittedError{cause}
		}
		if !pause(ctx, try) {
			return Record{}, time.Time{}, cause
		}
	}
}
