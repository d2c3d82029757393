package idem

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"
)

// phase is what an entry's last holder did.
type phase uint8

const (
	phaseRunning phase = iota // claimed; the lease says whether it still holds
	phaseReleased
	phaseHeld
	phaseDone
)

// entry is one record. Times are offsets from Memory.epoch.
type entry struct {
	key         Key
	token       uuid.UUID
	fence       int64
	attempt     int
	phase       phase
	fingerprint []byte
	result      []byte
	progress    Progress
	created     time.Duration
	lease       time.Duration // end of the lease
	end         time.Duration // end of the retention, never before the lease's
	queued      time.Duration // the end that the shard's queue knows, never after end
	index       int           // in the queue
}

// shard is a part of the keys with a lock of its own.
type shard struct {
	mu      sync.Mutex
	entries map[Key]*entry
	queue   []*entry // a binary heap by queued
	fence   int64    // the last one given out
}

func (m *Memory) init() {
	m.once.Do(func() {
		m.seed = maphash.MakeSeed()
		m.epoch = time.Now()
		m.shards = new([memoryShards]shard)
		for i := range m.shards {
			m.shards[i].entries = make(map[Key]*entry)
		}
	})
}

func (m *Memory) shard(k Key) *shard {
	m.init()
	return &m.shards[maphash.String(m.seed, string(k))%memoryShards]
}

func (m *Memory) now() time.Duration { return time.Since(m.epoch) }

// later is now+d, or the end of all time where that cannot be counted.
func later(now, d time.Duration) time.Duration {
	if d > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + d
}

// live returns the entry of k unless its retention is over.
func (sh *shard) live(k Key, now time.Duration) *entry {
	e := sh.entries[k]
	if e == nil || e.end <= now {
		return nil
	}
	return e
}

// nextFence is the clock in microseconds, or one more than the last where that is
// greater: it grows for every key of the shard, forgotten ones too, and over restarts.
func (sh *shard) nextFence(m *Memory, now time.Duration) int64 {
	sh.fence = max(sh.fence+1, m.epoch.UnixMicro()+now.Microseconds())
	return sh.fence
}

// decide is the order of [Store.Claim] for a record that exists.
func (e *entry) decide(c Claim, now time.Duration) State {
	switch {
	case c.Fingerprint != nil && e.fingerprint != nil && !bytes.Equal(c.Fingerprint, e.fingerprint):
		return Mismatch
	case e.phase == phaseDone:
		return Done
	case e.phase == phaseHeld:
		return Abandoned
	case e.phase == phaseReleased, e.token == c.Token:
		return Acquired
	case now < e.lease:
		return InFlight
	case c.NoTakeover:
		return Abandoned
	default:
		return Acquired
	}
}

// state is what an inspector sees.
func (e *entry) state(now time.Duration) State {
	switch {
	case e.phase == phaseDone:
		return Done
	case e.phase == phaseHeld:
		return Abandoned
	case e.phase == phaseReleased:
		return Released
	case now < e.lease:
		return InFlight
	default:
		return Expired
	}
}

// record is what leaves the store. The caller must not change its bytes.
func (e *entry) record(s State, now time.Duration) Record {
	r := Record{
		State:       s,
		Lease:       Lease{Key: e.key, Token: e.token, Fence: e.fence, Attempt: e.attempt},
		Fingerprint: e.fingerprint,
		Age:         now - e.created,
	}
	switch s {
	case Acquired:
		r.Progress = e.progress
		r.Left = e.lease - now
	case InFlight:
		r.Left = e.lease - now
	case Done:
		r.Result = e.result
		r.Left = e.end - now
	default:
	}
	return r
}

// heldBy says whether l is the entry's last holding. It is false for no entry.
func (e *entry) heldBy(l Lease) bool {
	return e != nil && e.token == l.Token && e.fence == l.Fence
}

func (e *entry) size() int64 {
	return entryOverhead + int64(len(e.key)+len(e.fingerprint)+len(e.result)+len(e.progress.Data))
}

