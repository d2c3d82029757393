package idem

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Store keeps one [Record] a key. Every method is one atomic step in the store's
// own order, and every one is safe to repeat with the same token after a lost
// acknowledgement. No point in time crosses the interface: durations go in,
// remaining durations come out, and the store's clock alone judges them.
//
// An error means that the store failed or that the outcome is unknown, with one
// exception: [ErrLeaseLost] from Renew, Complete and Release says that the lease
// is no longer the key's. All methods are safe for concurrent use. Byte slices
// passed in are not kept or changed after the call; byte slices handed out may be
// shared between callers and must not be changed.
type Store interface {
	// Claim takes the key or says who has it. It decides in this order: absent or
	// past retention → Acquired, attempt 1. Both fingerprints given and different →
	// Mismatch. Done → Done. Held → Abandoned. Own token, not released → Acquired,
	// same fence and attempt, lease restarted. Released → Acquired, attempt+1, also
	// under NoTakeover. Lease alive → InFlight. Lease over → Acquired, attempt+1,
	// with the last Progress; under NoTakeover → Abandoned.
	Claim(ctx context.Context, c Claim) (Record, error)
	// Renew lets the lease end d from now. A nil p keeps the progress; an older Seq
	// than the one kept is ignored. A lease that is over but unchallenged is renewed.
	Renew(ctx context.Context, l Lease, d time.Duration, p *Progress) error
	// Complete records the result and keeps it for keep. It compares token and fence,
	// never the deadline. A nil result is a tombstone: done, without a body. A repeat by
	// the same owner returns the record that stands. With ErrLeaseLost it returns the
	// record that stands, if there is one.
	Complete(ctx context.Context, l Lease, result []byte, keep time.Duration) (Record, error)
	// Release gives the key up without a result, as d says. What the first Release of a
	// holding said stands: a repeat returns nil, also when Forget has left nothing to
	// repeat it on. A key that is Done, or somebody else's, gets ErrLeaseLost.
	Release(ctx context.Context, l Lease, d Disposition) error
}

// Claim asks for a key.
type Claim struct {
	Key         Key
	Token       uuid.UUID     // chosen by the claimer before the first send; random, 128 bits
	Fingerprint []byte        // digest of the request the key is bound to; nil compares to nothing
	Lease       time.Duration // how long the claim holds without renewal
	Keep        time.Duration // how long a record that is never completed lives, at least the lease
	NoTakeover  bool          // at most once: an expired lease is Abandoned, not handed over
}

// Lease names one holding of a key. Writes compare Token and Fence together.
type Lease struct {
	Key     Key
	Token   uuid.UUID
	Fence   int64 // grows with every take-over of the key, also past retention
	Attempt int   // 1-based
}

// Record is what a store knows of a key. One with State Mismatch reveals neither Result nor
// Progress.
type Record struct {
	State       State
	Lease       Lease         // of the claimer when Acquired, of who completed it when Done, else of the present or last holder
	Fingerprint []byte        // as bound by the first claim that gave one
	Result      []byte        // when Done; nil is a tombstone, empty is an empty result
	Progress    Progress      // when Acquired: what the last attempt left
	Left        time.Duration // of the lease when InFlight or Acquired, of the retention when Done
	Age         time.Duration // since the first claim of this record
}

// Progress is what a holder leaves for the next attempt. Seq grows with each save.
type Progress struct {
	Seq  int64
	Data []byte
}

// State is a claim's outcome, or what an [Inspector] found. Zero means that there is no
// record.
type State uint8

const (
	Acquired  State = iota + 1 // the claimer holds the key and must run
	InFlight                   // somebody else holds it
	Done                       // finished; Result is what to replay
	Mismatch                   // the key is bound to another fingerprint
	Abandoned                  // held for a person, or over without an outcome under NoTakeover

	// Claim never answers with these two; they are for an [Inspector].

	Released // given up without a result: the next claim runs
	Expired  // the lease is over without an outcome: the next claim takes it over, or finds it Abandoned
)

// Disposition says what becomes of a released key.
type Disposition uint8

const (
	DispositionRetry  Disposition = iota + 1 // claimable at once, attempt+1, fingerprint kept
	DispositionForget                        // as if never claimed, but for the fence
	DispositionHold                          // Abandoned until resolved, or Keep ends
)

// TxStore is a [Store] whose records can join a transaction of the caller's.
type TxStore[Tx any] interface {
	Store
	// InTx runs fn in a transaction and commits it if fn returns nil. If fn fails, panics or
	// calls runtime.Goexit it rolls back; it returns fn's error as it is, or joined with that
	// of the rollback. If it cannot tell whether the commit took place, its error matches
	// [ErrUnknown].
	InTx(ctx context.Context, fn func(Tx) error) error
	// With returns the store inside tx. It is valid as long as tx is, not safe for
	// concurrent use, and implements [Savepointer].
	With(tx Tx) Store
}

// Savepointer is offered by the stores that [TxStore.With] returns. Savepoint runs fn and,
// if fn fails, panics or calls runtime.Goexit, undoes what was written in the transaction
// since; it returns fn's error as it is, or joined with that of the undoing. Savepoints nest.
type Savepointer interface {
	Savepoint(ctx context.Context, fn func(context.Context) error) error
}

// Sweeper is implemented by stores whose ended records need removing. Sweep removes
// at most limit of them and says how many it did.
type Sweeper interface {
	Sweep(ctx context.Context, limit int) (int, error)
}

// Checker is implemented by stores that can tell whether their settings void the
// package's promises. Check returns an error that says which setting and what to do.
type Checker interface {
	Check(ctx context.Context) error
}
