package model

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"example.com/once/idem"
)

// sweep removes at most limit ended records.
func (st *state) sweep(limit int, d Defect) int {
	n := 0
	for k, r := range st.records {
		ended := !r.kept.After(time.Now())
		if d == SweepsLeases {
			ended = ended || r.phase == running && !r.leased.After(time.Now())
		}
		if ended && (n < limit || d == SweepUnbounded) {
			st.drop(k)
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
	st.drop(k)
}

func (st *state) resolve(k idem.Key, result []byte, keep time.Duration, d Defect) (idem.Record, error) {
	r, ok := st.find(k)
	if !ok {
		return idem.Record{}, nil
	}
	switch r.inspected() {
	case idem.Done:
		if d == ResolveOverwrites {
			break
		}
		return r.seen(idem.Done, r.result), nil
	case idem.InFlight:
		if d == ResolveInFlight {
			break
		}
		return r.seen(idem.InFlight, nil), &idem.InFlightError{RetryAfter: time.Until(r.leased)}
	default:
	}
	r.phase = done
	if d != ResolveKeepsToken {
		r.lease.Token = uuid.UUID{}
		r.lease.Fence = st.nextFence()
	}
	r.result = slices.Clone(result)
	r.progress = idem.Progress{}
	r.kept = time.Now().Add(keep)
	st.put(k, r)
	return r.seen(idem.Done, r.result), nil
}
