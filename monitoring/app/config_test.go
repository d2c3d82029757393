package app_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

func TestNewRefuses(t *testing.T) {
	valid := func() app.Config {
		return app.Config{
			Replica: "a", Rules: []*domain.Rule{downRule(t, "Down")}, Sinks: pager(), Targets: []app.Target{fine("a"), fine("b")},
		}
	}
	if _, err := app.New(newRepository(), valid()); err != nil {
		t.Fatal(err)
	}
	if _, err := app.New(nil, valid()); !errors.Is(err, app.ErrConfig) || !strings.Contains(err.Error(), "unit of work is nil") {
		t.Errorf("%v", err)
	}
	for want, change := range map[string]func(*app.Config){
		"Replica is empty":                                func(c *app.Config) { c.Replica = "" },
		"Rules is empty":                                  func(c *app.Config) { c.Rules = nil },
		"Rules[1] is nil":                                 func(c *app.Config) { c.Rules = append(c.Rules, nil) },
		`Rules[0]: invalid rule "test/Down": For`:         func(c *app.Config) { c.Rules[0].For = -1 },
		`Rules[1]: the ID "test/Down" is used twice`:      func(c *app.Config) { c.Rules = append(c.Rules, downRule(t, "Down")) },
		"Missed: unknown policy 2":                        func(c *app.Config) { c.Missed = 2 },
		"Backlog: -1 is negative":                         func(c *app.Config) { c.Backlog = -1 },
		`Targets[1]: Name "a" is empty or used twice`:     func(c *app.Config) { c.Targets[1].Name = "a" },
		`Targets[0]: Name "" is empty or used twice`:      func(c *app.Config) { c.Targets[0].Name = "" },
		`Targets[0] "a": Fetcher is nil`:                  func(c *app.Config) { c.Targets[0].Fetcher = nil },
		`Targets[0] "a": Labels is empty`:                 func(c *app.Config) { c.Targets[0].Labels = domain.Labels{} },
		`Targets[0] "a": Labels must not hold __name__`:   func(c *app.Config) { c.Targets[0].Labels = domain.LabelsOf("__name__", "x") },
		`Targets[1] "b": Labels are those of "a"`:         func(c *app.Config) { c.Targets[1].Labels = c.Targets[0].Labels },
		`Targets[0] "a": Timeout -1s is negative`:         func(c *app.Config) { c.Targets[0].Timeout = -time.Second },
		`Sinks[0]: Name "" is empty or used twice`:        func(c *app.Config) { c.Sinks[0].Name = "" },
		`Sinks[1]: Name "pager" is empty or used twice`:   func(c *app.Config) { c.Sinks = append(c.Sinks, app.Sink{Name: "pager", Lane: 2}) },
		`Sinks[1] "chat": lane 1 is that of "pager"`:      func(c *app.Config) { c.Sinks = append(c.Sinks, app.Sink{Name: "chat", Lane: 1}) },
		`Sinks[0]: Name "a\nb" holds a control character`: func(c *app.Config) { c.Sinks[0].Name = "a\nb" },
		"Sinks[0]: Name is longer than 200 bytes":         func(c *app.Config) { c.Sinks[0].Name = strings.Repeat("x", 201) },
	} {
		c := valid()
		change(&c)
		if _, err := app.New(newRepository(), c); !errors.Is(err, app.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

// TestConfigIsCopied: what the caller does to its slices afterwards is its own matter.
func TestConfigIsCopied(t *testing.T) {
	rule := downRule(t, "Down")
	c := app.Config{Rules: []*domain.Rule{rule}, Sinks: pager()}
	repo := newRepository()
	m := newMonitor(t, repo, c)
	c.Sinks[0].Name, c.Rules[0] = "changed", downRule(t, "Changed")
	if _, _, err := m.EvaluateSlot(t.Context(), rule, down(slot(1))); err != nil {
		t.Fatal(err)
	}
	if got := repo.messages()[0].Sink; got != "pager" {
		t.Errorf("the sink is %q", got)
	}
}
