package outbox

import (
	"context"
	"time"
)

// Lease is a relay's holding of one shard.
type Lease struct {
	Shard int
	Epoch int64         // grows with every change of owner
	Left  time.Duration // when granted, by the store's clock
}

// Cursor says where to read a shard from.
type Cursor struct {
	Lease
	After int64 // low-water mark: every message at or below it is gone or parked
}

// Park moves a failed message, and with it the key's later ones, out of the hot table.
type Park struct {
	Delivery Delivery
	Wait     time.Duration // before the next attempt
	Dead     bool          // no further attempt
	Err      string        // what failed, for the operator
}

// Settlement says what became of a parked message.
type Settlement struct {
	Seq      int64
	Done     bool // published: remove it
	Dead     bool // give up
	Attempts int  // spent so far
	Wait     time.Duration
	Err      string
}

// Store is the relay's side of a database. All methods are safe for concurrent use and
// safe to repeat.
type Store interface {
	// Lease joins owner to the relays, takes its fair share of free and expired shards,
	// renews those it holds, and returns all that it holds now. Shards above the fair
	// share are not taken from a living owner; held ones may be given up by Release.
	Lease(ctx context.Context, owner string, ttl time.Duration) ([]Lease, error)
	// Release gives shards back at once.
	Release(ctx context.Context, owner string, held []Lease) error
	// Fetch reads the next hot messages, at most limit a shard, in order, without locks.
	Fetch(ctx context.Context, from []Cursor, limit int) ([]Delivery, error)
	// Ack removes published messages. It is not fenced, on purpose: the message did go out.
	Ack(ctx context.Context, shard int, seqs []int64) error
	// Park sets failed messages aside, fenced by the lease's epoch.
	Park(ctx context.Context, l Lease, items []Park) error
	// Due returns parked messages whose time has come, in order per key.
	Due(ctx context.Context, l Lease, limit int) ([]Delivery, error)
	// Settle records attempts at parked messages, fenced by the lease's epoch.
	Settle(ctx context.Context, l Lease, items []Settlement) error
}
