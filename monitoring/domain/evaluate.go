package domain

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Input is all that an evaluation sees besides the rule and the state before it.
// Kept, it replays the evaluation.
type Input struct {
	Slot    time.Time // the evaluation timestamp
	Samples []Sample  // of this slot
	History []Sample  // of earlier slots, as far back as [Condition.Window]
	// Unknown holds the labels of each target that could not be read in this slot. What a
	// condition says of such a target's series is not known: an alert of theirs stays as it is.
	Unknown []Labels
}

// Errors of an evaluation.
var (
	// ErrPast says that the state belongs to a later slot than the one to evaluate.
	ErrPast = errors.New("the slot lies before the state")
	// ErrTooMany says that the condition yields more alerts than the rule allows.
	ErrTooMany = errors.New("more alerts than the rule's limit")
	// ErrSameAlert says that two series become one alert, because they differ in their
	// metric names or in labels that the rule overrides.
	ErrSameAlert = errors.New("two series become the same alert")
)

// Evaluate says what the rule makes of the input, given the state before it. It is
// a function of its arguments alone: no clock, no input or output, and nothing that
// it is given is changed. States are set from the slot, never counted up. So
// evaluating a slot twice, from the state before it or from the state after it,
// gives the same state, and from the state after it no transition.
//
// An error other than [ErrPast] is the outcome of this slot: the state returned
// with it is the one before, moved to the slot. With ErrPast it is the one before.
func Evaluate(r *Rule, in Input, prev State) (State, []Transition, error) {
	if in.Slot.Before(prev.Slot) {
		return prev, nil, fmt.Errorf("%w: %s is before %s", ErrPast,
			in.Slot.Format(time.RFC3339Nano), prev.Slot.Format(time.RFC3339Nano))
	}
	active, err := r.active(&in)
	if err != nil {
		return State{Slot: in.Slot, Alerts: prev.Alerts}, nil, err
	}
	var transitions []Transition
	next := State{Slot: in.Slot}
	keep := func(from Phase, a Alert) {
		if a.Phase != Inactive {
			next.Alerts = append(next.Alerts, a)
		}
		if from != a.Phase {
			transitions = append(transitions, Transition{
				RuleID: r.ID, Slot: in.Slot, From: from, To: a.Phase, Fingerprint: a.Fingerprint,
				Labels: a.Labels, Annotations: a.Annotations, Value: a.Value, ActiveAt: a.ActiveAt,
			})
		}
	}
	for _, old := range prev.Alerts {
		now, holds := active[old.Fingerprint]
		delete(active, old.Fingerprint)
		switch {
		case holds:
			keep(old.Phase, r.hold(in.Slot, old, now))
		case in.unknown(old.Series) && old.Phase != Resolved:
			keep(old.Phase, old)
		default:
			if a, ok := r.end(in.Slot, old); ok {
				keep(old.Phase, a)
			}
		}
	}
	for _, now := range active {
		keep(Inactive, r.hold(in.Slot, Alert{}, now))
	}
	slices.SortFunc(next.Alerts, func(a, b Alert) int { return bytes.Compare(a.Fingerprint[:], b.Fingerprint[:]) })
	slices.SortFunc(transitions, func(a, b Transition) int { return bytes.Compare(a.Fingerprint[:], b.Fingerprint[:]) })
	return next, transitions, nil
}

// active returns what the condition yields, as alerts without a phase.
func (r *Rule) active(in *Input) (map[Fingerprint]Alert, error) {
	series := r.Condition.node.eval(in)
	limit := r.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	if limit > 0 && len(series) > limit {
		return nil, fmt.Errorf("%w: %d, and %d are allowed", ErrTooMany, len(series), limit)
	}
	active := make(map[Fingerprint]Alert, len(series))
	for _, s := range series {
		a, err := r.alert(s)
		if err != nil {
			return nil, err
		}
		if _, ok := active[a.Fingerprint]; ok {
			return nil, fmt.Errorf("%w: %s", ErrSameAlert, a.Labels)
		}
		active[a.Fingerprint] = a
	}
	return active, nil
}

// alert makes an alert of a series, with its labels and annotations expanded.
func (r *Rule) alert(s Sample) (Alert, error) {
	bare := s.Labels.With(MetricName, "")
	expand := func(values Labels) (Labels, error) {
		m := make(map[string]string, values.Len())
		for name, text := range values.All() {
			t, err := ParseTemplate(text)
			if err != nil {
				return Labels{}, fmt.Errorf("%s: %w", name, err)
			}
			if m[name], err = t.Expand(s.Labels, s.Value); err != nil {
				return Labels{}, fmt.Errorf("%s: %w", name, err)
			}
		}
		return NewLabels(m), nil
	}
	own, err := expand(r.Labels)
	if err != nil {
		return Alert{}, err
	}
	annotations, err := expand(r.Annotations)
	if err != nil {
		return Alert{}, err
	}
	m := bare.Map()
	for name := range r.Labels.All() { // a label expanded to nothing is removed
		delete(m, name)
	}
	maps.Insert(m, own.All())
	m[AlertName] = r.Name
	labels := NewLabels(m)
	return Alert{
		Fingerprint: labels.Fingerprint(), Series: bare, Labels: labels, Annotations: annotations, Value: s.Value,
	}, nil
}

// hold returns what becomes of an alert whose condition holds. old is the zero
// Alert if it was inactive.
func (r *Rule) hold(slot time.Time, old, now Alert) Alert {
	now.Phase, now.ActiveAt, now.FiredAt = old.Phase, old.ActiveAt, old.FiredAt
	if now.Phase != Pending && now.Phase != Firing { // a new run begins
		now.Phase, now.ActiveAt, now.FiredAt = Pending, slot, time.Time{}
	}
	if now.Phase == Pending && slot.Sub(now.ActiveAt) >= r.For {
		now.Phase, now.FiredAt = Firing, slot
	}
	return now
}

// end returns what becomes of an alert whose condition does not hold, or false if
// it is forgotten without a word.
func (r *Rule) end(slot time.Time, a Alert) (Alert, bool) {
	switch a.Phase {
	case Pending:
		a.Phase = Inactive
	case Firing:
		if r.KeepFiringFor > 0 {
			if a.KeepSince.IsZero() {
				a.KeepSince = slot
			}
			if slot.Sub(a.KeepSince) < r.KeepFiringFor {
				return a, true
			}
		}
		a.Phase, a.ResolvedAt, a.KeepSince = Resolved, slot, time.Time{}
	case Resolved:
		if slot.Sub(a.ResolvedAt) >= ResolvedKept {
			return Alert{}, false
		}
	case Inactive:
		return Alert{}, false
	}
	return a, true
}

// unknown says whether the series belongs to a target that could not be read.
func (in *Input) unknown(series Labels) bool {
	return slices.ContainsFunc(in.Unknown, func(target Labels) bool {
		if target.Len() == 0 {
			return false
		}
		for name, value := range target.All() {
			if series.Get(name) != value {
				return false
			}
		}
		return true
	})
}
