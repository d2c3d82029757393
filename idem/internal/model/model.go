// Package model is a store that is simple enough to be seen to be right: one map, one lock,
// transactions that copy the map. It serves the tests of idem and idemtest, as a
// transactional store that needs no database, as the reference that other stores are
// compared with, and, with a [Defect], as a store that is known to be wrong.
package model

import (
	"bytes"
	"cmp"
	"context"
	"errors"
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
	deleted map[idem.Key]record // for one defect
	fence   int64
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
	if !ok || !r.kept.After(time.Now()) {
		return record{}, false
	}
	return r, true
}

func (st *state) nextFence() int64 {
	st.fence = max(st.fence+1, time.Now().UnixMicro())
	return st.fence
}

func (st *state) claim(c idem.Claim, d Defect) idem.Record {
	now := time.Now()
	c.Key = mangle(c.Key, d)
	switch d {
	case EndsLeasesEarly:
		c.Lease /= 2
	case EndsLeasesLate:
		c.Lease *= 2
	}
	r, ok := st.find(c.Key)
	if !ok {
		r = record{
			lease:       idem.Lease{Key: c.Key, Token: c.Token, Fence: st.nextFence(), Attempt: 1},
			fingerprint: slices.Clone(c.Fingerprint),
			created:     now,
		}
		if d == FenceRestarts {
			r.lease.Fence = 1
		}
		return st.grant(r, c, d)
	}
	bound := r.fingerprint != nil && c.Fingerprint != nil
	if r.phase == released && d == RebindsAfterRelease {
		bound = false
		r.fingerprint = slices.Clone(c.Fingerprint)
	}
	own := r.lease.Token == c.Token && d != ForgetsToken
	over := !r.leased.After(now)
	switch {
	case bound && !bytes.Equal(r.fingerprint, c.Fingerprint) && d != IgnoresFingerprint:
		if d == MismatchReveals {
			return r.seen(idem.Mismatch, r.result)
		}
		return r.seen(idem.Mismatch, nil)
	case r.phase == done:
		return r.seen(idem.Done, r.result)
	case r.phase == held && d != HoldIsRelease:
		return r.seen(idem.Abandoned, nil)
	case own && r.phase == running:
		if d == RepeatCounts {
			r.lease.Attempt++
		}
		return st.grant(r, c, d)
	case r.phase == running && !over && d != LeaseIgnored:
		return r.seen(idem.InFlight, nil)
	case r.phase == running && over && c.NoTakeover && d != TakesOverAlways:
		return r.seen(idem.Abandoned, nil)
	case r.phase == running && d == NeverTakesOver:
		return r.seen(idem.InFlight, nil)
	}
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
	}
	return idem.Key(s)
}

