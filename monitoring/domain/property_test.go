package domain_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"example.com/once/monitoring/domain"
)

// world makes random rules and what they are fed with. The same seed makes the same world.
type world struct {
	*rand.Rand

	t    *testing.T
	rule *domain.Rule
	seed uint64
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{rand.New(rand.NewPCG(seed, 7)), t, nil, seed}
	w.rule = &domain.Rule{
		ID: "g/R", Group: "g", Name: "R", Interval: time.Second,
		Condition: parse(t, w.pick(`x > 0`, `x{i!="0"} >= 1 < 3`, `rate(x[5s]) > 0.5`, `absent(x{i="0"})`, `{i=~".+"} == 1`, `x != NaN`)),
		For:       time.Duration(w.IntN(4)) * time.Second, KeepFiringFor: time.Duration(w.IntN(4)) * time.Second,
		Annotations: domain.LabelsOf("value", "{{ $value }}"),
	}
	if w.IntN(3) == 0 {
		w.rule.Labels = domain.LabelsOf("severity", `{{ if gt $value 1.0 }}high{{ end }}`)
	}
	if w.IntN(4) == 0 {
		w.rule.Limit = 2
	}
	return w
}

func (w *world) pick(of ...string) string { return of[w.IntN(len(of))] }

// input is what one slot sees, of at most four targets.
func (w *world) input(second int, history []domain.Sample) domain.Input {
	in := domain.Input{Slot: time.Unix(int64(second), 0).UTC(), History: history}
	for i := range 4 {
		target := domain.LabelsOf("i", strconv.Itoa(i))
		switch w.IntN(5) {
		case 0:
			in.Unknown = append(in.Unknown, target)
		case 1: // the target says nothing of x
		default:
			v := []float64{0, 1, 2, 3, math.NaN(), math.Inf(1)}[w.IntN(6)]
			in.Samples = append(in.Samples, domain.Sample{Labels: target.With(domain.MetricName, "x"), Value: v, At: in.Slot})
		}
	}
	return in
}

// worlds plays many random lives; visit sees each step of them.
func worlds(t *testing.T, visit func(w *world, in domain.Input, before, after domain.State, made []domain.Transition)) {
	t.Helper()
	for seed := range uint64(150) {
		w := newWorld(t, seed)
		var state domain.State
		var history []domain.Sample
		for second := 1; second < 40; second += 1 + w.IntN(12)/10 {
			in := w.input(second, slices.Clone(history))
			next, made, err := domain.Evaluate(w.rule, in, state)
			if err == nil {
				visit(w, in, state, next, made)
			} else if w.rule.Limit == 0 {
				t.Fatalf("seed %d: %v", seed, err)
			}
			state = next
			history = append(history, in.Samples...)
		}
	}
}

// same compares by what is printed, since NaN is not equal to itself.
func same(a, b any) bool { return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b) }

