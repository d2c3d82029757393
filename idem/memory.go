package idem

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Defaults and sizes of a Memory.
const (
	memoryShards     = 64
	memoryMaxEntries = 1 << 20
	memoryMaxBytes   = 256 << 20
	entryOverhead    = 320 // bytes an entry costs beside its key and contents, about
)

// Memory is a [Store] in this process's memory: for tests, for single-process services
// that accept to forget on restart, and as the model of what a store does. The zero value
// works. It must not be copied after first use.
//
// It is bounded. When it is full it refuses new keys with [ErrFull]; it never evicts a
// record before its time, because an evicted key would run again. Records whose retention
// is over are reclaimed by the claims that follow and by [Guard.Run]. A result that does not
// fit any more gets [ErrTooLarge], so that a [Guard] keeps the key as done without it.
// Results are kept once; every replay shares those bytes.
type Memory struct {
	MaxEntries int   // records kept at once; 0 = 1,048,576, negative = no limit
	MaxBytes   int64 // of keys, fingerprints, results and bookkeeping; 0 = 256 MiB, negative = no limit

	once    sync.Once
	seed    maphash.Seed // keyed, so that nobody can aim keys at one shard
	epoch   time.Time    // all times are monotonic offsets from it
	entries atomic.Int64
	bytes   atomic.Int64
	shards  *[memoryShards]shard
}

var (
	_ Store     = (*Memory)(nil)
	_ Sweeper   = (*Memory)(nil)
	_ Inspector = (*Memory)(nil)
)

// Claim implements [Store]. A new key in a full store gets [ErrFull].
func (m *Memory) Claim(ctx context.Context, c Claim) (Record, error) {
	if err := check(ctx, c.Key); err != nil {
		return Record{}, err
	}
	if c.Token == (uuid.UUID{}) {
		return Record{}, errors.New("idem: Claim.Token is zero, it must be random")
	}
	if c.Lease <= 0 {
		return Record{}, fmt.Errorf("idem: Claim.Lease is %v, it must be positive", c.Lease)
	}
	sh := m.shard(c.Key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := m.now()
	e := sh.live(c.Key, now)
	if e == nil {
		e, err := m.admit(sh, c, now)
		if err != nil {
			return Record{}, err
		}
		return e.record(Acquired, now), nil
	}
	state := e.decide(c, now)
	if state != Acquired {
		return e.record(state, now), nil
	}
	bind := e.fingerprint == nil && c.Fingerprint != nil
	if bind && !m.reserve(sh, int64(len(c.Fingerprint)), now) {
		return Record{}, ErrFull
	}
	if bind {
		e.fingerprint = clone(c.Fingerprint)
	}
	if e.phase == phaseReleased || e.token != c.Token {
		e.token = c.Token
		e.fence = sh.nextFence(m, now)
		e.attempt++
	}
	e.phase = phaseRunning
	e.lease = later(now, c.Lease)
	e.end = max(e.end, later(now, max(c.Keep, c.Lease)))
	return e.record(Acquired, now), nil
}

// Renew implements [Store].
func (m *Memory) Renew(ctx context.Context, l Lease, d time.Duration, p *Progress) error {
	if err := check(ctx, l.Key); err != nil {
		return err
	}
	if d <= 0 {
		return fmt.Errorf("idem: lease of %v, it must be positive", d)
	}
	sh := m.shard(l.Key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := m.now()
	e := sh.live(l.Key, now)
	if !e.heldBy(l) || e.phase != phaseRunning {
		return ErrLeaseLost
	}
	if p != nil && p.Seq >= e.progress.Seq {
		if !m.reserve(sh, int64(len(p.Data)-len(e.progress.Data)), now) {
			return fmt.Errorf("%w: the store has no room for %d bytes of progress", ErrTooLarge, len(p.Data))
		}
		e.progress = Progress{Seq: p.Seq, Data: clone(p.Data)}
	}
	e.lease = later(now, d)
	e.end = max(e.end, e.lease)
	return nil
}

// Complete implements [Store]. A result for which there is no room gets [ErrTooLarge].
func (m *Memory) Complete(ctx context.Context, l Lease, result []byte, keep time.Duration) (Record, error) {
	if err := check(ctx, l.Key); err != nil {
		return Record{}, err
	}
	sh := m.shard(l.Key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := m.now()
	e := sh.live(l.Key, now)
	if e == nil {
		return Record{}, ErrLeaseLost
	}
	if e.heldBy(l) && e.phase == phaseDone {
		return e.record(Done, now), nil
	}
	if !e.heldBy(l) || e.phase != phaseRunning {
		return e.record(e.state(now), now), ErrLeaseLost
	}
	if err := m.finish(sh, e, result, keep, now); err != nil {
		return Record{}, err
	}
	return e.record(Done, now), nil
}

// Release implements [Store].
func (m *Memory) Release(ctx context.Context, l Lease, d Disposition) error {
	if err := check(ctx, l.Key); err != nil {
		return err
	}
	sh := m.shard(l.Key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := m.now()
	e := sh.live(l.Key, now)
	switch {
	case e == nil && d == DispositionForget:
		return nil // a repeat, or nothing left to forget
	case !e.heldBy(l) || e.phase == phaseDone:
		return ErrLeaseLost
	case e.phase != phaseRunning:
		return nil // a repeat: what the first said stands
	}
	switch d {
	case DispositionRetry:
		e.phase = phaseReleased
	case DispositionHold:
		e.phase = phaseHeld
	case DispositionForget:
		m.remove(sh, e)
	default:
		return fmt.Errorf("idem: unknown disposition %d", d)
	}
	return nil
}

// Sweep implements [Sweeper].
func (m *Memory) Sweep(ctx context.Context, limit int) (int, error) {
	m.init()
	removed := 0
	for i := range m.shards {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		if removed >= limit {
			break
		}
		sh := &m.shards[i]
		sh.mu.Lock()
		removed += m.reclaim(sh, m.now(), limit-removed)
		sh.mu.Unlock()
	}
	return removed, nil
}

// check is what every method starts with.
func check(ctx context.Context, k Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return k.check()
}

func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}