// grant stores r as c's.
func (st *state) grant(r record, c idem.Claim, d Defect) idem.Record {
	now := time.Now()
	if r.fingerprint == nil {
		r.fingerprint = slices.Clone(c.Fingerprint)
	}
	r.leased = now.Add(c.Lease)
	if end := now.Add(max(c.Keep, c.Lease)); end.After(r.kept) {
		r.kept = end
	}
	if d == KeepCutsLease {
		r.kept = now.Add(c.Keep)
	}
	st.records[c.Key] = r
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

func (st *state) renew(l idem.Lease, d time.Duration, p *idem.Progress, defect Defect) error {
	r, ok := st.find(l.Key)
	switch {
	case !ok, !r.owner(l, defect) && defect != RenewsForAnyone, r.phase != running && defect != RenewRevives:
		return idem.ErrLeaseLost
	case defect == RefusesLateRenewal && !r.leased.After(time.Now()):
		return idem.ErrLeaseLost
	}
	if p != nil && (p.Seq >= r.progress.Seq || defect == ProgressUnordered) {
		r.progress = idem.Progress{Seq: p.Seq, Data: slices.Clone(p.Data)}
	}
	if p == nil && defect == RenewClearsProgress {
		r.progress = idem.Progress{}
	}
	r.phase = running
	if defect != RenewDoesNothing {
		r.leased = time.Now().Add(d)
	}
	if r.leased.After(r.kept) {
		r.kept = r.leased
	}
	st.records[l.Key] = r
	return nil
}

func (st *state) complete(l idem.Lease, result []byte, keep time.Duration, d Defect) (idem.Record, error) {
	l.Key = mangle(l.Key, d)
	r, ok := st.find(l.Key)
	if !ok && d == DeleteKeepsHolder {
		r, ok = st.deleted[l.Key]
	}
	if !ok && d == CompleteResurrects {
		r, ok = record{lease: l, created: time.Now(), leased: time.Now()}, true
	}
	owner := ok && r.owner(l, d)
	switch {
	case !ok:
		return idem.Record{}, idem.ErrLeaseLost
	case owner && r.phase == done && d == RepeatedCompleteFails:
		return idem.Record{}, idem.ErrLeaseLost
	case owner && r.phase == done && d != CompleteOverwrites:
		return r.seen(idem.Done, r.result), nil
	case d == CompleteUnfenced:
	case d == RefusesLateComplete && !r.leased.After(time.Now()):
		return r.seen(r.inspected(), nil), idem.ErrLeaseLost
	case !owner, r.phase == released, r.phase == held:
		if r.phase == done {
			return r.seen(idem.Done, r.result), idem.ErrLeaseLost
		}
		return r.seen(r.inspected(), nil), idem.ErrLeaseLost
	}
	r.phase = done
	r.result = slices.Clone(result)
	switch {
	case d == NilIsEmpty && result == nil:
		r.result = []byte{}
	case d == CutsResults:
		r.result = r.result[:min(len(r.result), 64<<10)]
	case d == SharesResults:
		r.result = result
	}
	r.progress = idem.Progress{}
	r.kept = time.Now().Add(keep)
	if d == KeepIgnored {
		r.kept = r.leased
	}
	st.records[l.Key] = r
	return r.seen(idem.Done, r.result), nil
}

func (st *state) release(l idem.Lease, disp idem.Disposition, d Defect) error {
	r, ok := st.find(l.Key)
	if !ok {
		if disp == idem.DispositionForget {
			return nil
		}
		return idem.ErrLeaseLost
	}
	owner := r.owner(l, d) || d == ReleasesForAnyone
	switch {
	case !owner, r.phase == done && d != ReleaseUndoesDone:
		return idem.ErrLeaseLost
	case r.phase == released, r.phase == held:
		return nil
	}
	switch disp {
	case idem.DispositionRetry:
		r.phase = released
	case idem.DispositionHold:
		r.phase = held
	case idem.DispositionForget:
		delete(st.records, l.Key)
		return nil
	default:
		return errors.New("model: unknown disposition")
	}
	st.records[l.Key] = r
	return nil
}

// sweep removes at most limit ended records.
func (st *state) sweep(limit int, d Defect) int {
	n := 0
	for k, r := range st.records {
		ended := !r.kept.After(time.Now())
		if d == SweepsLeases {
			ended = ended || r.phase == running && !r.leased.After(time.Now())
		}
		if ended && (n < limit || d == SweepUnbounded) {
			delete(st.records, k)
			n++
		}
	}
	return n
}

func (st *state) list(q idem.Query, d Defect) []idem.Record {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	var out []idem.Record
	for k := range st.records {
		r, ok := st.find(k)
		if d == ListShowsEnded {
			r, ok = st.records[k], true
		}
		if ok && k > q.After && (q.State == 0 || q.State == r.inspected()) {
			out = append(out, r.seen(r.inspected(), nil))
		}
	}
	slices.SortFunc(out, func(a, b idem.Record) int { return cmp.Compare(a.Lease.Key, b.Lease.Key) })
	if d == ListSkips && q.After != "" && len(out) > 0 {
		out = out[1:]
	}
	return out[:min(len(out), q.Limit)]
}

func (st *state) remove(k idem.Key) {
	if r, ok := st.records[k]; ok {
		st.deleted = map[idem.Key]record{k: r}
	}
	delete(st.records, k)
}

func (st *state) resolve(k idem.Key, result []byte, keep time.Duration, d Defect) (idem.Record, error) {
	r, ok := st.find(k)
	if !ok {
		return idem.Record{}, nil
	}
	switch r.inspected() {
	case idem.Done:
		return r.seen(idem.Done, r.result), nil
	case idem.InFlight:
		if d == ResolveInFlight {
			break
		}
		return r.seen(idem.InFlight, nil), &idem.InFlightError{RetryAfter: time.Until(r.leased)}
	}
	r.phase = done
	if d != ResolveKeepsToken {
		r.lease.Token = uuid.UUID{}
		r.lease.Fence = st.nextFence()
	}
	r.result = slices.Clone(result)
	r.progress = idem.Progress{}
	r.kept = time.Now().Add(keep)
	st.records[k] = r
	return r.seen(idem.Done, r.result), nil
}

func (st *state) clone() state {
	return state{records: maps.Clone(st.records), fence: st.fence}
}
