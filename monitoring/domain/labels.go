package domain

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Label names with a meaning of their own.
const (
	MetricName = "__name__"  // holds a series' metric name
	AlertName  = "alertname" // holds the rule's name in an alert's labels
	Severity   = "severity"  // by convention, how bad an alert is
)

// Label is one name and value.
type Label struct{ Name, Value string }

// Labels is an immutable set of labels, sorted by name, without empty values: a
// label with an empty value is the same as no label, as in Prometheus. The zero
// value is the empty set. Make one with [NewLabels] or [LabelsOf].
type Labels struct{ sorted []Label }

// NewLabels makes a set from a map. Empty values are left out.
func NewLabels(m map[string]string) Labels {
	ls := make([]Label, 0, len(m))
	for n, v := range m {
		if v != "" {
			ls = append(ls, Label{n, v})
		}
	}
	slices.SortFunc(ls, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	return Labels{ls}
}

// LabelsOf makes a set from names and values in turn: LabelsOf("job", "api", "instance", "a:1").
// A name without a value, at the end, gets the empty value and is left out; of a
// repeated name the last value stands.
func LabelsOf(pairs ...string) Labels {
	m := make(map[string]string, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return NewLabels(m)
}

// Get returns the value of name, or "" if the set has no such label.
func (l Labels) Get(name string) string {
	i, ok := slices.BinarySearchFunc(l.sorted, name, func(a Label, n string) int { return cmp.Compare(a.Name, n) })
	if !ok {
		return ""
	}
	return l.sorted[i].Value
}

// Len returns the number of labels.
func (l Labels) Len() int { return len(l.sorted) }

// All yields names and values in the order of the names.
func (l Labels) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, x := range l.sorted {
			if !yield(x.Name, x.Value) {
				return
			}
		}
	}
}

// Map returns a new map with the set's labels.
func (l Labels) Map() map[string]string { return maps.Collect(l.All()) }

// With returns the set with name set to value; an empty value removes it.
func (l Labels) With(name, value string) Labels {
	m := l.Map()
	m[name] = value
	return NewLabels(m)
}

// Merge returns the set with every label of over put over it.
func (l Labels) Merge(over Labels) Labels {
	if len(over.sorted) == 0 {
		return l
	}
	m := l.Map()
	maps.Insert(m, over.All())
	return NewLabels(m)
}

// Equal says whether both sets hold the same labels.
func (l Labels) Equal(o Labels) bool { return slices.Equal(l.sorted, o.sorted) }

// Compare orders sets: by name and value of the first label that differs.
func (l Labels) Compare(o Labels) int {
	return slices.CompareFunc(l.sorted, o.sorted, func(a, b Label) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
	})
}

// String writes the set as Prometheus does: up{instance="a:1", job="api"}.
func (l Labels) String() string {
	var b strings.Builder
	b.WriteString(l.Get(MetricName))
	first := true
	for _, x := range l.sorted {
		if x.Name == MetricName {
			continue
		}
		if first {
			b.WriteByte('{')
		} else {
			b.WriteString(", ")
		}
		first = false
		b.WriteString(x.Name)
		b.WriteByte('=')
		b.WriteString(strconv.Quote(x.Value))
	}
	if !first || b.Len() == 0 {
		if first {
			b.WriteByte('{')
		}
		b.WriteByte('}')
	}
	return b.String()
}

// MarshalJSON writes the set as an object with sorted names.
func (l Labels) MarshalJSON() ([]byte, error) {
	data, err := json.Marshal(l.Map())
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	return data, nil
}

// UnmarshalJSON reads an object of strings.
func (l *Labels) UnmarshalJSON(data []byte) error {
	var m map[string]string
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("labels: %w", err)
	}
	*l = NewLabels(m)
	return nil
}

// Fingerprint identifies a set of labels: the first 128 bits of a SHA-256 over the
// length-prefixed names and values, so that no two sets share one by accident. It
// is the same in every process and version.
type Fingerprint [16]byte

// Fingerprint returns the set's fingerprint.
func (l Labels) Fingerprint() Fingerprint {
	b := make([]byte, 0, 256)
	for _, x := range l.sorted {
		b = strconv.AppendInt(b, int64(len(x.Name)), 10)
		b = append(append(b, ':'), x.Name...)
		b = strconv.AppendInt(b, int64(len(x.Value)), 10)
		b = append(append(b, ':'), x.Value...)
	}
	sum := sha256.Sum256(b)
	return Fingerprint(sum[:16])
}

// String returns the fingerprint as 32 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// MarshalText returns the hexadecimal form.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads the hexadecimal form.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	p, err := ParseFingerprint(string(text))
	if err != nil {
		return err
	}
	*f = p
	return nil
}

// ErrFingerprint says that a text is not a fingerprint.
var ErrFingerprint = errors.New("not a fingerprint: want 32 hexadecimal digits")

// ParseFingerprint reads what [Fingerprint.String] writes. Its error matches [ErrFingerprint].
func ParseFingerprint(s string) (Fingerprint, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(Fingerprint{}) {
		return Fingerprint{}, fmt.Errorf("%q is %w", s, ErrFingerprint)
	}
	return Fingerprint(b), nil
}
