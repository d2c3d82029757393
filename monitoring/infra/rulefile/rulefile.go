package rulefile

import (
	"errors"
	"fmt"
	"time"

	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/yamldoc"
)

// Error is one thing that is wrong with a file.
type Error = yamldoc.Error

// Options are what a file leaves open; the zero value works.
type Options struct {
	Interval time.Duration // of groups that do not say; 0 = 1m, as in Prometheus
	Offset   time.Duration // moves the slots of every rule; 0 = aligned with the epoch
}

const defaultInterval = time.Minute

// Load reads rule files. Each problem found is an [*Error] of its own, all joined,
// at most 20 a file; with an error no rule is returned. Two files may not have a group of the same name.
func Load(o Options, paths ...string) ([]*domain.Rule, error) {
	var all []*domain.Rule
	var errs []error
	groups := make(map[string]string)
	for _, path := range paths {
		doc, err := yamldoc.Read(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		rules, err := rulesOf(doc, o)
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

// Parse reads the rules of one file; name is what errors call it.
func Parse(name string, data []byte, o Options) ([]*domain.Rule, error) {
	doc, err := yamldoc.Parse(name, data)
	if err != nil {
		return nil, err
	}
	return rulesOf(doc, o)
}

func rulesOf(doc *yamldoc.Doc, o Options) ([]*domain.Rule, error) {
	if doc.Root == nil {
		return nil, nil
	}
	if o.Interval == 0 {
		o.Interval = defaultInterval
	}
	rules := (&file{doc, o}).groups(doc.Root)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return rules, nil
}

// file is a rule file being read.
type file struct {
	*yamldoc.Doc
	o Options
}

func (p *file) labels(f yamldoc.Field) domain.Labels {
	m := make(map[string]string)
	for name, entry := range p.Mapping(f) {
		if !domain.IsLabelName(name) || f.Key.Value == "labels" && (name == domain.AlertName || name == domain.MetricName) {
			p.Reportf(entry.Key, "%s: %q cannot be set here", f.Key.Value, name)
			continue
		}
		m[name] = p.Text(entry)
		if _, err := domain.ParseTemplate(m[name]); err != nil {
			p.Reportf(entry.Value, "%s: %s: %v", f.Key.Value, name, err)
		}
	}
	return domain.NewLabels(m)
}
