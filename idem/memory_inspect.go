package idem

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Get implements [Inspector].
func (m *Memory) Get(ctx context.Context, key Key) (Record, error) {
	if err := check(ctx, key); err != nil {
		return Record{}, err
	}
	sh := m.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := m.now()
	e := sh.live(key, now)
	if e == nil {
		return Record{}, nil
	}
	r := e.record(e.state(now), now)
	r.Progress = e.progress
	return r, nil
}

// List implements [Inspector]. It looks at every record.
func (m *Memory) List(ctx context.Context, q Query) ([]Record, error) {
	m.init()
	if q.Limit <= 0 {
		q.Limit = 100
	}
	var found []Record
	for i := range m.shards {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		sh := &m.shards[i]
		sh.mu.Lock()
		now := m.now()
		for _, e := range sh.entries {
			if e.end <= now || e.key <= q.After || q.State != 0 && e.state(now) != q.State {
				continue
			}
			r := e.record(e.state(now), now)
			r.Result = nil
			found = append(found, r)
		}
		sh.mu.Unlock()
	}
	slices.SortFunc(found, func(a, b Record) int { return strings.Compare(string(a.Lease.Key), string(b.Lease.Key)) })
	return found[:min(len(found), q.Limit)], nil
}

// Delete implements [Inspector].
func (m *Memory) Delete(ctx context.Context, key Key) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	sh := m.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if e := sh.entries[key]; e != nil {
		m.remove(sh, e)
	}
	return nil
}

// Resolve implements [Inspector].
func (m *Memory) Resolve(ctx context.Context, key Key, result []byte, keep time.Duration) (Record, error) {
	if err := check(ctx, key); err != nil {
		return Record{}, err
	}
	sh := m.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := m.now()
	e := sh.live(key, now)
	if e == nil {
		return Record{}, nil
	}
	switch state := e.state(now); state {
	case Done:
		return e.record(Done, now), nil
	case InFlight:
		return e.record(InFlight, now), &InFlightError{RetryAfter: e.lease - now}
	default:
	}
	if err := m.finish(sh, e, result, keep, now); err != nil {
		return Record{}, err
	}
	// The last holder may still be alive: its token must not match any more.
	e.token = uuid.UUID{}
	e.fence = sh.nextFence(m, now)
	return e.record(Done, now), nil
}
