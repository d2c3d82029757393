package domain_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/once/monitoring/domain"
)

var update = flag.Bool("update", false, "write the golden files anew; read the difference before you commit it")

// TestEvaluateGolden plays the scenarios in testdata/evaluate. A scenario begins with the
// rule, one field a line; then comes one line a slot:
//
//	SECONDS [SERIES=VALUE]... [unknown{LABELS}]...
//
// The golden file beside it holds what came of each slot.
func TestEvaluateGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/evaluate/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			got := play(t, file)
			golden := strings.TrimSuffix(file, ".txt") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func play(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := &domain.Rule{ID: "g/R", Group: "g", Name: "R", Interval: time.Second}
	var out strings.Builder
	var state domain.State
	var past []domain.Input
	lines := bufio.NewScanner(strings.NewReader(string(data)))
	for lines.Scan() {
		line := lines.Text()
		switch name, value, isField := strings.Cut(line, ": "); {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case isField && !strings.ContainsAny(name, " ={"):
			setField(t, r, name, value)
			continue
		}
		in := slotLine(t, line)
		for _, p := range past {
			if !p.Slot.Before(in.Slot.Add(-r.Condition.Window())) {
				in.History = append(in.History, p.Samples...)
			}
		}
		next, transitions, failure := domain.Evaluate(r, in, state)
		again, none, _ := domain.Evaluate(r, in, next)
		if fmt.Sprint(again) != fmt.Sprint(next) || len(none) != 0 {
			t.Errorf("%s: evaluated again it is %v with %v", line, again, none)
		}
		fmt.Fprintf(&out, "> %s\n", line)
		if failure != nil {
			fmt.Fprintf(&out, "    failed: %v\n", failure)
		}
		for _, x := range transitions {
			fmt.Fprintf(&out, "    %s -> %s  %s %s value %v, active since %d\n", x.From, x.To, x.Labels, x.Annotations, x.Value, x.ActiveAt.Unix())
		}
		for _, a := range next.Alerts {
			fmt.Fprintf(&out, "  = %s  %s value %v%s%s%s%s\n", a.Phase, a.Labels, a.Value,
				since("active", a.ActiveAt), since("fired", a.FiredAt), since("kept", a.KeepSince), since("resolved", a.ResolvedAt))
		}
		state, past = next, append(past, in)
	}
	return out.String()
}

func since(what string, at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf(", %s %d", what, at.Unix())
}

