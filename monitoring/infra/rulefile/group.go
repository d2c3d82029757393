package rulefile

import (
	"errors"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/once/monitoring/domain"
)

func (p *file) groups(n *yaml.Node) []*domain.Rule {
	if n.Tag == "!!null" {
		return nil
	}
	top := p.fields(n, "a rule file", "groups")
	var rules []*domain.Rule
	seen := make(map[string]bool)
	if g, ok := top["groups"]; ok {
		for _, n := range p.list(g.value, "groups") {
			rules = append(rules, p.group(n, seen)...)
		}
	}
	return rules
}

func (p *file) group(n *yaml.Node, seen map[string]bool) []*domain.Rule {
	f := p.fields(n, "a group", "name", "interval", "limit", "labels", "rules")
	if f == nil {
		return nil
	}
	name := p.text(f["name"])
	switch {
	case name == "":
		p.report(n, "the group has no name")
	case seen[name]:
		p.report(f["name"].value, "group %q is there twice", name)
	}
	seen[name] = true
	interval := p.duration(f["interval"], p.o.Interval)
	if interval < domain.MinInterval || interval > domain.MaxInterval {
		p.report(f["interval"].value, "interval: %v is not between %v and %v", interval, domain.MinInterval, domain.MaxInterval)
		return nil
	}
	limit := p.limit(f["limit"])
	labels := p.labels(f["labels"])
	if f["rules"].value == nil {
		return nil
	}
	var rules []*domain.Rule
	var nodes []*yaml.Node
	for _, n := range p.list(f["rules"].value, "rules") {
		if r := p.rule(resolve(n)); r != nil {
			r.Group, r.Interval, r.Offset, r.Limit = name, interval, p.o.Offset%interval, limit
			r.Labels = labels.Merge(r.Labels)
			rules, nodes = append(rules, r), append(nodes, resolve(n))
		}
	}
	p.identify(rules, nodes)
	return rules
}

func (p *file) limit(f field) int {
	text := p.text(f)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		p.report(f.value, "limit: %q is not a number of alerts; 0 means %d", text, domain.DefaultLimit)
	}
	return n
}

func (p *file) rule(n *yaml.Node) *domain.Rule {
	before := len(p.problems)
	f := p.fields(n, "a rule", "alert", "expr", "for", "keep_firing_for", "labels", "annotations")
	if f == nil {
		return nil
	}
	r := &domain.Rule{
		Name:          p.text(f["alert"]),
		For:           p.duration(f["for"], 0),
		KeepFiringFor: p.duration(f["keep_firing_for"], 0),
		Labels:        p.labels(f["labels"]),
		Annotations:   p.labels(f["annotations"]),
	}
	if r.Name == "" && len(p.problems) == before {
		p.report(n, "the rule has no alert, which is its name")
	}
	for name, d := range map[string]int64{"for": int64(r.For), "keep_firing_for": int64(r.KeepFiringFor)} {
		if d > int64(domain.MaxFor) {
			p.report(f[name].value, "%s is longer than %s", name, domain.FormatDuration(domain.MaxFor))
		}
	}
	expr := p.text(f["expr"])
	if strings.TrimSpace(expr) == "" {
		if len(p.problems) == before {
			p.report(n, "rule %q has no expr", r.Name)
		}
		return nil
	}
	c, err := domain.ParseCondition(expr)
	if err != nil {
		p.add(p.expression(f["expr"].value, err))
		return nil
	}
	r.Condition = c
	if len(p.problems) > before {
		return nil
	}
	return r
}

// expression places an error of the expression in the file.
func (p *file) expression(n *yaml.Node, err error) *Error {
	e := p.at(n, "expr: %v", err)
	e.Err = err
	pe, ok := errors.AsType[*domain.ParseError](err)
	if !ok {
		return e
	}
	e.Reason = "expr: " + pe.Reason + "; allowed is " + domain.Allowed
	switch {
	case n.Style&yaml.LiteralStyle != 0 && n.Line < len(p.lines):
		// The text begins in the line after the "|", indented as its first line is.
		first := p.lines[n.Line]
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
			p.report(nodes[i], "alert %q is in group %q already, with the same labels; change its name or a label", r.Name, r.Group)
			continue
		}
		ids[r.ID] = true
		if err := r.Validate(); err != nil {
			e := p.at(nodes[i], "%v", err)
			e.Err = err
			p.add(e)
		}
	}
}
