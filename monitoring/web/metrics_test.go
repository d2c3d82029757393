package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/web"
	"example.com/once/outbox"
)

// scrape reads /metrics as Prometheus would, without what every Go program has.
func scrape(t *testing.T, c web.Config) (samples map[string]float64, types map[string]string) {
	t.Helper()
	w := ask(t, c, http.MethodGet, "/metrics")
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	samples, types = make(map[string]float64), make(map[string]string)
	for name, family := range families {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		types[name] = strings.ToLower(family.GetType().String())
		if family.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		vector, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{}, family)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range vector {
			if _, twice := samples[s.Metric.String()]; twice {
				t.Errorf("%s is there twice", s.Metric)
			}
			samples[s.Metric.String()] = float64(s.Value)
		}
	}
	return samples, types
}

func diff(t *testing.T, got, want map[string]float64) {
	t.Helper()
	names := slices.Sorted(maps.Keys(got))
	for name := range want {
		if _, ok := got[name]; !ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		g, there := got[name]
		w, wanted := want[name]
		if there != wanted || math.Abs(g-w) > 1e-9 {
			t.Errorf("%s: %v (there: %t), want %v (wanted: %t)", name, g, there, w, wanted)
		}
	}
}

// only returns the samples whose name begins with the prefix.
func only(samples map[string]float64, prefix string) map[string]float64 {
	out := maps.Clone(samples)
	maps.DeleteFunc(out, func(name string, _ float64) bool { return !strings.HasPrefix(name, prefix) })
	return out
}

// ofReplica are the samples that need no database.
func ofReplica() map[string]float64 {
	return map[string]float64{
		`monitor_info{replica="monitor-a", version="v1.2.3"}`: 1,
		"monitor_slots_total":                                               6300,
		"monitor_evaluations_total":                                         6241,
		"monitor_duplicates_suppressed_total":                               6239,
		"monitor_slots_skipped_total":                                       0,
		"monitor_slots_missed_total":                                        3,
		"monitor_transitions_total":                                         33,
		"monitor_messages_total":                                            30,
		"monitor_unit_of_work_failures_total":                               0,
		"monitor_last_slot_timestamp_seconds":                               1700000000.5,
		`monitor_deliveries_total{result="delivered", sink="hook"}`:         21,
		`monitor_deliveries_total{result="failed", sink="hook"}`:            9,
		`monitor_deliveries_total{result="delivered", sink="chat"}`:         0,
		`monitor_deliveries_total{result="failed", sink="chat"}`:            2,
		`monitor_deliveries_total{result="delivered", sink="alertmanager"}`: 0,
		`monitor_deliveries_total{result="failed", sink="alertmanager"}`:    0,
		`monitor_deliveries_total{result="delivered", sink="pager"}`:        0,
		`monitor_deliveries_total{result="failed", sink="pager"}`:           0,
		`monitor_dead_letters_total{sink="hook"}`:                           0,
		`monitor_dead_letters_total{sink="chat"}`:                           1,
		`monitor_dead_letters_total{sink="alertmanager"}`:                   0,
		`monitor_dead_letters_total{sink="pager"}`:                          0,
		`monitor_delivery_duration_seconds_sum{sink="hook"}`:                3.5,
		`monitor_delivery_duration_seconds_count{sink="hook"}`:              30,
		`monitor_delivery_duration_seconds_sum{sink="chat"}`:                0.4,
		`monitor_delivery_duration_seconds_count{sink="chat"}`:              2,
		`monitor_delivery_duration_seconds_sum{sink="alertmanager"}`:        0,
		`monitor_delivery_duration_seconds_count{sink="alertmanager"}`:      0,
		`monitor_delivery_duration_seconds_sum{sink="pager"}`:               0,
		`monitor_delivery_duration_seconds_count{sink="pager"}`:             0,
	}
}

func TestMetrics(t *testing.T) {
	samples, types := scrape(t, full(t, busy(now())))
	want := ofReplica()
	maps.Copy(want, map[string]float64{
		"monitor_database_readable":                  1,
		`monitor_outbox_messages{state="waiting"}`:   2,
		`monitor_outbox_messages{state="delivered"}`: 55,
		`monitor_outbox_messages{state="dead"}`:      1,
		`monitor_alerts{state="firing"}`:             2,
		`monitor_alerts{state="pending"}`:            1,
		`monitor_targets{state="up"}`:                4,
		`monitor_targets{state="down"}`:              2,
		"monitor_outbox_backlog":                     2,
		"monitor_outbox_oldest_age_seconds":          130,
		`ALERTS{alertname="TargetDown", alertstate="firing", instance="checkout", severity="critical"}`:             1,
		`ALERTS{alertname="HighErrorRate", alertstate="firing", instance="api-2", job="node", severity="critical"}`: 1,
		`ALERTS{alertname="SlowAnswers", alertstate="pending", instance="edge", severity="warning"}`:                1,
	})
	diff(t, samples, want)
	for name, got := range types {
		want := "gauge"
		switch {
		case strings.HasSuffix(name, "_total"):
			want = "counter"
		case name == "monitor_delivery_duration_seconds":
			want = "summary"
		}
		if got != want {
			t.Errorf("%s is a %s, want a %s", name, got, want)
		}
	}
}

