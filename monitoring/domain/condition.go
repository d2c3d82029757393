package domain

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Condition is a parsed expression: when it yields a series, that series has an
// alert. Make one with [ParseCondition]. The zero value is not usable; a made one
// is immutable and safe for concurrent use.
type Condition struct{ node node }

// node is one operation of a condition. eval returns series with distinct labels, in no promised order
// and in a slice of the caller's own.
type node interface {
	eval(in *Input) []Sample
	selectors(visit func(*selector, time.Duration))
	String() string
}

// String writes the condition in its canonical form, which parses to the same condition.
func (c Condition) String() string {
	if c.node == nil {
		return ""
	}
	return c.node.String()
}

// Window returns the longest range that the condition looks back over; 0 means
// that it looks at its own slot only and needs no history.
func (c Condition) Window() time.Duration {
	var longest time.Duration
	c.visit(func(_ *selector, w time.Duration) { longest = max(longest, w) })
	return longest
}

// Reads says whether the condition looks at a series with these labels. What it does
// not read need not be kept.
func (c Condition) Reads(l Labels) bool {
	found := false
	c.visit(func(s *selector, _ time.Duration) { found = found || s.matches(l) })
	return found
}

func (c Condition) visit(f func(*selector, time.Duration)) {
	if c.node != nil {
		c.node.selectors(f)
	}
}

// matchOp says how a matcher compares.
type matchOp string

const (
	matchEqual    matchOp = "="
	matchNotEqual matchOp = "!="
	matchRegexp   matchOp = "=~"
	matchNoRegexp matchOp = "!~"
)

// matcher is one condition on a label. A missing label has the empty value.
type matcher struct {
	name  string
	op    matchOp
	value string
	re    *regexp.Regexp // of the two regexp operators, anchored at both ends
}

func (m *matcher) matches(value string) bool {
	switch m.op {
	case matchEqual:
		return value == m.value
	case matchNotEqual:
		return value != m.value
	case matchRegexp:
		return m.re.MatchString(value)
	case matchNoRegexp:
		return !m.re.MatchString(value)
	}
	return false
}

// selector picks the series that all its matchers accept.
type selector struct {
	name     string // metric name; "" = any
	matchers []matcher
}

func (s *selector) matches(l Labels) bool {
	if s.name != "" && l.Get(MetricName) != s.name {
		return false
	}
	for i := range s.matchers {
		if !s.matchers[i].matches(l.Get(s.matchers[i].name)) {
			return false
		}
	}
	return true
}

func (s *selector) eval(in *Input) []Sample {
	var out []Sample
	for _, x := range in.Samples {
		if s.matches(x.Labels) {
			out = append(out, x)
		}
	}
	return out
}

func (s *selector) selectors(visit func(*selector, time.Duration)) { visit(s, 0) }

func (s *selector) String() string {
	if len(s.matchers) == 0 && !isNumberWord(s.name) {
		return s.name
	}
	parts := make([]string, len(s.matchers))
	for i, m := range s.matchers {
		parts[i] = m.name + string(m.op) + strconv.Quote(m.value)
	}
	return s.name + "{" + strings.Join(parts, ",") + "}"
}

// absent yields one series, of value 1, if its selector yields none. Its labels
// are those that the selector asks for with =, each once.
type absent struct{ of *selector }

func (a *absent) eval(in *Input) []Sample {
	if len(a.of.eval(in)) > 0 {
		return nil
	}
	labels := make(map[string]string)
	seen := make(map[string]int)
	for _, m := range a.of.matchers {
		seen[m.name]++
		if m.op == matchEqual && m.name != MetricName {
			labels[m.name] = m.value
		}
	}
	for name, n := range seen {
		if n > 1 { // asked for in two ways: no one value is right
			delete(labels, name)
		}
	}
	return []Sample{{Labels: NewLabels(labels), Value: 1, At: in.Slot}}
}

