package model

import (
	"errors"
	"slices"
	"time"

	"example.com/once/idem"
)

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
		if defect == SharesProgress {
			r.progress.Data = p.Data
		}
	}
	if p == nil && defect == RenewClearsProgress {
		r.progress = idem.Progress{}
	}
	r.phase = running
	switch defect {
	case RenewDoesNothing:
	case RenewAdds:
		r.leased = r.leased.Add(d)
	default:
		r.leased = time.Now().Add(d)
	}
	if r.leased.After(r.kept) && defect != RenewKeepsEnd {
		r.kept = r.leased
	}
	st.put(l.Key, r)
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
		if d == HidesStanding {
			return idem.Record{}, idem.ErrLeaseLost
		}
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
	if d != KeepsProgress {
		r.progress = idem.Progress{}
	}
	r.kept = time.Now().Add(keep)
	if d == KeepIgnored {
		r.kept = r.leased
	}
	st.put(l.Key, r)
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
	case r.phase != running && d == RepeatedReleaseFails:
		return idem.ErrLeaseLost
	case (r.phase == released || r.phase == held) && d != ReleaseChanges:
		return nil
	}
	if disp == idem.DispositionForget && d == ForgetIsRelease {
		disp = idem.DispositionRetry
	}
	switch disp {
	case idem.DispositionRetry:
		r.phase = released
	case idem.DispositionHold:
		r.phase = held
	case idem.DispositionForget:
		st.drop(l.Key)
		return nil
	default:
		return errors.New("model: unknown disposition")
	}
	st.put(l.Key, r)
	return nil
}