func setField(t *testing.T, r *domain.Rule, name, value string) {
	t.Helper()
	duration := func() time.Duration {
		d, err := domain.ParseDuration(value)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	switch name {
	case "expr":
		r.Condition = parse(t, value)
	case "for":
		r.For = duration()
	case "keep_firing_for":
		r.KeepFiringFor = duration()
	case "limit":
		r.Limit, _ = strconv.Atoi(value)
	case "labels":
		r.Labels = parseSeries(t, value)
	case "annotations":
		r.Annotations = parseSeries(t, value)
	default:
		t.Fatalf("unknown field %q", name)
	}
}

// parseSeries reads name{label="value"}.
func parseSeries(t *testing.T, text string) domain.Labels {
	t.Helper()
	name, rest, _ := strings.Cut(text, "{")
	m := map[string]string{domain.MetricName: name}
	for _, pair := range regexp.MustCompile(`(\w+)=("(?:[^"\\]|\\.)*")`).FindAllStringSubmatch(rest, -1) {
		value, err := strconv.Unquote(pair[2])
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		m[pair[1]] = value
	}
	return domain.NewLabels(m)
}

func slotLine(t *testing.T, line string) domain.Input {
	t.Helper()
	words := regexp.MustCompile(`[^\s{]+\{[^}]*\}\S*|\S+`).FindAllString(line, -1)
	second, err := strconv.ParseInt(words[0], 10, 64)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	in := domain.Input{Slot: time.Unix(second, 0).UTC()}
	for _, w := range words[1:] {
		i := strings.LastIndexByte(w, '=')
		if strings.HasPrefix(w, "unknown{") {
			in.Unknown = append(in.Unknown, parseSeries(t, w).With(domain.MetricName, ""))
			continue
		}
		v, err := strconv.ParseFloat(w[i+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		in.Samples = append(in.Samples, domain.Sample{Labels: parseSeries(t, w[:i]), Value: v, At: in.Slot})
	}
	return in
}

func TestEvaluateRefusesThePast(t *testing.T) {
	r := &domain.Rule{ID: "g/R", Name: "R", Interval: time.Second, Condition: parse(t, "up == 0")}
	prev, _, err := domain.Evaluate(r, slotLine(t, `10 up{a="b"}=0`), domain.State{})
	if err != nil {
		t.Fatal(err)
	}
	next, transitions, err := domain.Evaluate(r, slotLine(t, `9 up{a="b"}=1`), prev)
	if !errors.Is(err, domain.ErrPast) || len(transitions) != 0 || fmt.Sprint(next) != fmt.Sprint(prev) {
		t.Errorf("%v, %v, %v; want the state as it was, and ErrPast", next, transitions, err)
	}
}

func TestTooManyAndTwins(t *testing.T) {
	r := &domain.Rule{ID: "g/R", Name: "R", Interval: time.Second, Condition: parse(t, `{a!=""}`)}
	many := domain.Input{Slot: time.Unix(1, 0)}
	for i := range domain.DefaultLimit + 1 {
		many.Samples = append(many.Samples, domain.Sample{Labels: domain.LabelsOf("a", strconv.Itoa(i))})
	}
	for limit, fails := range map[int]bool{0: true, -1: false, domain.DefaultLimit + 1: false, 7: true} {
		r.Limit = limit
		if _, _, err := domain.Evaluate(r, many, domain.State{}); errors.Is(err, domain.ErrTooMany) != fails {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	r.Limit = 0
	twins := slotLine(t, `1 x{a="1"}=1 y{a="1"}=2`)
	if _, _, err := domain.Evaluate(r, twins, domain.State{}); !errors.Is(err, domain.ErrSameAlert) || !strings.Contains(err.Error(), `{a="1", alertname="R"}`) {
		t.Errorf("series that differ in their metric names: %v", err)
	}
	r.Labels = domain.LabelsOf("a", "the same")
	if _, _, err := domain.Evaluate(r, slotLine(t, `1 x{a="1"}=1 x{a="2"}=2`), domain.State{}); !errors.Is(err, domain.ErrSameAlert) {
		t.Errorf("series that differ in a label that the rule overrides: %v", err)
	}
}

// TestFailureKeepsAlerts: an evaluation that cannot be made says nothing of the alerts.
func TestFailureKeepsAlerts(t *testing.T) {
	r := &domain.Rule{ID: "g/R", Name: "R", Interval: time.Second, Condition: parse(t, "up == 0"), Limit: 1}
	prev, _, err := domain.Evaluate(r, slotLine(t, `1 up{a="1"}=0`), domain.State{})
	if err != nil {
		t.Fatal(err)
	}
	next, transitions, err := domain.Evaluate(r, slotLine(t, `2 up{a="1"}=0 up{a="2"}=0`), prev)
	if !errors.Is(err, domain.ErrTooMany) || len(transitions) != 0 || !next.Slot.Equal(time.Unix(2, 0)) || fmt.Sprint(next.Alerts) != fmt.Sprint(prev.Alerts) {
		t.Errorf("%v, %v, %v", next, transitions, err)
	}
}

func TestTransitionNotifies(t *testing.T) {
	var told []domain.Phase
	for p := domain.Inactive; p <= domain.Resolved; p++ {
		if (domain.Transition{To: p}).Notifies() {
			told = append(told, p)
		}
	}
	if !slices.Equal(told, []domain.Phase{domain.Firing, domain.Resolved}) {
		t.Errorf("%v", told)
	}
}
