// Package model is a store that is simple enough to be seen to be right: one map, one lock,
// transactions that copy the map. It serves the tests of idem and idemtest, as a
// transactional store that needs no database, as the reference that other stores are
// compared with, and, with a [Defect], as a store that is known to be wrong.
package model

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"example.com/once/idem"
)

// Store implements idem.TxStore, idem.Inspector and idem.Sweeper. Make it with New.
type Store struct {
	Defect Defect // None is right

	// MaxResult is the size of the largest result that is taken; 0 = any.
	MaxResult int

	// OnCommit, if set, is asked in place of a commit: whether to apply the transaction, and
	// what to return. It is called with the lock held.
	OnCommit func() (apply bool, err error)

	lock  chan struct{} // a mutex that a context can give up on
	state state
}

// state is what a transaction copies.
type state struct {
	records map[idem.Key]record
	fence   int64
	writes  int64 // so far

	deleted   map[idem.Key]record // for one defect
	remembers bool                // for another
}

type phase uint8

const (
	running phase = iota
	released
	held
	done
)

// record is a value: changing one never changes a copy of it.
type record struct {
	phase       phase
	lease       idem.Lease
	fingerprint []byte
	result      []byte
	progress    idem.Progress
	created     time.Time
	leased      time.Time // end of the lease
	kept        time.Time // end of the retention
}

// New makes an empty store with a defect, or with None.
func New(d Defect) *Store {
	s := &Store{Defect: d, lock: make(chan struct{}, 1), state: state{records: map[idem.Key]record{}}}
	s.state.fence = time.Now().UnixMicro()
	s.state.remembers = d == NeverForgets
	return s
}

// step runs one atomic step.
func (s *Store) step(ctx context.Context, do func(*state) error) error {
	if s.Defect == IgnoresContext {
		ctx = context.WithoutCancel(ctx)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.lock <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.lock }()
	return do(&s.state)
}

// find returns the record of k unless its retention is over.
func (st *state) find(k idem.Key) (record, bool) {
	r, ok := st.records[k]
	if !ok || !r.kept.After(time.Now()) && !st.remembers {
		return record{}, false
	}
	return r, true
}

// put and drop are all that changes records.
func (st *state) put(k idem.Key, r record) {
	st.records[k] = r
	st.writes++
}

func (st *state) drop(k idem.Key) {
	delete(st.records, k)
	st.writes++
}

func (st *state) nextFence() int64 {
	st.fence = max(st.fence+1, time.Now().UnixMicro())
	return st.fence
}

func (st *state) claim(c idem.Claim, d Defect) idem.Record {
	c = st.distort(c, d)
	if r, ok := st.find(c.Key); ok {
		return st.claimKnown(r, c, d)
	}
	if old, had := st.records[c.Key]; d == BindsForEver && had && old.bars(c) {
		return old.seen(idem.Mismatch, nil)
	}
	r := record{
		lease:       idem.Lease{Key: c.Key, Token: c.Token, Fence: st.nextFence(), Attempt: 1},
		fingerprint: slices.Clone(c.Fingerprint),
		created:     time.Now(),
	}
	if d == FenceRestarts {
		r.lease.Fence = 1
	}
	if d == AttemptsFromZero {
		r.lease.Attempt = 0
	}
	return st.grant(r, c, d)
}

// distort is what defective stores take a claim for.
func (st *state) distort(c idem.Claim, d Defect) idem.Claim {
	c.Key = mangle(c.Key, d)
	switch d {
	case EndsLeasesEarly:
		c.Lease /= 2
	case EndsLeasesLate:
		c.Lease *= 2
	case CountsSeconds:
		c.Lease = (c.Lease + time.Second - 1).Truncate(time.Second)
	case MatchesPrefixes:
		c.Key = st.prefixOf(c.Key)
	default:
	}
	return c
}

// claimKnown claims a key of which there is a record.
func (st *state) claimKnown(r record, c idem.Claim, d Defect) idem.Record {
	over := !r.leased.After(time.Now())
	if d == RebindsAfterRelease && r.phase == released || d == RebindsAtTakeover && r.phase == running && over {
		r.fingerprint = slices.Clone(c.Fingerprint)
	}
	own := r.lease.Token == c.Token && d != ForgetsToken
	switch {
	case r.bars(c) && d != IgnoresFingerprint, d == NilMismatches && (r.fingerprint == nil) != (c.Fingerprint == nil):
		return r.mismatch(d)
	case r.phase == done:
		return st.replay(r, d)
	case r.phase == held && d != HoldIsRelease && (d != HoldYields || !own):
		return r.seen(idem.Abandoned, nil)
	case own && r.phase == running:
		if d == RepeatCounts {
			r.lease.Attempt++
		}
		return st.grant(r, c, d)
	case r.phase == released && !over && d == ReleaseKeepsLease:
		return r.seen(idem.InFlight, nil)
	case r.phase == running && !over && d != LeaseIgnored, r.phase == running && d == NeverTakesOver:
		if d == BindsLosers && r.fingerprint == nil {
			r.fingerprint = slices.Clone(c.Fingerprint)
			st.put(c.Key, r)
		}
		return r.seen(idem.InFlight, nil)
	case r.phase == running && over && c.NoTakeover && d != TakesOverAlways:
		return r.seen(idem.Abandoned, nil)
	default:
		return st.handOver(r, c, d)
	}
}

