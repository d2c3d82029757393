package outbox

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// ErrMessage is matched by the error of a message that cannot be written.
var ErrMessage = errors.New("outbox: invalid message")

// Limits of a message.
const (
	MaxName    = 255      // bytes of a topic, an ordering key or a header's key
	MaxPayload = 4 << 20  // bytes
	MaxHeaders = 64 << 10 // bytes of all headers, keys and values
)

// Message is what a unit of work wants published after its commit.
type Message struct {
	// ID is the message's identity, the same on every attempt and at the receiver. Zero =
	// a fresh UUIDv7 when it is written; set it for a deterministic identity.
	ID uuid.UUID
	// Topic says what it is about; a publisher routes by it. Required.
	Topic string
	// Key is the ordering key: messages of one key and lane are published in commit
	// order. "" = unordered.
	Key     string
	Payload []byte
	Headers []Header
	// NotBefore delays the message; zero = at once. A message that has it set is outside
	// the order of its key: it neither waits for others nor holds them up.
	NotBefore time.Time
	// Lane is the isolation class: one per destination that may fail alone.
	Lane uint8
}

// Header is one name and value that travel with a message.
type Header struct{ Key, Value string }

// Delivery is one attempt at publishing a stored message.
type Delivery struct {
	Message
	Seq       int64     // the store's order inside the shard; above 0
	Shard     int       // of the lane and the ordering key; see [ShardOf]
	Attempt   int       // 1-based; an outage of the destination spends none
	CreatedAt time.Time // by the store's clock, for information only
}

// OrderKey returns the key that the message is ordered by: Key, or "" if the message is
// delayed.
func (m *Message) OrderKey() string {
	if !m.NotBefore.IsZero() {
		return ""
	}
	return m.Key
}

// Validate returns an error, which matches [ErrMessage] and names the field, if m cannot
// be written. Writers call it.
func (m *Message) Validate() error {
	switch {
	case m.Topic == "":
		return fmt.Errorf("%w: Topic is empty", ErrMessage)
	case !printable(m.Topic):
		return fmt.Errorf("%w: Topic must be valid UTF-8 without control characters, at most %d bytes", ErrMessage, MaxName)
	case !printable(m.Key):
		return fmt.Errorf("%w: Key must be valid UTF-8 without control characters, at most %d bytes", ErrMessage, MaxName)
	case len(m.Payload) > MaxPayload:
		return fmt.Errorf("%w: Payload has %d bytes, more than %d", ErrMessage, len(m.Payload), MaxPayload)
	}
	size := 0
	for i, h := range m.Headers {
		if h.Key == "" || !printable(h.Key) {
			return fmt.Errorf("%w: Headers[%d].Key must be 1 to %d bytes of valid UTF-8 without control characters", ErrMessage, i, MaxName)
		}
		if !utf8.ValidString(h.Value) || strings.ContainsAny(h.Value, "\r\n\x00") {
			return fmt.Errorf("%w: Headers[%d].Value must be valid UTF-8 without CR, LF and NUL", ErrMessage, i)
		}
		size += len(h.Key) + len(h.Value)
	}
	if size > MaxHeaders {
		return fmt.Errorf("%w: Headers have %d bytes, more than %d", ErrMessage, size, MaxHeaders)
	}
	return nil
}

func printable(s string) bool {
	return len(s) <= MaxName && utf8.ValidString(s) &&
		strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}

// ShardOf returns the shard of m in a store that has shards of them a lane: the lane's
// first one plus a hash of the key, or of the ID for a message without one. The result is
// the same on every machine and in every version, since it is stored. ID must be set.
func ShardOf(m *Message, shards int) int {
	// FNV-1a, 64 bits, folded: its low bits alone are weak.
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	if m.Key != "" {
		for i := range len(m.Key) {
			h = (h ^ uint64(m.Key[i])) * prime
		}
	} else {
		for _, b := range m.ID {
			h = (h ^ uint64(b)) * prime
		}
	}
	h ^= h >> 32
	h *= prime
	h ^= h >> 29
	return int(m.Lane)*shards + int(h%uint64(shards)) //nolint:gosec // shards is a small positive number
}
