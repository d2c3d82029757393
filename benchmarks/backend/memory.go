package backend

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/google/uuid"

	"example.com/once/idem"
)

func memory() Backend {
	return Backend{
		Name:       "memory",
		Durability: "none",
		Transient:  true,
		Open: func(context.Context, string) (*Store, error) {
			return &Store{
				Idem:  &idem.Memory{MaxEntries: -1, MaxBytes: -1},
				Raw:   newRawMemory(),
				Close: func() error { return nil },
			}, nil
		},
	}
}

// rawMemory is a sharded map.
type rawMemory struct {
	seed   maphash.Seed
	shards [256]rawShard
}

type rawShard struct {
	mu      sync.Mutex
	entries map[idem.Key]rawEntry
}

type rawEntry struct {
	owner  uuid.UUID
	result []byte
}

func newRawMemory() *rawMemory {
	m := &rawMemory{seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].entries = make(map[idem.Key]rawEntry)
	}
	return m
}

func (m *rawMemory) shard(key idem.Key) *rawShard {
	return &m.shards[maphash.String(m.seed, string(key))%uint64(len(m.shards))]
}

func (m *rawMemory) Pair(_ context.Context, key idem.Key, owner uuid.UUID, result []byte) error {
	if err := m.claim(key, owner); err != nil {
		return err
	}
	return m.complete(key, owner, result)
}

func (m *rawMemory) claim(key idem.Key, owner uuid.UUID) error {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.entries[key]; taken {
		return fmt.Errorf("the key %q is taken", key)
	}
	s.entries[key] = rawEntry{owner: owner}
	return nil
}

func (m *rawMemory) complete(key idem.Key, owner uuid.UUID, result []byte) error {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, known := s.entries[key]
	if !known || e.owner != owner {
		return fmt.Errorf("the key %q is somebody else's", key)
	}
	e.result = result
	s.entries[key] = e
	return nil
}

func (m *rawMemory) Fill(ctx context.Context, keys []idem.Key, result []byte) error {
	for _, key := range keys {
		if err := m.Pair(ctx, key, uuid.New(), result); err != nil {
			return err
		}
	}
	return nil
}

func (m *rawMemory) Read(_ context.Context, key idem.Key) ([]byte, error) {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, known := s.entries[key]
	if !known || e.result == nil {
		return nil, fmt.Errorf("the key %q has no result", key)
	}
	return e.result, nil
}

func (m *rawMemory) Count(context.Context) (int64, error) {
	var n int64
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for _, e := range s.entries {
			if e.result != nil {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n, nil
}
