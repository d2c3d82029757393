package rulefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"example.com/once/monitoring/domain"
)

// MaxSize is the largest file that is read, in bytes.
const MaxSize = 4 << 20

// Options are what a file leaves open; the zero value works.
type Options struct {
	Interval time.Duration // of groups that do not say; 0 = 1m, as in Prometheus
	Offset   time.Duration // moves the slots of every rule; 0 = aligned with the epoch
}

const (
	defaultInterval = time.Minute
	maxProblems     = 20
)

// Error is one thing that is wrong with a file.
type Error struct {
	File         string
	Line, Column int // 1-based; 0 = the file as a whole
	Reason       string
	Err          error // what Reason was made from, if it was made from an error
}

// Error returns file:line:column: reason.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Reason
	}
	return e.File + ":" + strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Column) + ": " + e.Reason
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Load reads rule files. Each problem found is an [*Error] of its own, all joined,
// at most 20; with an error no rule is returned. Two files may not have a group of the same name.
func Load(o Options, paths ...string) ([]*domain.Rule, error) {
	var all []*domain.Rule
	var errs []error
	groups := make(map[string]string)
	for _, path := range paths {
		data, err := read(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		rules, err := Parse(path, data, o)
		errs = append(errs, err)
		for _, r := range rules {
			if other, ok := groups[r.Group]; ok && other != path {
				errs = append(errs, &Error{File: path, Reason: fmt.Sprintf("group %q is in %s too; give it another name", r.Group, other)})
				break
			}
			groups[r.Group] = path
		}
		all = append(all, rules...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return all, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &Error{File: path, Reason: "cannot be read: " + cause(err), Err: err}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, &Error{File: path, Reason: "cannot be read: " + cause(err), Err: err}
	}
	if len(data) > MaxSize {
		return nil, &Error{File: path, Reason: fmt.Sprintf("is larger than %d bytes", MaxSize)}
	}
	return data, nil
}

// cause leaves out the path, which the error names already.
func cause(err error) string {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// Parse reads the rules of one file; name is what errors call it.
func Parse(name string, data []byte, o Options) ([]*domain.Rule, error) {
	if o.Interval == 0 {
		o.Interval = defaultInterval
	}
	p := &file{name: name, lines: strings.Split(string(data), "\n"), o: o}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, p.syntax(err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, p.syntax(err)
		}
		return nil, p.at(&more, "a second document; put all groups in one")
	}
	rules := p.groups(doc.Content[0])
	if len(p.problems) > 0 {
		return nil, errors.Join(p.problems...)
	}
	return rules, nil
}

// file is a rule file being read. Problems are collected, so that all of them show at once.
type file struct {
	name     string
	lines    []string
	o        Options
	problems []error
}

func (p *file) at(n *yaml.Node, format string, args ...any) *Error {
	return &Error{File: p.name, Line: n.Line, Column: n.Column, Reason: fmt.Sprintf(format, args...)}
}

func (p *file) report(n *yaml.Node, format string, args ...any) {
	p.add(p.at(n, format, args...))
}

func (p *file) add(err *Error) {
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, err)
	}
}

// syntax turns "yaml: line 3: did not find..." into an Error.
func (p *file) syntax(err error) *Error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	e := &Error{File: p.name, Reason: "not valid YAML: " + text, Err: err}
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if number, reason, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(number); err == nil {
				e.Line, e.Column, e.Reason = line, 1, "not valid YAML: "+reason
			}
		}
	}
	return e
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// field is one entry of a mapping.
type field struct{ key, value *yaml.Node }

// fields returns a mapping's entries by name, reporting those that are unknown or there twice.
func (p *file) fields(n *yaml.Node, what string, known ...string) map[string]field {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		p.report(n, "%s must be a mapping with the fields %s", what, strings.Join(known, ", "))
		return nil
	}
	out := make(map[string]field)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		_, twice := out[key.Value]
		switch {
		case key.Kind == yaml.ScalarNode && key.Value == "record" && what == "a rule":
			p.report(key, "recording rules are not supported; only alerting rules are, with the field alert")
		case key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value):
			p.report(key, "%s has no field %q; it may have %s", what, key.Value, strings.Join(known, ", "))
		case twice:
			p.report(key, "field %q is there twice", key.Value)
		default:
			out[key.Value] = field{key, value}
		}
	}
	return out
}

func (p *file) list(n *yaml.Node, what string) []*yaml.Node {
	switch {
	case n.Kind == yaml.SequenceNode:
		return n.Content
	case n.Tag == "!!null":
		return nil
	default:
		p.report(n, "%s must be a list", what)
		return nil
	}
}

// text returns a scalar's text; numbers and booleans count as their text.
func (p *file) text(f field) string {
	if f.value == nil || f.value.Tag == "!!null" {
		return ""
	}
	if f.value.Kind != yaml.ScalarNode {
		p.report(f.value, "%s must be a text", f.key.Value)
		return ""
	}
	return f.value.Value
}

func (p *file) duration(f field, otherwise time.Duration) time.Duration {
	text := p.text(f)
	if text == "" {
		return otherwise
	}
	d, err := domain.ParseDuration(text)
	if err != nil {
		p.report(f.value, "%s: %v", f.key.Value, err)
		return otherwise
	}
	return d
}

func (p *file) labels(f field) domain.Labels {
	if f.value == nil || f.value.Tag == "!!null" {
		return domain.Labels{}
	}
	if f.value.Kind != yaml.MappingNode {
		p.report(f.value, "%s must be a mapping of texts", f.key.Value)
		return domain.Labels{}
	}
	m := make(map[string]string)
	for i := 0; i+1 < len(f.value.Content); i += 2 {
		key, value := f.value.Content[i], resolve(f.value.Content[i+1])
		name := p.text(field{f.key, key})
		if _, twice := m[name]; twice {
			p.report(key, "%s: %q is there twice", f.key.Value, name)
			continue
		}
		if !domain.IsLabelName(name) || f.key.Value == "labels" && (name == domain.AlertName || name == domain.MetricName) {
			p.report(key, "%s: %q cannot be set here", f.key.Value, name)
			continue
		}
		m[name] = p.text(field{key, value})
		if _, err := domain.ParseTemplate(m[name]); err != nil {
			p.report(value, "%s: %s: %v", f.key.Value, name, err)
		}
	}
	return domain.NewLabels(m)
}
