package outbox

import (
	"time"

	"github.com/google/uuid"
)

// Message is what a unit of work wants published after its commit.
type Message struct {
	ID        uuid.UUID // zero = a fresh UUIDv7; set it for a deterministic identity
	Topic     string    // what it is about; a publisher routes by it
	Key       string    // ordering key; "" = unordered
	Payload   []byte
	Headers   []Header
	NotBefore time.Time // zero = at once
	Lane      uint8     // isolation class: one per destination that may fail alone
}

// Header is one name and value that travel with a message.
type Header struct{ Key, Value string }

// Delivery is one attempt at publishing a stored message.
type Delivery struct {
	Message
	Seq       int64     // the store's order inside the shard
	Shard     int       // lane and hash of the ordering key
	Attempt   int       // 1-based; an outage of the destination spends none
	CreatedAt time.Time // by the store's clock, for information only
}
