package outbox

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/google/uuid"
)

// ErrLeaseLost is matched by the error of a fenced write whose lease has passed to
// another owner or was released. Nothing was changed, unless the method says otherwise.
var ErrLeaseLost = errors.New("outbox: lease lost")

// Store is the relay's side of a database. It holds messages in two tables: the hot one,
// which sees inserts and deletes only, and the cold one of parked messages: failed ones
// that wait for their next attempt, the followers of their keys, delayed ones and dead
// letters.
//
// Every method is safe for concurrent use and harmless when repeated with the same
// arguments, because its answer may get lost. Leases are judged by the store's clock
// alone. An error means that the system failed; [ErrLeaseLost] is the only one that the
// relay tells apart.
//
// Package outboxtest holds the conformance kit. See [Inspector], [Notifier] and
// [Checker] for what a store may offer besides.
type Store interface {
	// Lease counts r.Owner among the living relays of every lane but those in r.Skip,
	// renews what it holds there, takes free and expired shards up to its fair share of
	// each lane (shards over living relays, rounded up), and returns all that it holds
	// now. A shard is never taken from an owner whose lease runs. What the owner holds
	// of the skipped lanes is released. The epoch of a shard grows whenever it is taken:
	// free, released or expired, whoever held it before. A renewal keeps it, also a late
	// one if nobody came between.
	//
	// Where the owner holds more of a lane than the fair share, rounded up, and others less,
	// or more than it rounded down, and others less than that, the excess comes marked
	// Surplus, as far as the others do not find enough that is free.
	Lease(ctx context.Context, r LeaseRequest) ([]Lease, error)

	// Release gives shards back at once, so that others need not wait for the lease to
	// run out. A lease that is no longer the current one of its shard is passed over. A
	// nil held means that the owner leaves: all it holds is released, and it is not
	// counted among the living relays until its next Lease.
	Release(ctx context.Context, owner string, held []Lease) error

	// Fetch reads hot messages beyond each cursor, in order of Seq within a shard,
	// without locks and without a write.
	Fetch(ctx context.Context, r FetchRequest) (Page, error)

	// Ack removes published messages from the hot table. It is not fenced, on purpose:
	// the message did go out. References to what is not there are passed over.
	Ack(ctx context.Context, refs []Ref) error

	// Park moves hot messages to the cold table, in one transaction fenced by l. It
	// takes the fates Again, Behind, Dead and Block. A message that is no longer hot is
	// passed over, so that a repeat changes nothing.
	Park(ctx context.Context, l Lease, items []Outcome) error

	// Due reads at most limit parked messages of the shards held whose time has come:
	// retries, delayed ones, and behind each of them the followers of its key, in order
	// of Seq within a key. It may stop before the limit once it has 16 MiB of payload. A message is returned only if every live or blocking earlier
	// one of its key is in the same answer before it; never one whose key's first is not
	// due yet, or is blocked.
	Due(ctx context.Context, held []Lease, limit int) ([]Row, error)

	// Settle records what became of parked messages, in one transaction fenced by l. It
	// takes the fates Published, Again, Dead and Block. Published removes the message;
	// after Published and Dead the key's next one is due at once. Published is not
	// fenced, for the reason of Ack: with a lease that was lost Settle still removes
	// those messages, changes no other and returns [ErrLeaseLost].
	Settle(ctx context.Context, l Lease, items []Outcome) error
}

// LeaseRequest asks for shards.
type LeaseRequest struct {
	Owner string        // unique among the relays alive
	TTL   time.Duration // how long the leases hold, by the store's clock
	Skip  []uint8       // lanes that the owner does not serve now
}

// Lease is a relay's holding of one shard.
type Lease struct {
	Shard   int
	Lane    uint8         // the lane that the shard belongs to
	Epoch   int64         // grows with every change of owner
	Left    time.Duration // at the time of the call
	Surplus bool          // another relay is owed this shard: finish what is in flight, then Release it
}

