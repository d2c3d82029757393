package web_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/web"
)

func TestConfigErrors(t *testing.T) {
	ready := func(context.Context) error { return nil }
	for name, row := range map[string]struct {
		change func(*web.Config)
		says   string // "" = it is valid
	}{
		"all":              {func(*web.Config) {}, ""},
		"least":            {func(c *web.Config) { *c = web.Config{Reader: c.Reader, Replica: "a"} }, ""},
		"never refreshed":  {func(c *web.Config) { c.Refresh = -1 }, ""},
		"fastest refresh":  {func(c *web.Config) { c.Refresh = 100 * time.Millisecond }, ""},
		"no reader":        {func(c *web.Config) { c.Reader = nil }, "Reader is nil; there is nothing to show"},
		"no replica":       {func(c *web.Config) { c.Replica = "" }, "Replica is empty; say which replica serves"},
		"refresh too fast": {func(c *web.Config) { c.Refresh = 99 * time.Millisecond }, "Refresh is 99ms: it must be at least 100ms, or 0 for 2s, or negative for never"},
		"nil rule":         {func(c *web.Config) { c.Rules = append(c.Rules, (*domain.Rule)(nil)) }, "Rules[7] is nil"},
		"nameless sink":    {func(c *web.Config) { c.Sinks[1].Name = "" }, `Sinks[1]: Name "" is empty or used twice`},
		"doubled sink":     {func(c *web.Config) { c.Sinks[1].Name = "hook" }, `Sinks[1]: Name "hook" is empty or used twice`},
		"unknown promise":  {func(c *web.Config) { c.Sinks[3].Promise = web.State + 1 }, `Sinks[3] "pager": unknown Promise 4`},
		"nameless check":   {func(c *web.Config) { c.Checks = []web.Check{{Ready: ready}} }, `Checks[0]: Part "" is empty or used twice`},
		"doubled check":    {func(c *web.Config) { c.Checks = []web.Check{{"a", ready}, {"a", ready}} }, `Checks[1]: Part "a" is empty or used twice`},
		"check of nothing": {func(c *web.Config) { c.Checks = []web.Check{{Part: "database"}} }, `Checks[0] "database": Ready is nil`},
	} {
		t.Run(name, func(t *testing.T) {
			c := full(t, busy(now()))
			row.change(&c)
			s, err := web.New(c)
			if row.says == "" {
				if err != nil || s == nil {
					t.Fatalf("a valid configuration is refused: %v", err)
				}
				return
			}
			if !errors.Is(err, web.ErrConfig) || !strings.HasSuffix(err.Error(), row.says) {
				t.Errorf("error %v, want %s", err, row.says)
			}
		})
	}
}

func TestConfigBelongsToTheServer(t *testing.T) {
	c := full(t, busy(now()))
	s, err := web.New(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Sinks[0], c.Rules[0] = web.Sink{Name: "other"}, nil
	page := parse(t, get(t, s, web.AlertPath(busy(now()).alerts[1].Ref())).Body.String())
	if said := page.says(); !strings.Contains(said, "exactly-once effect") || !strings.Contains(said, "http_errors_total") {
		t.Errorf("what the caller does to its slices afterwards changes the page: %s", said)
	}
}

func TestPromises(t *testing.T) {
	for promise, want := range map[web.Promise]string{
		web.ByReceiver: "exactly once by id, else at least once", web.ExactlyOnce: "exactly-once effect", web.AtLeastOnce: "at least once",
		web.State: "state: repeats change nothing", web.State + 1: "promise(4)",
	} {
		if got := promise.String(); got != want {
			t.Errorf("%d: %q, want %q", promise, got, want)
		}
	}
}
