package idem

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
)

// MaxKey is the length of the longest [Key], in bytes.
const MaxKey = 255

// Key names one operation. It is 1 to 255 bytes of any value; two keys are the same if
// their bytes are. Stores keep keys in clear, so digest what must not be read there. Make a
// key from parts with [NewKey].
type Key string

// NewKey joins a scope (whose key it is: a tenant, a principal, a subsystem) and parts
// without ambiguity: no two inputs share a key. Every part is written behind its length, so
// ("a", "bc") and ("ab", "c") differ; what would be longer than [MaxKey] becomes a SHA-256
// digest, which no short key can look like. The result is always valid and the same in
// every process and release.
func NewKey(scope string, parts ...string) Key {
	size := prefixed(scope)
	for _, p := range parts {
		size += prefixed(p)
	}
	b := make([]byte, 0, size)
	b = appendPrefixed(b, scope)
	for _, p := range parts {
		b = appendPrefixed(b, p)
	}
	if len(b) <= MaxKey {
		return Key(b)
	}
	sum := sha256.Sum256(b)
	// A short key starts with a digit, this one does not.
	return Key("sha256:" + hex.EncodeToString(sum[:]))
}

// check returns an error that matches ErrKey if k cannot name anything.
func (k Key) check() error {
	switch {
	case k == "":
		return fmt.Errorf("%w: it is empty", ErrKey)
	case len(k) > MaxKey:
		return fmt.Errorf("%w: %d bytes, at most %d are allowed; NewKey digests what is longer", ErrKey, len(k), MaxKey)
	}
	return nil
}

func prefixed(s string) int { return len(strconv.Itoa(len(s))) + 1 + len(s) }

func appendPrefixed(b []byte, s string) []byte {
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, ':')
	return append(b, s...)
}
