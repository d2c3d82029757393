package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of one rule, against a mistake in it.
const (
	DefaultLimit     = 1000             // alerts of one rule, if Rule.Limit is 0
	ResolvedKept     = 15 * time.Minute // how long a resolved alert stays in a rule's state
	MaxFor           = 365 * 24 * time.Hour
	MaxInterval      = 24 * time.Hour
	MinInterval      = 10 * time.Millisecond
	maxRuleIDLen     = 200
	maxTemplateBytes = 8 << 10
)

// Rule says when there is an alert. A Rule is plain data; check it with [Rule.Validate].
type Rule struct {
	ID            string        // stable name over restarts and replicas: group/name
	Group         string        // the group it is written in
	Name          string        // becomes the label alertname
	Condition     Condition     // what must hold; see [ParseCondition]
	Interval      time.Duration // between two slots
	Offset        time.Duration // moves the rule's slots; 0 = aligned with the epoch
	For           time.Duration // how long the condition holds before the alert fires; 0 = fires at once
	KeepFiringFor time.Duration // how long the alert goes on firing without the condition; 0 = resolves at once
	Labels        Labels        // put over the series' labels; values are templates
	Annotations   Labels        // values are templates, see [ParseTemplate]
	Limit         int           // most alerts at a time, above it the evaluation fails; 0 = 1000, negative = none
}

// RuleID is the identity of a rule called name in a group.
func RuleID(group, name string) string { return group + "/" + name }

// Grid returns the instants at which the rule is evaluated.
func (r *Rule) Grid() Grid { return Grid{Interval: r.Interval, Offset: r.Offset} }

// Severity returns the rule's severity label, "" if it has none.
func (r *Rule) Severity() string { return r.Labels.Get(Severity) }

// Revision identifies the rule's content: it changes when anything that could change
// an evaluation changes. It is stored with each evaluation.
func (r *Rule) Revision() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %d %d %d %q %q %d",
		r.ID, r.Name, r.Condition.String(), r.Interval, r.Offset, r.For, r.KeepFiringFor,
		r.Labels.String(), r.Annotations.String(), r.Limit))
	return hex.EncodeToString(sum[:6])
}

// ErrRule is matched by every error that [Rule.Validate] returns.
var ErrRule = errors.New("invalid rule")

// Validate says what is wrong with the rule, naming the field, or returns nil.
func (r *Rule) Validate() error {
	bad := func(field, format string, args ...any) error {
		return fmt.Errorf("%w %q: %s: %s", ErrRule, r.ID, field, fmt.Sprintf(format, args...))
	}
	switch {
	case r.ID == "" || len(r.ID) > maxRuleIDLen:
		return bad("ID", "want 1 to %d bytes", maxRuleIDLen)
	case !utf8.ValidString(r.ID):
		return bad("ID", "is not valid UTF-8; it becomes part of keys and messages")
	case strings.ContainsFunc(r.ID, unicode.IsControl):
		return bad("ID", "holds a control character; it becomes part of keys and messages, which have none")
	case r.Name == "":
		return bad("Name", "is empty; give the alert a name")
	case r.Condition.node == nil:
		return bad("Condition", "is empty; make one with ParseCondition")
	case r.Interval < MinInterval || r.Interval > MaxInterval:
		return bad("Interval", "%v is not between %v and %v", r.Interval, MinInterval, MaxInterval)
	case r.Offset < 0 || r.Offset >= r.Interval:
		return bad("Offset", "%v is not in [0, %v), the interval", r.Offset, r.Interval)
	case r.For < 0 || r.For > MaxFor:
		return bad("For", "%v is not between 0 and %v", r.For, MaxFor)
	case r.KeepFiringFor < 0 || r.KeepFiringFor > MaxFor:
		return bad("KeepFiringFor", "%v is not between 0 and %v", r.KeepFiringFor, MaxFor)
	}
	for name, text := range r.Labels.All() {
		if name == AlertName || !IsLabelName(name) {
			return bad("Labels", "%q cannot be set by a rule", name)
		}
		if _, err := ParseTemplate(text); err != nil {
			return bad("Labels", "%s: %v", name, err)
		}
	}
	for name, text := range r.Annotations.All() {
		if !IsLabelName(name) {
			return bad("Annotations", "%q is not a name; want letters, digits and underscores, not a digit first", name)
		}
		if _, err := ParseTemplate(text); err != nil {
			return bad("Annotations", "%s: %v", name, err)
		}
	}
	return nil
}