// FetchRequest says what to read.
type FetchRequest struct {
	From  []Cursor
	Limit int // messages a shard
	Bytes int // payload in all: reading ends once it is reached, but never before the first message
}

// Cursor says where to read a shard from.
type Cursor struct {
	Lease
	After int64 // read messages with a higher Seq
}

// Page is what Fetch read.
type Page struct {
	Rows []Row // ordered by Seq within a shard
	More bool  // there is more to read at once: a shard reached Limit, or the page Bytes

	// Safe says that in the shards asked for no message with a Seq at or below it will
	// still appear which this read could not see: whoever might commit one had ended
	// before. Reads then begin there. A store whose Seqs become visible in order says
	// [math.MaxInt64]; one that does not know says 0, and is always read from the start of
	// a shard, past what is deleted.
	Safe int64
}

// Row is a message as a store read it.
type Row struct {
	Delivery

	// Behind says that another message of the same ordering key is parked and live, or
	// blocks the key: this one must not be published, but parked with the fate Behind.
	// Set by Fetch only.
	Behind bool

	// Err says why the row could not be decoded. Seq and Shard are valid, the rest as far
	// as it could be read. The relay gives such a message up without publishing it.
	Err error
}

// Ref names one stored message.
type Ref struct {
	Shard int
	Seq   int64
}

// Outcome says what became of one message of a shard.
type Outcome struct {
	Seq      int64
	Fate     Fate
	Attempts int           // spent so far
	Wait     time.Duration // Again: how long from now until it is due
	Err      string        // what failed, for the operator; "" keeps what is recorded
}

// Fate is what becomes of a message.
type Fate uint8

const (
	Published Fate = iota + 1 // durable at the destination: remove it
	Again                     // keep it for another attempt after Wait; its key waits with it
	Behind                    // keep it until every earlier parked message of its key has left
	Dead                      // no further attempt; its key goes on
	Block                     // no further attempt; its key waits until a redrive or a skip
)

// Inspector is implemented by stores that an operator can look into.
type Inspector interface {
	// Stats describes the store at a bounded cost.
	Stats(ctx context.Context) (Stats, error)
	// Dead yields the dead letters that match f, by shard and Seq. It ends after the
	// first error. No transaction is held open between two letters.
	Dead(ctx context.Context, f Filter) iter.Seq2[DeadLetter, error]
	// Redrive makes the dead letters that match f due at once, with no attempts spent,
	// and says how many. Within a key the earliest goes first, and what is parked
	// behind it follows.
	Redrive(ctx context.Context, f Filter) (int64, error)
	// Skip removes the dead letters that match f for good, so that a key they block
	// goes on, and says how many.
	Skip(ctx context.Context, f Filter) (int64, error)
}

// Filter selects dead letters; zero fields select all.
type Filter struct {
	ID    uuid.UUID
	Topic string
	Key   string
	Lane  *uint8
	Limit int // at most so many; 0 = no limit
}

// DeadLetter is a message that was given up.
type DeadLetter struct {
	Delivery
	Err    string    // what failed last
	DiedAt time.Time // by the store's clock
	Blocks bool      // its key waits for it
}

// CountLimit bounds the counts of [Stats]: a store stops counting there.
const CountLimit = 10_000

// Stats describes a store. Counts stop at [CountLimit].
type Stats struct {
	Hot    int64         // committed, not yet published
	Parked int64         // retries, followers and delayed messages
	Dead   int64         // given up
	Oldest time.Duration // age of the oldest message that is hot, or parked and not dead; 0 = none. Delayed ones count from NotBefore
}

// Notifier is implemented by stores that learn of commits by themselves.
type Notifier interface {
	// Listen calls wake after commits that may have brought messages, until ctx ends or
	// the means of listening fails, and returns why. A call too many or too few does no
	// harm: the relay polls besides. It is called again after a failure.
	Listen(ctx context.Context, wake func()) error
}

// Checker is implemented by stores that can tell whether their settings void the
// package's promises. Check returns an error that says which setting and what to do;
// [Relay.Run] then refuses to start.
type Checker interface {
	Check(ctx context.Context) error
}
