package app

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"

	"example.com/once/idem"
	"example.com/once/monitoring/domain"
)

// Key is the idempotency key of a rule's evaluation in a slot. It is made of the rule's
// identity and the scheduled instant, and of nothing that differs between replicas or
// attempts: not of the clock, not of a random number, not of what the targets said.
func Key(ruleID string, slot time.Time) idem.Key {
	return idem.NewKey("monitor", ruleID, slot.UTC().Format(time.RFC3339Nano))
}

// MessageID is the identity of the message that tells a sink of a transition. Like
// the key that it is made from it is the same in every replica, so a message written
// twice is one message, and a sink that has seen it knows it again.
//
// It is a UUID of version 8 (RFC 9562, section 5.8): 48 bits of the slot in Unix
// milliseconds, so that ids sort by time, then 74 bits of a SHA-256 over the key, the
// alert's fingerprint, the phase entered and the sink.
func MessageID(key idem.Key, slot time.Time, f domain.Fingerprint, to domain.Phase, sink string) [16]byte {
	h := sha256.New()
	for _, part := range []string{string(key), f.String(), to.String(), sink} {
		h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	var id [16]byte
	var millis [8]byte
	binary.BigEndian.PutUint64(millis[:], uint64(slot.UnixMilli()))
	copy(id[:6], millis[2:])
	copy(id[6:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80 // variant of RFC 9562
	return id
}

// FormatMessageID writes a message id in the usual form of a UUID.
func FormatMessageID(id [16]byte) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 36)
	for i, x := range id {
		switch i {
		case 4, 6, 8, 10:
			b = append(b, '-')
		}
		b = append(b, digits[x>>4], digits[x&0x0f])
	}
	return string(b)
}
