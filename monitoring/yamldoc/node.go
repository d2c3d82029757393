package yamldoc

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"example.com/once/monitoring/domain"
)

// Field is one entry of a mapping. The zero Field stands for one that is not there.
type Field struct{ Key, Value *yaml.Node }

// Given says whether the field is there with a value.
func (f Field) Given() bool { return f.Value != nil && f.Value.Tag != "!!null" }

// Resolve follows an alias.
func Resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// Fields returns a mapping's entries by name, reporting those that are unknown or there
// twice. It returns nil, reported too, if n is no mapping; what says what n is.
func (d *Doc) Fields(n *yaml.Node, what string, known ...string) map[string]Field {
	n = Resolve(n)
	if n.Kind != yaml.MappingNode {
		d.Reportf(n, "%s must be a mapping with the fields %s", what, strings.Join(known, ", "))
		return nil
	}
	out := make(map[string]Field)
	for key, value := range pairs(n) {
		_, twice := out[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value):
			d.Reportf(key, "%s has no field %q; it may have %s", what, key.Value, strings.Join(known, ", "))
		case twice:
			d.Reportf(key, "field %q is there twice", key.Value)
		default:
			out[key.Value] = Field{key, value}
		}
	}
	return out
}

// Mapping yields the entries of a mapping with names of its own, reporting those that
// are there twice.
func (d *Doc) Mapping(f Field) func(yield func(name string, entry Field) bool) {
	return func(yield func(string, Field) bool) {
		if !f.Given() {
			return
		}
		if f.Value.Kind != yaml.MappingNode {
			d.Reportf(f.Value, "%s must be a mapping of texts", f.Key.Value)
			return
		}
		seen := make(map[string]bool)
		for key, value := range pairs(f.Value) {
			name := d.Text(Field{f.Key, key})
			if seen[name] {
				d.Reportf(key, "%s: %q is there twice", f.Key.Value, name)
				continue
			}
			seen[name] = true
			if !yield(name, Field{key, value}) {
				return
			}
		}
	}
}

func pairs(n *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], Resolve(n.Content[i+1])) {
				return
			}
		}
	}
}

// List returns the items of a list; a field that is not there is an empty one.
func (d *Doc) List(f Field) []*yaml.Node {
	switch {
	case !f.Given():
		return nil
	case f.Value.Kind == yaml.SequenceNode:
		return f.Value.Content
	default:
		d.Reportf(f.Value, "%s must be a list", f.Key.Value)
		return nil
	}
}

// Texts returns the items of a list of texts. A single text counts as a list of one.
func (d *Doc) Texts(f Field) []string {
	if f.Given() && f.Value.Kind == yaml.ScalarNode {
		return []string{f.Value.Value}
	}
	var texts []string
	for _, n := range d.List(f) {
		texts = append(texts, d.Text(Field{f.Key, Resolve(n)}))
	}
	return texts
}

// Text returns a scalar's text; numbers and booleans count as their text.
func (d *Doc) Text(f Field) string {
	if !f.Given() {
		return ""
	}
	if f.Value.Kind != yaml.ScalarNode {
		d.Reportf(f.Value, "%s must be a text", f.Key.Value)
		return ""
	}
	return f.Value.Value
}

// Duration returns a duration in Prometheus' form, such as 1m30s.
func (d *Doc) Duration(f Field, otherwise time.Duration) time.Duration {
	text := d.Text(f)
	if text == "" {
		return otherwise
	}
	value, err := domain.ParseDuration(text)
	if err != nil {
		d.Reportf(f.Value, "%s: %v", f.Key.Value, err)
		return otherwise
	}
	return value
}

// Int returns a whole number of at least so much.
func (d *Doc) Int(f Field, otherwise, least int) int {
	text := d.Text(f)
	if text == "" {
		return otherwise
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < least {
		d.Reportf(f.Value, "%s: %q is not a whole number of at least %d", f.Key.Value, text, least)
		return otherwise
	}
	return value
}

// Bool returns true or false.
func (d *Doc) Bool(f Field) bool {
	switch text := d.Text(f); text {
	case "", "false":
		return false
	case "true":
		return true
	default:
		d.Reportf(f.Value, "%s: %q is neither true nor false", f.Key.Value, text)
		return false
	}
}
