package idem

import (
	"context"

	"github.com/google/uuid"
)

// Attempt is the run that a context belongs to.
type Attempt struct {
	Key    Key
	Number int   // 1-based; greater than 1 means that an earlier run failed or crashed
	Fence  int64 // greater than that of every earlier run of the key
}

// Current returns the attempt that ctx belongs to: inside a function run by a [Guard], and
// in what it calls with its context. Otherwise it returns false.
func Current(ctx context.Context) (Attempt, bool) {
	r, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		return Attempt{}, false
	}
	return r.attempt(), true
}

// SubKey derives an idempotency key for a call that the run makes to somebody else. It is
// the same on every attempt of the key, and another for every name: a version 5 UUID of
// key and name, 36 characters that nearly every service accepts.
func (a Attempt) SubKey(name string) string {
	space := uuid.UUID{0x5a, 0x0c, 0x8d, 0x1e, 0x3f, 0x52, 0x4b, 0x0e, 0x9a, 0x77, 0x2b, 0x64, 0x1d, 0xe0, 0x93, 0xc8}
	data := make([]byte, 0, prefixed(string(a.Key))+len(name))
	data = appendPrefixed(data, string(a.Key))
	return uuid.NewSHA1(space, append(data, name...)).String()
}
