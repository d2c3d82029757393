// Package suite holds the operations that are compared: what once does, the same work by
// hand, and other libraries.
package suite

import (
	"context"
	"errors"
	"os"
	"strconv"

	"github.com/google/uuid"

	"example.com/once/benchmarks/backend"
	"example.com/once/benchmarks/measure"
	"example.com/once/idem"
)

// All is every group there is for the backends. Their files go into dir.
func All(backends []backend.Backend, dir string) []measure.Group {
	var groups []measure.Group
	for _, b := range backends {
		groups = append(groups, Store(b, dir))
	}
	for _, b := range backends {
		if !b.Transient {
			groups = append(groups, Tx(b, dir))
		}
	}
	groups = append(groups, HTTP(0), HTTP(1024))
	return append(groups, RetrySuccess(), RetryFailures(), Client())
}

// transient is the durability of what leaves nothing behind.
const transient = "none"

// resultSize is how many bytes an operation's result has.
const resultSize = 256

// known is how many keys have a result when replays are measured.
const known = 256

// seat is one caller's own state, a cache line apart from the next one's.
type seat struct {
	caller uint64
	n      uint64 // keys made
	ran    int64  // guarded functions run
	_      [40]byte
}

func seats(callers int) []seat {
	all := make([]seat, callers)
	for i := range all {
		all[i].caller = uint64(i)
	}
	return all
}

// next counts a caller's operations, apart from those of the others.
func (s *seat) next() uint64 {
	s.n++
	return s.caller<<40 | s.n
}

// key makes a new key. Keys are spread as random ones are, which is what an index feels.
func (s *seat) key() idem.Key { return keyOf(s.next()) }

func keyOf(n uint64) idem.Key {
	buf := append(make([]byte, 0, 32), "order-"...)
	return idem.Key(strconv.AppendUint(buf, scatter(n), 16))
}

// scatter is SplitMix64's last step, which maps no two numbers to one.
func scatter(n uint64) uint64 {
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// token makes a new owner, for which a random number would take longer than some stores do.
func (s *seat) token() uuid.UUID {
	var t uuid.UUID
	n := scatter(s.caller<<40 | s.n | 1<<63)
	for i := range 8 {
		t[i], t[8+i] = byte(n>>(8*i)), byte(s.n>>(8*i))
	}
	return t
}

func total(all []seat) (ran int64) {
	for i := range all {
		ran += all[i].ran
	}
	return ran
}

func knownKeys() []idem.Key {
	keys := make([]idem.Key, known)
	for i := range keys {
		keys[i] = knownKey(uint64(i))
	}
	return keys
}

// knownKey makes the key anew, as a request that arrives has it.
func knownKey(n uint64) idem.Key { return keyOf(n%known | 1<<62) }

// place opens a store of its own for one operation.
func place(ctx context.Context, b backend.Backend, parent string) (*backend.Store, error) {
	dir, err := os.MkdirTemp(parent, b.Name)
	if err != nil {
		return nil, err
	}
	s, err := b.Open(ctx, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	closeStore := s.Close
	s.Close = func() error { return errors.Join(closeStore(), os.RemoveAll(dir)) }
	return s, nil
}
