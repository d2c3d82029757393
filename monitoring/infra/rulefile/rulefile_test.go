package rulefile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/infra/rulefile"
)

const whole = `# Rules in all their parts.
groups:
  - name: node
    interval: 15s
    limit: 20
    labels: {team: infra, severity: mail}
    rules:
      - alert: NodeDown
        expr: up{job="node"} == 0
        for: 1m
        keep_firing_for: 5m
        labels: {severity: critical}
        annotations:
          summary: "{{ $labels.instance }} does not answer"
          runbook: 42
      - alert: Busy
        expr: |
          rate(
            cpu_seconds_total[5m]
          ) > 0.9
        labels: &mail
          severity: mail
      - alert: Busy
        expr: rate(cpu_seconds_total[5m]) > 0.99
        labels: {severity: page}
  - name: web
    rules:
      - {alert: Absent, expr: 'absent(up{job="web"})', labels: *mail}
  - name: empty
`

func TestParse(t *testing.T) {
	rules, err := rulefile.Parse("rules.yml", []byte(whole), rulefile.Options{Interval: 30 * time.Second, Offset: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rules {
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
		got = append(got, fmt.Sprintf("%s | %s | %s | every %v+%v for %v keep %v limit %d | %s | %s",
			r.ID, r.Name, r.Condition, r.Interval, r.Offset, r.For, r.KeepFiringFor, r.Limit, r.Labels, r.Annotations))
	}
	want := []string{
		`node/NodeDown | NodeDown | up{job="node"} == 0 | every 15s+5s for 1m0s keep 5m0s limit 20 | {severity="critical", team="infra"} | {runbook="42", summary="{{ $labels.instance }} does not answer"}`,
		`node/Busy{severity="mail", team="infra"} | Busy | rate(cpu_seconds_total[5m]) > 0.9 | every 15s+5s for 0s keep 0s limit 20 | {severity="mail", team="infra"} | {}`,
		`node/Busy{severity="page", team="infra"} | Busy | rate(cpu_seconds_total[5m]) > 0.99 | every 15s+5s for 0s keep 0s limit 20 | {severity="page", team="infra"} | {}`,
		`web/Absent | Absent | absent(up{job="web"}) | every 30s+20s for 0s keep 0s limit 0 | {severity="mail"} | {}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestParseNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "groups:\n", "groups: []\n", "{}"} {
		rules, err := rulefile.Parse("rules.yml", []byte(text), rulefile.Options{})
		if err != nil || len(rules) != 0 {
			t.Errorf("%q: %v, %v", text, rules, err)
		}
	}
	rules, err := rulefile.Parse("rules.yml", []byte("groups: [{name: a, rules: [{alert: A, expr: up}]}]"), rulefile.Options{})
	if err != nil || len(rules) != 1 || rules[0].Interval != time.Minute {
		t.Errorf("%v, %v; want the interval of Prometheus, a minute", rules, err)
	}
}

// group wraps rules, which begin in line 4 and column 7.
func group(rules string) string { return "groups:\n  - name: g\n    rules:\n" + rules }

// TestParseRefuses: each mistake is found in its place. Every line of want is one problem.
func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no YAML", "groups: [", "rules.yml:1:1: not valid YAML: did not find expected node content"},
		{"tabs", "groups:\n\t- name: x\n", "rules.yml:2:1: not valid YAML: found character that cannot start any token"},
		{"a list", "- name: x\n", "rules.yml:1:1: a rule file must be a mapping with the fields groups"},
		{"a text", "hello\n", "rules.yml:1:1: a rule file must be a mapping with the fields groups"},
		{"two documents", "groups: []\n---\ngroups: []\n", "rules.yml:2:1: a second document; put everything in one"},
		{"unknown field at the top", "groups: []\nrules: []\n", `rules.yml:2:1: a rule file has no field "rules"; it may have groups`},
		{"groups is a text", "groups: node\n", "rules.yml:1:9: groups must be a list"},
		{"a group without a name", "groups:\n  - rules: []\n", "rules.yml:2:5: the group has no name"},
		{"a group twice", "groups:\n  - name: a\n  - name: a\n", `rules.yml:3:11: group "a" is there twice`},
		{"unknown field of a group", "groups:\n  - name: a\n    intervall: 5s\n", `rules.yml:3:5: a group has no field "intervall"; it may have name, interval, limit, labels, rules`},
		{"field twice", "groups:\n  - name: a\n    interval: 5s\n    interval: 6s\n", `rules.yml:4:5: field "interval" is there twice`},
		{"bad interval", "groups:\n  - name: a\n    interval: 5 minutes\n", `rules.yml:3:15: interval: "5 minutes" is not a duration: want numbers with units y, w, d, h, m, s, ms in that order, like 1h30m, or 0`},
		{"interval too short", "groups:\n  - name: a\n    interval: 1ms\n", "rules.yml:3:15: interval: 1ms is not between 10ms and 24h0m0s"},
		{"interval too long", "groups:\n  - name: a\n    interval: 2d\n", "rules.yml:3:15: interval: 48h0m0s is not between 10ms and 24h0m0s"},
		{"bad limit", "groups:\n  - name: a\n    limit: -1\n", `rules.yml:3:12: limit: "-1" is not a whole number of at least 0`},
		{"rules is a mapping", "groups:\n  - name: a\n    rules: {alert: A}\n", "rules.yml:3:12: rules must be a list"},
		{"odd name", "groups:\n  - name: \"a\\nb\"\n    rules: [{alert: A, expr: up}]\n", `rules.yml:3:13: invalid rule "a\nb/A": ID: holds a control character; it becomes part of keys and messages, which have none`},
		{"a rule that is a text", group("      - up == 0\n"), "rules.yml:4:9: a rule must be a mapping with the fields alert, expr, for, keep_firing_for, labels, annotations"},
		{"recording rule", group("      - record: job:up\n        expr: up\n"), "rules.yml:4:9: recording rules are not supported; only alerting rules are, with the field alert"},
		{"no alert", group("      - expr: up\n"), "rules.yml:4:9: the rule has no alert, which is its name"},
		{"no expr", group("      - alert: A\n"), `rules.yml:4:9: rule "A" has no expr`},
		{"empty expr", group("      - alert: A\n        expr: \"  \"\n"), `rules.yml:4:9: rule "A" has no expr`},
		{"expr is a list", group("      - alert: A\n        expr: [up]\n"), "rules.yml:5:15: expr must be a text"},
		{"expr, plain", group("      - alert: A\n        expr: up and down\n"), `rules.yml:5:18: expr: operator "and" is not supported; write two rules`},
		{"expr, double quotes", group("      - alert: A\n        expr: \"up and down\"\n"), `rules.yml:5:19: expr: operator "and" is not supported; write two rules`},
		{"expr, single quotes", group("      - alert: A\n        expr: 'sum(up)'\n"), `rules.yml:5:16: expr: aggregation "sum" is not supported`},
		{"expr, literal block", group("      - alert: A\n        expr: |\n          up\n            and down\n"), `rules.yml:7:13: expr: operator "and" is not supported; write two rules`},
		{"expr, literal block after blank lines", group("      - alert: A\n        expr: |\n\n\n          up and down\n"), `rules.yml:8:14: expr: operator "and" is not supported; write two rules`},
		{"expr, folded block", group("      - alert: A\n        expr: >\n          up\n          and down\n"), `rules.yml:5:15: expr, line 1, column 4: operator "and" is not supported; write two rules`},
		{"bad for", group("      - alert: A\n        expr: up\n        for: -1m\n"), `rules.yml:6:14: for: "-1m" is not a duration: want numbers with units y, w, d, h, m, s, ms in that order, like 1h30m, or 0`},
		{"for too long", group("      - alert: A\n        expr: up\n        for: 2y\n        keep_firing_for: 2y\n"), "rules.yml:6:14: for is longer than 365d\nrules.yml:7:26: keep_firing_for is longer than 365d"},
		{"labels is a list", group("      - alert: A\n        expr: up\n        labels: [a]\n"), "rules.yml:6:17: labels must be a mapping of texts"},
		{"label that cannot be set", group("      - alert: A\n        expr: up\n        labels: {alertname: x, __name__: y, a-b: z}\n"), "rules.yml:6:18: labels: \"alertname\" cannot be set here\nrules.yml:6:32: labels: \"__name__\" cannot be set here\nrules.yml:6:45: labels: \"a-b\" cannot be set here"},
		{"label that is a mapping", group("      - alert: A\n        expr: up\n        labels: {a: {b: c}}\n"), "rules.yml:6:21: a must be a text"},
		{"label twice", group("      - alert: A\n        expr: up\n        labels:\n          a: b\n          a: c\n"), `rules.yml:8:11: labels: "a" is there twice`},
		{"bad template", group("      - alert: A\n        expr: up\n        annotations:\n          summary: \"{{ $lable }}\"\n"), `rules.yml:7:20: annotations: summary: template: 1: undefined variable "$lable"; $labels, $value and a few functions are known`},
		{"a loop", group("      - alert: A\n        expr: up\n        annotations: {summary: '{{ range $labels }}x{{ end }}'}\n"), `rules.yml:6:32: annotations: summary: template: "{{range $labels}}" is not supported; use {{ $labels.x }}, {{ $value }} and {{ if }}`},
		{"twins", group("      - alert: A\n        expr: up\n        labels: {a: b}\n      - alert: A\n        expr: up > 1\n        labels: {a: b}\n"), `rules.yml:7:9: alert "A" is in group "g" already, with the same labels; change its name or a label`},
		{"unknown field of a rule", group("      - alert: A\n        expr: up\n        four: 5m\n"), `rules.yml:6:9: a rule has no field "four"; it may have alert, expr, for, keep_firing_for, labels, annotations`},
		{"several at once", group("      - alert: A\n        expr: up and down\n      - alert: B\n        expr: up\n        for: soon\n"), "rules.yml:5:18: expr: operator \"and\" is not supported; write two rules\nrules.yml:8:14: for: \"soon\" is not a duration: want numbers with units y, w, d, h, m, s, ms in that order, like 1h30m, or 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules, err := rulefile.Parse("rules.yml", []byte(c.text), rulefile.Options{})
			if err == nil {
				t.Fatalf("it is taken: %v", rules)
			}
			if len(rules) != 0 {
				t.Errorf("with an error come %d rules", len(rules))
			}
			got := strings.ReplaceAll(err.Error(), "; allowed is "+domain.Allowed, "")
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestErrorKeepsItsCause(t *testing.T) {
	_, err := rulefile.Parse("rules.yml", []byte(group("      - alert: A\n        expr: up and down\n")), rulefile.Options{})
	var e *rulefile.Error
	var p *domain.ParseError
	if !errors.As(err, &e) || e.File != "rules.yml" || e.Line != 5 || !errors.As(err, &p) || !errors.Is(err, domain.ErrExpression) {
		t.Errorf("%#v", err)
	}
	if !strings.Contains(err.Error(), domain.Allowed) {
		t.Errorf("%v does not say what is allowed", err)
	}
}

// TestManyProblems: a file that is no rule file at all does not fill the screen.
func TestManyProblems(t *testing.T) {
	_, err := rulefile.Parse("rules.yml", []byte(group(strings.Repeat("      - wrong: A\n", 100))), rulefile.Options{})
	if lines := strings.Count(err.Error(), "\n") + 1; lines != 20 {
		t.Errorf("%d problems are reported, want 20", lines)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := file("a.yml", "groups: [{name: a, rules: [{alert: A, expr: up}]}]")
	b := file("b.yml", "groups: [{name: b, rules: [{alert: A, expr: up}]}]")
	again := file("again.yml", "groups: [{name: a, rules: [{alert: B, expr: up}]}]")
	bad := file("bad.yml", "groups: 7")
	huge := file("huge.yml", strings.Repeat("#", 4<<20+1))
	rules, err := rulefile.Load(rulefile.Options{}, a, b)
	if err != nil || len(rules) != 2 || rules[0].ID != "a/A" || rules[1].ID != "b/A" {
		t.Errorf("%v, %v", rules, err)
	}
	missing := filepath.Join(dir, "missing.yml")
	for _, c := range []struct {
		paths []string
		want  []string
	}{
		{[]string{a, missing}, []string{missing + ": cannot be read: no such file or directory"}},
		{[]string{a, dir}, []string{dir + ": cannot be read: is a directory"}},
		{[]string{a, again}, []string{again + `: group "a" is in ` + a + " too; give it another name"}},
		{[]string{huge}, []string{huge + ": is larger than 4194304 bytes"}},
		{[]string{bad, missing, b}, []string{bad + ":1:9: groups must be a list", missing + ": cannot be read: no such file or directory"}},
	} {
		rules, err := rulefile.Load(rulefile.Options{}, c.paths...)
		if err == nil || rules != nil || err.Error() != strings.Join(c.want, "\n") {
			t.Errorf("%v: %v, %v\nwant %s", c.paths, rules, err, strings.Join(c.want, "\n"))
		}
	}
}

// FuzzParse: whatever is in the file, there is an answer, and its rules are valid.
func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add(group("      - alert: A\n        expr: |\n          up and\n"))
	f.Add("groups: &a [*a]")
	f.Add("groups: [{name: a, rules: [{alert: A, expr: &x up, labels: {<<: {a: b}}}]}]")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := rulefile.Parse("f", []byte(text), rulefile.Options{})
		if err != nil && len(rules) > 0 {
			t.Fatalf("rules and an error: %v", err)
		}
		ids := make(map[string]bool)
		for _, r := range rules {
			if err := r.Validate(); err != nil || ids[r.ID] {
				t.Fatalf("%q: %v", r.ID, err)
			}
			ids[r.ID] = true
		}
	})
}
