package domain

import (
	"fmt"
	"time"
)

// Phase is where an alert stands.
type Phase uint8

// The phases of an alert. An alert that is not in a rule's state is inactive.
const (
	Inactive Phase = iota // the condition does not hold, or never did
	Pending               // it holds, but not yet for as long as the rule's For
	Firing                // it has held long enough
	Resolved              // it was firing and has ended
)

// String returns the phase in lower case, as it appears in messages and metrics.
func (p Phase) String() string {
	switch p {
	case Inactive:
		return "inactive"
	case Pending:
		return "pending"
	case Firing:
		return "firing"
	case Resolved:
		return "resolved"
	default:
		return fmt.Sprintf("phase(%d)", uint8(p))
	}
}

// MarshalText returns the phase's name.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a phase's name.
func (p *Phase) UnmarshalText(text []byte) error {
	q, err := ParsePhase(string(text))
	if err != nil {
		return err
	}
	*p = q
	return nil
}

// ParsePhase reads what [Phase.String] writes.
func ParsePhase(s string) (Phase, error) {
	for p := Inactive; p <= Resolved; p++ {
		if p.String() == s {
			return p, nil
		}
	}
	return Inactive, fmt.Errorf("unknown phase %q: want inactive, pending, firing or resolved", s)
}

// Alert is the state of one series of one rule. Every time in it is a slot. Each
// field is set from the slot and the samples; none is ever counted up, so that
// applying one evaluation twice leaves what applying it once leaves.
type Alert struct {
	Fingerprint Fingerprint // of Labels: the alert's identity inside its rule
	Series      Labels      // the series' labels, without the metric name
	Labels      Labels      // the series' labels without the metric name, the rule's, and alertname
	Annotations Labels      // the rule's, expanded
	Phase       Phase       // Pending, Firing or Resolved
	Value       float64     // what the condition saw when it last held
	ActiveAt    time.Time   // first slot of the present run in which the condition holds
	FiredAt     time.Time   // slot in which it began to fire; zero while Pending
	KeepSince   time.Time   // first slot without the condition while KeepFiringFor holds it; else zero
	ResolvedAt  time.Time   // slot in which it ended; zero before
}

// State is everything that a rule remembers between slots.
type State struct {
	Slot   time.Time // latest slot evaluated; zero if none was
	Alerts []Alert   // in the order of their fingerprints, each one once
}

// Alert returns the alert with the fingerprint, and whether there is one.
func (s State) Alert(f Fingerprint) (Alert, bool) {
	for _, a := range s.Alerts {
		if a.Fingerprint == f {
			return a, true
		}
	}
	return Alert{}, false
}

// Transition says that an alert passed from one phase to another in a slot. There is
// at most one for each rule, slot and fingerprint.
type Transition struct {
	RuleID      string
	Slot        time.Time // the evaluation timestamp
	From        Phase
	To          Phase
	Fingerprint Fingerprint
	Labels      Labels
	Annotations Labels
	Value       float64
	ActiveAt    time.Time // start of the run that this transition belongs to
}

// Notifies says whether somebody outside is to be told: of firing and of resolved,
// not of pending and not of a pending alert that goes away.
func (t Transition) Notifies() bool { return t.To == Firing || t.To == Resolved }
