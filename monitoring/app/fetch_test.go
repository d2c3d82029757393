package app_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// series are samples by their labels, as text.
func series(samples []domain.Sample) map[string]float64 {
	out := make(map[string]float64)
	for _, s := range samples {
		out[s.Labels.String()] += s.Value // two samples of one series would show as their sum
	}
	return out
}

// everything is a rule that reads every series.
func everything(tb testing.TB) []*domain.Rule {
	tb.Helper()
	r := downRule(tb, "All")
	r.Condition = condition(tb, `{__name__!=""} == 12345`)
	return []*domain.Rule{r}
}

func says(samples ...domain.Sample) fetcher {
	return func(context.Context) (app.Observation, error) { return app.Observation{Samples: samples}, nil }
}

func value(v float64, pairs ...string) domain.Sample {
	return domain.Sample{Labels: domain.LabelsOf(pairs...), Value: v}
}

func TestFetchPutsTheTargetsLabelsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := target("api", says(
			value(1, "__name__", "requests", "path", "/"),
			value(2, "__name__", "requests", "instance", "inner", "job", "theirs"),
			value(3, "__name__", "requests", "instance", "inner", "exported_instance", "older"),
			value(4, "__name__", "requests", "path", "/"), // a second one of the same series
		))
		api.Labels = domain.LabelsOf("instance", "api:80", "job", "web")
		m := newMonitor(t, newRepository(), app.Config{Rules: everything(t), Targets: []app.Target{api}})
		snap := m.Fetch(t.Context(), slot(1))
		want := map[string]float64{
			`requests{instance="api:80", job="web", path="/"}`:                                                      1,
			`requests{exported_instance="inner", exported_job="theirs", instance="api:80", job="web"}`:              2,
			`requests{exported_exported_instance="inner", exported_instance="older", instance="api:80", job="web"}`: 3,
			`up{instance="api:80", job="web"}`:                                                                      1,
			`scrape_duration_seconds{instance="api:80", job="web"}`:                                                 0,
			`scrape_samples_scraped{instance="api:80", job="web"}`:                                                  4,
		}
		if got := series(snap.Samples); !maps.Equal(got, want) {
			t.Errorf("got\n%v, want\n%v", got, want)
		}
		if !snap.Slot.Equal(slot(1)) || len(snap.Unknown) != 0 {
			t.Errorf("%+v", snap)
		}
		for _, s := range snap.Samples {
			if !s.At.Equal(time.Now()) || s.At.Location() != time.UTC {
				t.Errorf("%s is from %v", s.Labels, s.At)
			}
		}
	})
}

func TestFetchKeepsWhatRulesRead(t *testing.T) {
	rule, other := downRule(t, "Down"), downRule(t, "Other")
	other.Condition = condition(t, `rate(requests{path="/"}[1m]) > 1`)
	api := target("api", says(value(1, "__name__", "requests", "path", "/"), value(1, "__name__", "requests", "path", "/x"), value(1, "__name__", "noise")))
	m := newMonitor(t, newRepository(), app.Config{Rules: []*domain.Rule{rule, other}, Targets: []app.Target{api}})
	got := series(m.Fetch(t.Context(), slot(1)).Samples)
	if want := []string{`requests{instance="api", path="/"}`, `up{instance="api"}`}; !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestFetchFindsOut: every way in which a target can be, and what is known of it then.
func TestFetchFindsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := target("hangs", func(ctx context.Context) (app.Observation, error) {
			<-ctx.Done()
			return app.Observation{Samples: []domain.Sample{value(1, "__name__", "half")}}, fmt.Errorf("get: %w", ctx.Err())
		})
		slow := target("slow", func(context.Context) (app.Observation, error) {
			time.Sleep(2 * time.Second)
			return app.Observation{Samples: []domain.Sample{value(7, "__name__", "x")}}, nil
		})
		slow.Timeout = 3 * time.Second
		hasty := hangs
		hasty.Name, hasty.Timeout, hasty.Labels = "hasty", time.Second, domain.LabelsOf("instance", "hasty")
		targets := []app.Target{
			fine("fine"), slow, hangs, hasty,
			target("refuses", func(context.Context) (app.Observation, error) {
				return app.Observation{}, errors.New("connection refused")
			}),
			target("sick", func(context.Context) (app.Observation, error) {
				return app.Observation{Samples: []domain.Sample{value(503, "__name__", "status")}, Problem: "status 503"}, nil
			}),
		}
		m := newMonitor(t, newRepository(), app.Config{Replica: "r1", Rules: everything(t), Targets: targets})
		snap := m.Fetch(t.Context(), slot(1))
		if took := time.Since(slot(0)); took != 10*time.Second {
			t.Errorf("it took %v; want the longest timeout, since targets are read side by side", took)
		}
		want := []app.TargetStatus{
			{Target: "fine", Up: true},
			{Target: "slow", Up: true, Seconds: 2, Samples: 1},
			{Target: "hangs", Problem: "no answer within 10s", Seconds: 10},
			{Target: "hasty", Problem: "no answer within 1s", Seconds: 1},
			{Target: "refuses", Problem: "connection refused"},
			{Target: "sick", Problem: "status 503", Samples: 1},
		}
		for i, got := range snap.Statuses {
			w := want[i]
			w.Kind, w.URL, w.Labels, w.Replica, w.Slot = "scrape", targets[i].URL, targets[i].Labels, "r1", slot(1)
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", w) {
				t.Errorf("got  %+v\nwant %+v", got, w)
			}
		}
		got := series(snap.Samples)
		for i, w := range want {
			up := got[fmt.Sprintf("up{instance=%q}", w.Target)]
			if (up == 1) != w.Up {
				t.Errorf("up of %s is %v", w.Target, up)
			}
			if seconds := got[fmt.Sprintf("scrape_duration_seconds{instance=%q}", w.Target)]; seconds != w.Seconds {
				t.Errorf("duration of %s is %v", w.Target, seconds)
			}
			unknown := slices.ContainsFunc(snap.Unknown, targets[i].Labels.Equal)
			if want := !w.Up && w.Target != "sick"; unknown != want {
				t.Errorf("%s is unknown: %v, want %v; a target that answers badly is known", w.Target, unknown, want)
			}
		}
		if _, ok := got[`half{instance="hangs"}`]; ok {
			t.Error("half an answer is used")
		}
		if got[`status{instance="sick"}`] != 503 {
			t.Error("what a sick target said is not used")
		}
	})
}