func TestEvaluatingASlotAgainChangesNothing(t *testing.T) {
	steps := 0
	worlds(t, func(w *world, in domain.Input, before, after domain.State, made []domain.Transition) {
		steps++
		// From the state before: a lost answer, a second replica.
		again, madeAgain, err := domain.Evaluate(w.rule, in, before)
		if err != nil || !same(again, after) || !same(madeAgain, made) {
			w.t.Fatalf("seed %d, slot %v: from the state before\n%+v %v\nand then\n%+v %v, %v", w.seed, in.Slot, after, made, again, madeAgain, err)
		}
		// From the state after: a forgotten key.
		again, madeAgain, err = domain.Evaluate(w.rule, in, after)
		if err != nil || !same(again, after) || len(madeAgain) != 0 {
			w.t.Fatalf("seed %d, slot %v: from the state after\n%+v\nbecomes\n%+v with %v, %v", w.seed, in.Slot, after, again, madeAgain, err)
		}
	})
	if steps < 2500 {
		t.Fatalf("only %d steps were made", steps)
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	worlds(t, func(w *world, in domain.Input, before, after domain.State, made []domain.Transition) {
		mixed := domain.Input{Slot: in.Slot, Samples: shuffled(w, in.Samples), History: shuffled(w, in.History), Unknown: shuffled(w, in.Unknown)}
		next, madeNext, err := domain.Evaluate(w.rule, mixed, domain.State{Slot: before.Slot, Alerts: shuffled(w, before.Alerts)})
		if err != nil || !same(next, after) || !same(madeNext, made) {
			w.t.Fatalf("seed %d, slot %v: %s\n%+v %v\nand in another order\n%+v %v, %v", w.seed, in.Slot, w.rule.Condition, after, made, next, madeNext, err)
		}
	})
}

func shuffled[T any](w *world, list []T) []T {
	list = slices.Clone(list)
	w.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func TestArgumentsAreNotChanged(t *testing.T) {
	for seed := range uint64(50) {
		w := newWorld(t, seed)
		var state domain.State
		for second := 1; second < 20; second++ {
			in := w.input(second, nil)
			printed := fmt.Sprintf("%+v %+v %+v", *w.rule, in, state)
			next, _, _ := domain.Evaluate(w.rule, in, state)
			if now := fmt.Sprintf("%+v %+v %+v", *w.rule, in, state); now != printed {
				t.Fatalf("seed %d: was\n%s\nis\n%s", seed, printed, now)
			}
			state = next
		}
	}
}

// TestShapeOfStatesAndTransitions: every alert once, in order; a transition for each change of a
// phase and for nothing else; and only changes that exist.
func TestShapeOfStatesAndTransitions(t *testing.T) {
	legal := map[[2]domain.Phase]bool{
		{domain.Inactive, domain.Pending}: true, {domain.Inactive, domain.Firing}: true, {domain.Pending, domain.Inactive}: true,
		{domain.Pending, domain.Firing}: true, {domain.Firing, domain.Resolved}: true, {domain.Resolved, domain.Pending}: true,
		{domain.Resolved, domain.Firing}: true,
	}
	met := make(map[[2]domain.Phase]int)
	worlds(t, func(w *world, in domain.Input, before, after domain.State, made []domain.Transition) {
		fail := func(format string, args ...any) {
			w.t.Helper()
			w.t.Fatalf("seed %d, slot %v: %s", w.seed, in.Slot, fmt.Sprintf(format, args...))
		}
		if !after.Slot.Equal(in.Slot) {
			fail("the state belongs to %v", after.Slot)
		}
		for i, a := range after.Alerts {
			if i > 0 && bytes.Compare(after.Alerts[i-1].Fingerprint[:], a.Fingerprint[:]) >= 0 {
				fail("alerts are not in order, or there twice")
			}
			if a.Fingerprint != a.Labels.Fingerprint() || a.Labels.Get(domain.AlertName) != "R" || a.Series.Get(domain.MetricName) != "" {
				fail("%+v", a)
			}
			firedAt, resolvedAt := !a.FiredAt.IsZero(), !a.ResolvedAt.IsZero()
			switch a.Phase {
			case domain.Pending:
				if firedAt || resolvedAt || !a.KeepSince.IsZero() || in.Slot.Sub(a.ActiveAt) < 0 {
					fail("pending: %+v", a)
				}
			case domain.Firing:
				if !firedAt || resolvedAt || a.FiredAt.Sub(a.ActiveAt) < w.rule.For {
					fail("firing: %+v", a)
				}
			case domain.Resolved:
				if !firedAt || !resolvedAt || a.ResolvedAt.Before(a.FiredAt) || !a.KeepSince.IsZero() {
					fail("resolved: %+v", a)
				}
			case domain.Inactive:
				fail("an inactive alert is kept: %+v", a)
			}
		}
		changes := make(map[domain.Fingerprint]domain.Transition)
		for _, x := range made {
			if _, twice := changes[x.Fingerprint]; twice || !legal[[2]domain.Phase{x.From, x.To}] {
				fail("%+v", x)
			}
			changes[x.Fingerprint] = x
			met[[2]domain.Phase{x.From, x.To}]++
		}
		phases := make(map[domain.Fingerprint][2]domain.Phase)
		for _, a := range before.Alerts {
			phases[a.Fingerprint] = [2]domain.Phase{a.Phase}
		}
		for _, a := range after.Alerts {
			phases[a.Fingerprint] = [2]domain.Phase{phases[a.Fingerprint][0], a.Phase}
		}
		for f, p := range phases {
			x, changed := changes[f]
			forgotten := p == [2]domain.Phase{domain.Resolved, domain.Inactive}
			if want := p[0] != p[1] && !forgotten; changed != want || changed && (x.From != p[0] || x.To != p[1]) {
				fail("%v became %v, and the transition is %+v", p[0], p[1], x)
			}
			delete(changes, f)
		}
		if len(changes) != 0 {
			fail("transitions of alerts that are nowhere: %v", changes)
		}
	})
	for change := range legal {
		if met[change] < 10 {
			t.Errorf("%v was met %d times only; the worlds are too small", change, met[change])
		}
	}
}

// TestPhasesAgainstHistory holds Evaluate against a second opinion, which looks at the whole
// history of one series instead of keeping a state.
func TestPhasesAgainstHistory(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 9))
		rule := &domain.Rule{
			ID: "g/R", Name: "R", Interval: time.Second, Condition: parse(t, "x == 1"),
			For: time.Duration(r.IntN(4)) * time.Second, KeepFiringFor: time.Duration(r.IntN(4)) * time.Second,
		}
		var state domain.State
		var seen []point
		for second := 1; second < 30; second += 1 + r.IntN(12)/10 {
			holds := r.IntN(3) > 0
			seen = append(seen, point{second, holds})
			in := domain.Input{Slot: time.Unix(int64(second), 0).UTC()}
			if holds {
				in.Samples = []domain.Sample{{Labels: domain.LabelsOf(domain.MetricName, "x"), Value: 1, At: in.Slot}}
			}
			next, _, err := domain.Evaluate(rule, in, state)
			if err != nil {
				t.Fatal(err)
			}
			got := domain.Inactive
			if len(next.Alerts) > 0 {
				got = next.Alerts[0].Phase
			}
			if want := phaseOf(rule, seen); got != want {
				t.Fatalf("seed %d: for %v, keep %v, %v: %v, want %v", seed, rule.For, rule.KeepFiringFor, seen, got, want)
			}
			state = next
		}
	}
}

