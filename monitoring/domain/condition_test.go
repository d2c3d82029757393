package domain_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/once/monitoring/domain"
)

// yields returns the series that the condition makes alerts of, without the alert's name.
func yields(t *testing.T, expr string, in domain.Input) string {
	t.Helper()
	r := &domain.Rule{ID: "g/R", Name: "R", Interval: time.Second, Condition: parse(t, expr)}
	s, _, err := domain.Evaluate(r, in, domain.State{})
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	var out []string
	for _, a := range s.Alerts {
		out = append(out, strings.Trim(a.Series.String(), "{}")+" "+domain.FormatValue(a.Value))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func TestSelectors(t *testing.T) {
	in := slotLine(t, `5 up{i="a",zone="eu"}=1 up{i="b"}=0 down{i="c",zone="us"}=7 up{i="d",zone="e\nu"}=3`)
	for expr, want := range map[string]string{
		`up`:                                  `i="a", zone="eu" 1; i="b" 0; i="d", zone="e\nu" 3`,
		`no`:                                  ``,
		`up{i="a"}`:                           `i="a", zone="eu" 1`,
		`up{zone=""}`:                         `i="b" 0`,
		`up{zone!=""}`:                        `i="a", zone="eu" 1; i="d", zone="e\nu" 3`,
		`up{zone!="eu"}`:                      `i="b" 0; i="d", zone="e\nu" 3`,
		`up{zone=~"e"}`:                       ``, // the whole value
		`up{zone=~"e.*"}`:                     `i="a", zone="eu" 1; i="d", zone="e\nu" 3`,
		`up{zone=~"e|.*u"}`:                   `i="a", zone="eu" 1; i="d", zone="e\nu" 3`,
		`up{zone=~""}`:                        `i="b" 0`,
		`up{zone!~"eu|"}`:                     `i="d", zone="e\nu" 3`,
		`{i="c"}`:                             `i="c", zone="us" 7`,
		`{__name__=~"up|down",i!="a",i!="d"}`: `i="b" 0; i="c", zone="us" 7`,
		`up >= 1`:                             `i="a", zone="eu" 1; i="d", zone="e\nu" 3`,
		`up > 1`:                              `i="d", zone="e\nu" 3`,
		`up <= 1`:                             `i="a", zone="eu" 1; i="b" 0`,
		`up < 1`:                              `i="b" 0`,
		`up == 1`:                             `i="a", zone="eu" 1`,
		`up != 1`:                             `i="b" 0; i="d", zone="e\nu" 3`,
		`1 < up`:                              `i="d", zone="e\nu" 3`,
		`up > 0 < 2`:                          `i="a", zone="eu" 1`,
		`absent(up)`:                          ``,
		`absent(up{i="z",zone!="q"})`:         `i="z" 1`,
		`absent(no) > 1`:                      ``,
		`absent(no{i=~"a|b"})`:                ` 1`,
	} {
		if got := yields(t, expr, in); got != want {
			t.Errorf("%s yields %s, want %s", expr, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	at := func(second int, value float64, pairs ...string) domain.Sample {
		return domain.Sample{
			Labels: domain.LabelsOf(append([]string{domain.MetricName, "x_total"}, pairs...)...), Value: value, At: time.Unix(int64(second), 0),
		}
	}
	for _, c := range []struct {
		name    string
		samples []domain.Sample
		history []domain.Sample
		want    string
	}{
		{"nothing", nil, nil, ""},
		{"one sample makes no rate", []domain.Sample{at(20, 5)}, nil, ""},
		{"two at one instant make none either", []domain.Sample{at(20, 5)}, []domain.Sample{at(20, 1)}, ""},
		{"two", []domain.Sample{at(20, 5)}, []domain.Sample{at(18, 1)}, " 2"},
		{"the window's edge is in it", []domain.Sample{at(20, 11)}, []domain.Sample{at(9, 0), at(10, 1)}, " 1"},
		{"no sample in this slot", nil, []domain.Sample{at(12, 0), at(16, 8)}, " 2"},
		{"no change", []domain.Sample{at(20, 5)}, []domain.Sample{at(15, 5)}, " 0"},
		{"a counter that starts again", []domain.Sample{at(20, 3)}, []domain.Sample{at(12, 100), at(14, 110), at(16, 2)}, " 1.625"},
		{"one that starts again at zero", []domain.Sample{at(20, 0)}, []domain.Sample{at(10, 100)}, " 0"},
		{"each series by itself", []domain.Sample{at(20, 4, "a", "1"), at(20, 40, "a", "2")}, []domain.Sample{at(18, 0, "a", "1"), at(18, 0, "a", "2")}, `a="1" 2; a="2" 20`},
	} {
		in := domain.Input{Slot: time.Unix(20, 0), Samples: c.samples, History: c.history}
		if got := yields(t, `rate(x_total[10s])`, in); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestConditionReadsAndWindow(t *testing.T) {
	up, other := domain.LabelsOf(domain.MetricName, "up", "job", "x"), domain.LabelsOf(domain.MetricName, "other")
	for expr, want := range map[string]struct {
		up, other bool
		window    time.Duration
	}{
		`up > 1`:               {true, false, 0},
		`absent(up{job="y"})`:  {false, false, 0},
		`rate(up[5m]) > 1 < 2`: {true, false, 5 * time.Minute},
		`{job=~".+"}`:          {true, false, 0},
		`(other)`:              {false, true, 0},
	} {
		c := parse(t, expr)
		if c.Reads(up) != want.up || c.Reads(other) != want.other || c.Window() != want.window {
			t.Errorf("%s: reads up %v, other %v, window %v; want %+v", expr, c.Reads(up), c.Reads(other), c.Window(), want)
		}
	}
	var zero domain.Condition
	if zero.String() != "" || zero.Window() != 0 || zero.Reads(up) {
		t.Error("the zero Condition is something")
	}
}

// TestUnknownOfNothing: a target without labels would be every target.
func TestUnknownOfNothing(t *testing.T) {
	r := &domain.Rule{ID: "g/R", Name: "R", Interval: time.Second, Condition: parse(t, "up == 0")}
	s, _, err := domain.Evaluate(r, slotLine(t, `1 up{a="1"}=0`), domain.State{})
	if err != nil {
		t.Fatal(err)
	}
	_, made, err := domain.Evaluate(r, domain.Input{Slot: time.Unix(2, 0), Unknown: []domain.Labels{{}}}, s)
	if err != nil || len(made) != 1 || made[0].To != domain.Resolved {
		t.Errorf("%v, %v", made, err)
	}
}
