package rulefile

import (
	"errors"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/yamldoc"
)

func (p *file) groups(n *yaml.Node) []*domain.Rule {
	top := p.Fields(n, "a rule file", "groups")
	var rules []*domain.Rule
	seen := make(map[string]bool)
	for _, n := range p.List(top["groups"]) {
		rules = append(rules, p.group(n, seen)...)
	}
	return rules
}

func (p *file) group(n *yaml.Node, seen map[string]bool) []*domain.Rule {
	f := p.Fields(n, "a group", "name", "interval", "limit", "labels", "rules")
	if f == nil {
		return nil
	}
	name := p.Text(f["name"])
	switch {
	case name == "":
		p.Reportf(n, "the group has no name")
	case seen[name]:
		p.Reportf(f["name"].Value, "group %q is there twice", name)
	}
	seen[name] = true
	interval := p.Duration(f["interval"], p.o.Interval)
	if interval < domain.MinInterval || interval > domain.MaxInterval {
		p.Reportf(f["interval"].Value, "interval: %v is not between %v and %v", interval, domain.MinInterval, domain.MaxInterval)
		return nil
	}
	limit := p.Int(f["limit"], 0, 0)
	labels := p.labels(f["labels"])
	var rules []*domain.Rule
	var nodes []*yaml.Node
	for _, n := range p.List(f["rules"]) {
		if r := p.rule(yamldoc.Resolve(n)); r != nil {
			r.Group, r.Interval, r.Offset, r.Limit = name, interval, p.o.Offset%interval, limit
			r.Labels = labels.Merge(r.Labels)
			rules, nodes = append(rules, r), append(nodes, yamldoc.Resolve(n))
		}
	}
	p.identify(rules, nodes)
	return rules
}

func (p *file) rule(n *yaml.Node) *domain.Rule {
	before := p.Problems()
	if record := recording(n); record != nil {
		p.Reportf(record, "recording rules are not supported; only alerting rules are, with the field alert")
		return nil
	}
	f := p.Fields(n, "a rule", "alert", "expr", "for", "keep_firing_for", "labels", "annotations")
	if f == nil {
		return nil
	}
	r := &domain.Rule{
		Name:          p.Text(f["alert"]),
		For:           p.Duration(f["for"], 0),
		KeepFiringFor: p.Duration(f["keep_firing_for"], 0),
		Labels:        p.labels(f["labels"]),
		Annotations:   p.labels(f["annotations"]),
	}
	if r.Name == "" && p.Problems() == before {
		p.Reportf(n, "the rule has no alert, which is its name")
	}
	for name, d := range map[string]int64{"for": int64(r.For), "keep_firing_for": int64(r.KeepFiringFor)} {
		if d > int64(domain.MaxFor) {
			p.Reportf(f[name].Value, "%s is longer than %s", name, domain.FormatDuration(domain.MaxFor))
		}
	}
	expr := p.Text(f["expr"])
	if strings.TrimSpace(expr) == "" {
		if p.Problems() == before {
			p.Reportf(n, "rule %q has no expr", r.Name)
		}
		return nil
	}
	c, err := domain.ParseCondition(expr)
	if err != nil {
		p.Add(p.expression(f["expr"].Value, err))
		return nil
	}
	r.Condition = c
	if p.Problems() > before {
		return nil
	}
	return r
}

// recording returns the field that makes a rule one that records a series, or nil.
func recording(n *yaml.Node) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		if n.Content[i].Value == "record" {
			return n.Content[i]
		}
	}
	return nil
}

// expression places an error of the expression in the file.
func (p *file) expression(n *yaml.Node, err error) *Error {
	e := p.Atf(n, "expr: %v", err)
	e.Err = err
	pe, ok := errors.AsType[*domain.ParseError](err)
	if !ok {
		return e
	}
	e.Reason = "expr: " + pe.Reason + "; allowed is " + domain.Allowed
	switch {
	case n.Style&yaml.LiteralStyle != 0 && n.Line < len(p.Lines):
		// The text begins in the line after the "|", indented as its first line that is not empty.
		first := p.Lines[n.Line]
		for _, line := range p.Lines[n.Line:] {
			if strings.TrimSpace(line) != "" {
				first = line
				break
			}
		}
		e.Line = n.Line + pe.Line
		e.Column = len(first) - len(strings.TrimLeft(first, " ")) + pe.Column
	case n.Style&yaml.FoldedStyle != 0 || pe.Line > 1 || strings.Contains(n.Value, "\n"):
		// Line breaks were folded: say where in the text it is.
		e.Reason = "expr, line " + strconv.Itoa(pe.Line) + ", column " + strconv.Itoa(pe.Column) + ": " + pe.Reason +
			"; allowed is " + domain.Allowed
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		e.Column += pe.Column
	default:
		e.Column += pe.Column - 1
	}
	return e
}

// identify gives the rules their IDs and checks them as a whole.
func (p *file) identify(rules []*domain.Rule, nodes []*yaml.Node) {
	names := make(map[string]int)
	for _, r := range rules {
		names[r.Name]++
	}
	ids := make(map[string]bool)
	for i, r := range rules {
		r.ID = domain.RuleID(r.Group, r.Name)
		if names[r.Name] > 1 {
			r.ID += r.Labels.String()
		}
		if ids[r.ID] {
			p.Reportf(nodes[i], "alert %q is in group %q already, with the same labels; change its name or a label", r.Name, r.Group)
			continue
		}
		ids[r.ID] = true
		if err := r.Validate(); err != nil {
			e := p.Atf(nodes[i], "%v", err)
			e.Err = err
			p.Add(e)
		}
	}
}