func (r record) mismatch(d Defect) idem.Record {
	if d == MismatchReveals {
		return r.seen(idem.Mismatch, r.result)
	}
	return r.seen(idem.Mismatch, nil)
}

func (st *state) replay(r record, d Defect) idem.Record {
	if d == DoneHidesToken {
		r.lease.Token = uuid.UUID{}
	}
	if d == ReplayWrites {
		st.put(r.lease.Key, r)
	}
	return r.seen(idem.Done, r.result)
}

// handOver makes c's claimer the holder.
func (st *state) handOver(r record, c idem.Claim, d Defect) idem.Record {
	r.phase = running
	r.lease.Token = c.Token
	r.lease.Attempt++
	if d != FenceStands {
		r.lease.Fence = st.nextFence()
	}
	if d == DropsProgress {
		r.progress = idem.Progress{}
	}
	return st.grant(r, c, d)
}

// bars says whether c is for another request than the record is bound to.
func (r record) bars(c idem.Claim) bool {
	return r.fingerprint != nil && c.Fingerprint != nil && !bytes.Equal(r.fingerprint, c.Fingerprint)
}

// prefixOf returns a key that k begins with, if there is one.
func (st *state) prefixOf(k idem.Key) idem.Key {
	for known := range st.records {
		if strings.HasPrefix(string(k), string(known)) {
			return known
		}
	}
	return k
}

// mangle is what stores do to keys that they should take as bytes.
func mangle(k idem.Key, d Defect) idem.Key {
	s := string(k)
	switch d {
	case FoldsCase:
		s = strings.ToLower(s)
	case TrimsKeys:
		s = strings.TrimRight(s, " ")
	case CutsKeys:
		s = s[:min(len(s), 191)]
	case CutsAtNUL:
		s, _, _ = strings.Cut(s, "\x00")
	default:
	}
	return idem.Key(s)
}

// grant stores r as c's.
func (st *state) grant(r record, c idem.Claim, d Defect) idem.Record {
	now := time.Now()
	if r.fingerprint == nil {
		r.fingerprint = slices.Clone(c.Fingerprint)
	}
	if r.lease.Token != c.Token || d != RepeatKeepsLease || r.leased.IsZero() {
		r.leased = now.Add(c.Lease)
	}
	if end := now.Add(max(c.Keep, c.Lease)); end.After(r.kept) {
		r.kept = end
	}
	switch d {
	case KeepCutsLease:
		r.kept = now.Add(c.Keep)
	case Overflows:
		r.leased = time.Unix(0, now.UnixNano()+int64(c.Lease))
		r.kept = time.Unix(0, now.UnixNano()+int64(c.Keep))
	default:
	}
	st.put(c.Key, r)
	return r.seen(idem.Acquired, nil)
}

// seen is r as it leaves the store.
func (r record) seen(s idem.State, result []byte) idem.Record {
	now := time.Now()
	out := idem.Record{
		State: s, Lease: r.lease, Fingerprint: slices.Clone(r.fingerprint), Result: slices.Clone(result), Age: now.Sub(r.created),
	}
	switch s {
	case idem.Acquired:
		out.Progress = r.progress
		out.Left = r.leased.Sub(now)
	case idem.InFlight:
		out.Left = r.leased.Sub(now)
	case idem.Done:
		out.Left = r.kept.Sub(now)
	default:
	}
	return out
}

// inspected is what an Inspector calls the record.
func (r record) inspected() idem.State {
	switch {
	case r.phase == done:
		return idem.Done
	case r.phase == held:
		return idem.Abandoned
	case r.phase == released:
		return idem.Released
	case r.leased.After(time.Now()):
		return idem.InFlight
	default:
		return idem.Expired
	}
}

// owner says whether l is the record's last holding.
func (r record) owner(l idem.Lease, d Defect) bool {
	token, fence := r.lease.Token == l.Token, r.lease.Fence == l.Fence
	switch d {
	case ChecksFenceOnly:
		return fence
	case ChecksTokenOnly:
		return token
	case ChecksKeyOnly:
		return true
	default:
		return token && fence
	}
}

func (st *state) clone() state {
	return state{records: maps.Clone(st.records), fence: st.fence, writes: st.writes, remembers: st.remembers}
}
