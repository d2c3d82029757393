package domain_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/once/monitoring/domain"
)

func validRule(t *testing.T) domain.Rule {
	t.Helper()
	return domain.Rule{
		ID: "g/R", Group: "g", Name: "R", Condition: parse(t, "up == 0"), Interval: 15 * time.Second, Offset: time.Second, For: time.Minute,
		Labels: domain.LabelsOf("severity", "page"), Annotations: domain.LabelsOf("summary", "{{ $labels.job }}"),
	}
}

func TestRuleValidate(t *testing.T) {
	r := validRule(t)
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*domain.Rule){
		`"": ID: want 1 to 200 bytes`:                   func(r *domain.Rule) { r.ID = "" },
		`ID: want 1 to 200 bytes`:                       func(r *domain.Rule) { r.ID = strings.Repeat("x", 201) },
		`ID: holds a control character`:                 func(r *domain.Rule) { r.ID = "a\nb" },
		`"a\x7fb": ID: holds a control character`:       func(r *domain.Rule) { r.ID = "a\x7fb" },
		`ID: is not valid UTF-8`:                        func(r *domain.Rule) { r.ID = "a\xffb" },
		`Name: is empty`:                                func(r *domain.Rule) { r.Name = "" },
		`Condition: is empty`:                           func(r *domain.Rule) { r.Condition = domain.Condition{} },
		`Interval: 9ms is not between 10ms and 24h0m0s`: func(r *domain.Rule) { r.Interval = 9 * time.Millisecond },
		`Interval: 24h0m1s is not between`:              func(r *domain.Rule) { r.Interval = 24*time.Hour + time.Second },
		`Offset: 15s is not in [0, 15s)`:                func(r *domain.Rule) { r.Offset = r.Interval },
		`Offset: -1s is not in`:                         func(r *domain.Rule) { r.Offset = -time.Second },
		`For: -1s is not between 0 and 8760h0m0s`:       func(r *domain.Rule) { r.For = -time.Second },
		`KeepFiringFor: -1s is not between`:             func(r *domain.Rule) { r.KeepFiringFor = -time.Second },
		`Labels: "alertname" cannot be set by a rule`:   func(r *domain.Rule) { r.Labels = domain.LabelsOf("alertname", "x") },
		`Labels: "a-b" cannot be set by a rule`:         func(r *domain.Rule) { r.Labels = domain.LabelsOf("a-b", "x") },
		`Labels: a: template`:                           func(r *domain.Rule) { r.Labels = domain.LabelsOf("a", "{{") },
		`Annotations: "1a" is not a name`:               func(r *domain.Rule) { r.Annotations = domain.LabelsOf("1a", "x") },
		`Annotations: a: template`:                      func(r *domain.Rule) { r.Annotations = domain.LabelsOf("a", "{{ $x }}") },
	} {
		r := validRule(t)
		change(&r)
		if err := r.Validate(); !errors.Is(err, domain.ErrRule) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

// TestRevision: it changes with whatever could change an evaluation, and with nothing else.
func TestRevision(t *testing.T) {
	r := validRule(t)
	if got := r.Revision(); got != "2778b66a82cf" {
		t.Errorf("the revision is %s; it is on disk and must be the same in every version", got)
	}
	revisions := map[string]string{r.Revision(): "the rule as it was"}
	for name, change := range map[string]func(*domain.Rule){
		"ID": func(r *domain.Rule) { r.ID = "g/S" }, "Name": func(r *domain.Rule) { r.Name = "S" },
		"Condition": func(r *domain.Rule) { r.Condition = parse(t, "up == 1") }, "Interval": func(r *domain.Rule) { r.Interval++ },
		"Offset": func(r *domain.Rule) { r.Offset++ }, "For": func(r *domain.Rule) { r.For++ }, "KeepFiringFor": func(r *domain.Rule) { r.KeepFiringFor++ },
		"Labels":      func(r *domain.Rule) { r.Labels = domain.LabelsOf("severity", "mail") },
		"Annotations": func(r *domain.Rule) { r.Annotations = domain.Labels{} }, "Limit": func(r *domain.Rule) { r.Limit = 1 },
	} {
		r := validRule(t)
		change(&r)
		if other, ok := revisions[r.Revision()]; ok {
			t.Errorf("with another %s it has the revision of %s", name, other)
		}
		revisions[r.Revision()] = name
	}
	r.Condition = parse(t, " 0  == up # the same")
	if _, ok := revisions[r.Revision()]; !ok {
		t.Error("the same condition in other words has another revision")
	}
}

func TestPhases(t *testing.T) {
	for p, want := range map[domain.Phase]string{
		domain.Inactive: "inactive", domain.Pending: "pending", domain.Firing: "firing", domain.Resolved: "resolved", 9: "phase(9)",
	} {
		if p.String() != want {
			t.Errorf("%d is %s", p, p)
		}
		var back domain.Phase
		if err := back.UnmarshalText([]byte(want)); (err != nil) != (p == 9) || p != 9 && back != p {
			t.Errorf("%s is %v, %v", want, back, err)
		}
	}
}