// admit makes the entry of a new key, or fails with ErrFull.
func (m *Memory) admit(sh *shard, c Claim, now time.Duration) (*entry, error) {
	if old := sh.entries[c.Key]; old != nil {
		m.remove(sh, old)
	}
	m.reclaim(sh, now, 2) // more than one is added: what has ended never piles up
	e := &entry{
		key:         c.Key,
		token:       c.Token,
		attempt:     1,
		fingerprint: clone(c.Fingerprint),
		created:     now,
		lease:       later(now, c.Lease),
		end:         later(now, max(c.Keep, c.Lease)),
	}
	if !m.reserve(sh, e.size(), now) {
		return nil, fmt.Errorf("%w: %d bytes; raise Memory.MaxBytes or shorten Config.Keep", ErrFull, m.bytes.Load())
	}
	if limit := m.maxEntries(); limit >= 0 && m.entries.Add(1) > limit && !m.makeRoom(sh, now, func() bool { return m.entries.Load() <= limit }) {
		m.entries.Add(-1)
		m.bytes.Add(-e.size())
		return nil, fmt.Errorf("%w: %d entries; raise Memory.MaxEntries or shorten Config.Keep", ErrFull, limit)
	}
	e.fence = sh.nextFence(m, now)
	sh.entries[c.Key] = e
	sh.push(e)
	return e, nil
}

// finish turns e into a done record.
func (m *Memory) finish(sh *shard, e *entry, result []byte, keep, now time.Duration) error {
	if !m.reserve(sh, int64(len(result)-len(e.progress.Data)), now) {
		return fmt.Errorf("%w: the store has no room for %d bytes", ErrTooLarge, len(result))
	}
	e.phase = phaseDone
	e.result = clone(result)
	e.progress = Progress{}
	sh.setEnd(e, later(now, keep))
	return nil
}

// remove takes e out of the shard and gives its room back.
func (m *Memory) remove(sh *shard, e *entry) {
	delete(sh.entries, e.key)
	sh.drop(e.index)
	m.entries.Add(-1)
	m.bytes.Add(-e.size())
}

// reclaim removes at most limit ended entries.
func (m *Memory) reclaim(sh *shard, now time.Duration, limit int) int {
	removed := 0
	for removed < limit && len(sh.queue) > 0 && sh.queue[0].queued <= now {
		e := sh.queue[0]
		if e.end > now { // it was prolonged meanwhile
			sh.requeue(e)
			continue
		}
		m.remove(sh, e)
		removed++
	}
	return removed
}

// reserve takes n bytes of the room, or says that there are none. It makes room by
// reclaiming what has ended. A negative n always succeeds.
func (m *Memory) reserve(sh *shard, n int64, now time.Duration) bool {
	limit := m.maxBytes()
	if limit < 0 || m.bytes.Add(n) <= limit || n <= 0 {
		if limit < 0 {
			m.bytes.Add(n)
		}
		return true
	}
	if m.makeRoom(sh, now, func() bool { return m.bytes.Load() <= limit }) {
		return true
	}
	m.bytes.Add(-n)
	return false
}

// makeRoom reclaims ended entries, of the shard that the caller has locked first, until
// enough says that it will do.
func (m *Memory) makeRoom(locked *shard, now time.Duration, enough func() bool) bool {
	const batch = 64
	for m.reclaim(locked, now, batch) > 0 {
		if enough() {
			return true
		}
	}
	for i := range m.shards {
		sh := &m.shards[i]
		// Two claims that each wait for the other's shard would never end.
		if sh == locked || !sh.mu.TryLock() {
			continue
		}
		for m.reclaim(sh, now, batch) > 0 && !enough() {
			continue
		}
		sh.mu.Unlock()
		if enough() {
			return true
		}
	}
	return enough()
}

func (m *Memory) maxEntries() int64 {
	if m.MaxEntries == 0 {
		return memoryMaxEntries
	}
	return int64(m.MaxEntries)
}

func (m *Memory) maxBytes() int64 {
	if m.MaxBytes == 0 {
		return memoryMaxBytes
	}
	return m.MaxBytes
}