func TestMetricsOfAReplicaThatKnowsLittle(t *testing.T) {
	samples, _ := scrape(t, web.Config{Reader: &reader{}, Replica: "a"})
	diff(t, samples, map[string]float64{
		`monitor_info{replica="a", version=""}`:      1,
		"monitor_database_readable":                  1,
		`monitor_outbox_messages{state="waiting"}`:   0,
		`monitor_outbox_messages{state="delivered"}`: 0,
		`monitor_outbox_messages{state="dead"}`:      0,
		`monitor_alerts{state="firing"}`:             0,
		`monitor_alerts{state="pending"}`:            0,
		`monitor_targets{state="up"}`:                0,
		`monitor_targets{state="down"}`:              0,
	})
}

func TestMetricsBeforeTheFirstSlot(t *testing.T) {
	c := full(t, &reader{})
	c.Stats = func() app.Stats { return app.Stats{} }
	samples, _ := scrape(t, c)
	if _, ok := samples["monitor_last_slot_timestamp_seconds"]; ok {
		t.Error("there is a last slot before there was one; its age would be that of the year 1")
	}
	if v, ok := samples["monitor_slots_total"]; !ok || v != 0 {
		t.Errorf("slots: %v, %t", v, ok)
	}
}

func TestMetricsWithoutTheDatabase(t *testing.T) {
	var log bytes.Buffer
	c := full(t, &reader{err: errors.New("connection refused")})
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	samples, _ := scrape(t, c)
	want := ofReplica()
	want["monitor_database_readable"] = 0
	diff(t, samples, want)
	if !strings.Contains(log.String(), "connection refused") {
		t.Errorf("the log does not say why: %s", &log)
	}
}

func TestMetricsWithoutTheOutbox(t *testing.T) {
	c := full(t, busy(now()))
	c.Outbox = func(context.Context) (outbox.Stats, error) { return outbox.Stats{}, errors.New("gone") }
	samples, _ := scrape(t, c)
	if samples["monitor_database_readable"] != 1 || samples[`monitor_alerts{state="firing"}`] != 2 {
		t.Errorf("what can be read is missing: %v", samples)
	}
	if _, ok := samples["monitor_outbox_backlog"]; ok {
		t.Error("the backlog cannot be known")
	}
}

func TestAlertSeries(t *testing.T) {
	r := &reader{}
	long := strings.Repeat("x", 300)
	same := []string{"instance", "a"}
	twice := alertOf("one/Same", domain.Firing, now(), 1, "", same...)
	again := alertOf("two/Same", domain.Firing, now(), 1, "", same...)
	r.alerts = []app.AlertView{
		twice, again, alertOf("three/Same", domain.Pending, now(), 1, "", same...),
		alertOf("g/Evil", domain.Firing, now(), 1, "", "path", `C:\"`+hostile+"\n", "long", long),
		alertOf("g/Unwritable", domain.Firing, now(), 1, "", "bytes", "\xff\xfe"),
		alertOf("g/Over", domain.Resolved, now().Add(-time.Hour), 1, ""),
	}
	var log bytes.Buffer
	c := web.Config{Reader: r, Replica: "a", Logger: slog.New(slog.NewTextHandler(&log, nil))}
	samples, types := scrape(t, c)
	diff(t, only(samples, "ALERTS"), map[string]float64{
		`ALERTS{alertname="Same", alertstate="firing", instance="a"}`:                                             1,
		`ALERTS{alertname="Same", alertstate="pending", instance="a"}`:                                            1,
		fmt.Sprintf(`ALERTS{alertname="Evil", alertstate="firing", long=%q, path=%q}`, long, `C:\"`+hostile+"\n"): 1,
	})
	if strings.Contains(log.String(), "collected before") {
		t.Errorf("a series is given to the registry twice: %s", &log)
	}
	if types["ALERTS"] != "gauge" {
		t.Errorf("ALERTS is a %s", types["ALERTS"])
	}
	if !strings.Contains(log.String(), "an alert cannot be a series") {
		t.Errorf("the log does not say which alert is missing: %s", &log)
	}
}