func (a *absent) selectors(visit func(*selector, time.Duration)) { a.of.selectors(visit) }

func (a *absent) String() string { return "absent(" + a.of.String() + ")" }

// rate yields, for each series with at least two samples in the window, its
// increase a second: the sum of the steps between neighbouring samples, where a
// step down is a counter that started again from zero, over the time between the
// first and the last sample. Nothing is extrapolated to the edges of the window.
type rate struct {
	of     *selector
	window time.Duration
}

func (r *rate) eval(in *Input) []Sample {
	type series struct {
		labels Labels
		points []Sample
	}
	var order []Fingerprint
	all := make(map[Fingerprint]*series)
	oldest := in.Slot.Add(-r.window)
	for _, set := range [][]Sample{in.History, in.Samples} {
		for _, x := range set {
			if x.At.Before(oldest) || !r.of.matches(x.Labels) {
				continue
			}
			labels := x.Labels.With(MetricName, "")
			// Series of different metrics stay apart here, so that a clash of their names
			// shows as two alerts of one identity and not as a jump of one series.
			key := x.Labels.Fingerprint()
			s := all[key]
			if s == nil {
				s = &series{labels: labels}
				all[key] = s
				order = append(order, key)
			}
			s.points = append(s.points, x)
		}
	}
	var out []Sample
	for _, key := range order {
		s := all[key]
		slices.SortStableFunc(s.points, func(a, b Sample) int { return a.At.Compare(b.At) })
		first, last := s.points[0], s.points[len(s.points)-1]
		seconds := last.At.Sub(first.At).Seconds()
		if seconds <= 0 {
			continue
		}
		increase, before := 0.0, first.Value
		for _, p := range s.points[1:] {
			if p.Value < before {
				before = 0
			}
			increase += p.Value - before
			before = p.Value
		}
		out = append(out, Sample{Labels: s.labels, Value: increase / seconds, At: last.At})
	}
	return out
}

func (r *rate) selectors(visit func(*selector, time.Duration)) { visit(r.of, r.window) }

func (r *rate) String() string {
	return "rate(" + r.of.String() + "[" + FormatDuration(r.window) + "])"
}

// compareOp is a comparison of a series' value with a number.
type compareOp string

const (
	opEqual          compareOp = "=="
	opNotEqual       compareOp = "!="
	opGreater        compareOp = ">"
	opGreaterOrEqual compareOp = ">="
	opLess           compareOp = "<"
	opLessOrEqual    compareOp = "<="
)

// flip returns the operator that says the same with its sides exchanged.
func (op compareOp) flip() compareOp {
	switch op {
	case opGreater:
		return opLess
	case opGreaterOrEqual:
		return opLessOrEqual
	case opLess:
		return opGreater
	case opLessOrEqual:
		return opGreaterOrEqual
	case opEqual, opNotEqual:
	}
	return op
}

func (op compareOp) holds(a, b float64) bool {
	switch op {
	case opEqual:
		return a == b
	case opNotEqual:
		return a != b
	case opGreater:
		return a > b
	case opGreaterOrEqual:
		return a >= b
	case opLess:
		return a < b
	case opLessOrEqual:
		return a <= b
	}
	return false
}

// compare keeps the series whose value compares so with a number. The comparison
// is IEEE 754's: with NaN on either side only != holds, and the infinities are
// above and below every number.
type compare struct {
	of    node
	op    compareOp
	value float64
}

func (c *compare) eval(in *Input) []Sample {
	return slices.DeleteFunc(c.of.eval(in), func(s Sample) bool { return !c.op.holds(s.Value, c.value) })
}

func (c *compare) selectors(visit func(*selector, time.Duration)) { c.of.selectors(visit) }

func (c *compare) String() string {
	return c.of.String() + " " + string(c.op) + " " + formatNumber(c.value)
}

func formatNumber(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	default:
		return FormatValue(v)
	}
}
