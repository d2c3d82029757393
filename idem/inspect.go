package idem

import (
	"context"
	"time"
)

// Inspector is implemented by stores that let an operator look at keys and settle those
// whose outcome is unknown. [AtMostOnce] needs it: nothing else ends an abandoned key
// before its retention does.
type Inspector interface {
	// Get returns what the store knows of a key. A State of zero says that it knows
	// nothing. It writes nothing.
	Get(ctx context.Context, key Key) (Record, error)
	// List returns records by ascending key, without their results and progress.
	List(ctx context.Context, q Query) ([]Record, error)
	// Delete forgets a key, whatever its state: its holder loses the lease, and the next
	// claim runs as new with a higher fence. Deleting an absent key is fine.
	Delete(ctx context.Context, key Key) error
	// Resolve records result, as [Store.Complete] would, for a key that is Abandoned,
	// Expired or Released, and takes it from its last holder for good: its record has a token
	// of zero and a higher fence. It returns the record that stands: a key that is Done stays as it is, an absent one gives a State of zero. A
	// key whose lease is alive is refused with [ErrInFlight].
	Resolve(ctx context.Context, key Key, result []byte, keep time.Duration) (Record, error)
}

// Query selects records for [Inspector.List].
type Query struct {
	State State // zero = any
	After Key   // only keys greater than this, bytewise; "" = from the start
	Limit int   // at most so many; 0 = 100
}