type point struct {
	second int
	holds  bool
}

// phaseOf says in which phase the history leaves the alert. It fires if there is a stretch of
// slots, all of which hold, that spans For, and since which no stretch without the condition
// spanned KeepFiringFor.
func phaseOf(r *domain.Rule, h []point) domain.Phase {
	span := func(a, b point) time.Duration { return time.Duration(b.second-a.second) * time.Second }
	resolved := false
	for start := range slices.Backward(h) {
		// Is there a stretch that begins here and is long enough to fire?
		end := start
		for end < len(h) && h[end].holds && span(h[start], h[end]) < r.For {
			end++
		}
		if end == len(h) || !h[end].holds {
			continue
		}
		// It fires from end on. When does it resolve?
		over := false
		for gap := end; gap < len(h) && !over; gap++ {
			for last := gap; last < len(h) && !h[last].holds && !over; last++ {
				over = span(h[gap], h[last]) >= r.KeepFiringFor
			}
		}
		if !over {
			return domain.Firing
		}
		resolved = true
		break
	}
	// Not firing. Pending if the last slots hold.
	if h[len(h)-1].holds {
		return domain.Pending
	}
	if resolved {
		// Unless it was pending since: what went from resolved to pending and away is inactive.
		return afterResolved(r, h)
	}
	return domain.Inactive
}

// afterResolved walks back from the end: the alert is still resolved if no slot since it resolved holds.
func afterResolved(r *domain.Rule, h []point) domain.Phase {
	gap := len(h) - 1
	for gap > 0 && !h[gap-1].holds {
		gap--
	}
	// The slots from gap on do not hold; the ones before do. Was it firing when they began?
	if gap > 0 && phaseOf(r, h[:gap]) == domain.Firing {
		return domain.Resolved
	}
	return domain.Inactive
}

func TestUnknownFreezes(t *testing.T) {
	worlds(t, func(w *world, in domain.Input, before, after domain.State, made []domain.Transition) {
		unknown := func(series domain.Labels) bool {
			return slices.ContainsFunc(in.Unknown, func(l domain.Labels) bool { return series.Get("i") == l.Get("i") })
		}
		for _, a := range before.Alerts {
			now, kept := after.Alert(a.Fingerprint)
			if unknown(a.Series) && a.Phase != domain.Resolved && (!kept || now.Phase != a.Phase && w.rule.Condition.Window() == 0) &&
				w.rule.Condition.String() != `absent(x{i="0"})` {
				w.t.Fatalf("seed %d, slot %v: %s\nalert %+v\nbecame %+v (kept %v) with %v, though its target is unknown", w.seed, in.Slot, w.rule.Condition, a, now, kept, made)
			}
		}
	})
}

func TestSampleReadsBack(t *testing.T) {
	for _, v := range []float64{0, 1, -0.1, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN()} {
		s := domain.Sample{Labels: domain.LabelsOf("a", "b"), Value: v, At: time.Unix(1, 2).UTC()}
		data, err := s.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var got domain.Sample
		if err := got.UnmarshalJSON(data); err != nil || !same(got, s) {
			t.Errorf("%s is %+v, %v", data, got, err)
		}
	}
	for _, bad := range []string{`{`, `{"labels":{},"value":"x","at":"2026-01-01T00:00:00Z"}`, `{"value":1}`} {
		if err := new(domain.Sample).UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
