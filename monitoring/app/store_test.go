package app_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"example.com/once/idem"
	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/infra/sqlite"
)

// onStores runs a test on every kind of store: what a unit of work comes to must not depend on
// what keeps it. fresh gives one store in as many handles as there are replicas.
func onStores(t *testing.T, test func(t *testing.T, fresh func(replicas int) []app.UnitOfWork)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		test(t, func(replicas int) []app.UnitOfWork {
			return slices.Repeat([]app.UnitOfWork{newRepository()}, replicas)
		})
	})
	t.Run("sqlite", func(t *testing.T) {
		test(t, func(replicas int) []app.UnitOfWork {
			path := filepath.Join(t.TempDir(), "monitor.db")
			var all []app.UnitOfWork
			for range replicas {
				d, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, BusyTimeout: 30 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = d.Close() })
				all = append(all, d)
			}
			return all
		})
	})
}

// evaluated evaluates a slot that nobody has evaluated before.
func evaluated(t *testing.T, m *app.Monitor, r *domain.Rule, s app.Snapshot) app.Outcome {
	t.Helper()
	out, replayed, err := m.EvaluateSlot(t.Context(), r, s)
	if err != nil || replayed {
		t.Fatalf("slot %v: replayed %v, %v", s.Slot, replayed, err)
	}
	return out
}

func TestLifeOfAnAlert(t *testing.T) {
	onStores(t, func(t *testing.T, fresh func(int) []app.UnitOfWork) {
		rule := downRule(t, "Down")
		rule.For, rule.KeepFiringFor = time.Second, 2*time.Second
		m := newMonitor(t, fresh(1)[0], app.Config{Rules: []*domain.Rule{rule}, Sinks: []app.Sink{{Name: "pager", Lane: 1}, {Name: "chat", Lane: 2}}})
		for _, step := range []struct {
			snap     app.Snapshot
			want     domain.Phase // that it passes into; Inactive = it stays as it is
			messages int
		}{
			{well(slot(1)), domain.Inactive, 0},
			{down(slot(2)), domain.Pending, 0},
			{down(slot(3)), domain.Firing, 2},
			{down(slot(4)), domain.Inactive, 0},
			{well(slot(5)), domain.Inactive, 0}, // kept firing
			{down(slot(6)), domain.Inactive, 0},
			{well(slot(7)), domain.Inactive, 0},
			{well(slot(8)), domain.Inactive, 0},
			{well(slot(9)), domain.Resolved, 2},
			{well(slot(10)), domain.Inactive, 0},
			{down(slot(11)), domain.Pending, 0}, // again
			{down(slot(12)), domain.Firing, 2},
		} {
			out := evaluated(t, m, rule, step.snap)
			if got := len(out.Transitions); got > 1 || got == 1 && out.Transitions[0].To != step.want || got == 0 && step.want != domain.Inactive {
				t.Errorf("slot %s: transitions %v, want one into %s", step.snap.Slot, out.Transitions, step.want)
			}
			if out.Messages != step.messages {
				t.Errorf("slot %s: %d messages, want %d", step.snap.Slot, out.Messages, step.messages)
			}
		}
	})
}

func TestPastSlotsAreSkipped(t *testing.T) {
	onStores(t, func(t *testing.T, fresh func(int) []app.UnitOfWork) {
		rule := downRule(t, "Down")
		m := newMonitor(t, fresh(1)[0], app.Config{Rules: []*domain.Rule{rule}})
		evaluated(t, m, rule, well(slot(5)))
		out := evaluated(t, m, rule, down(slot(3)))
		if !out.Skipped || len(out.Transitions) != 0 || out.Messages != 0 {
			t.Errorf("a slot of the past: %+v", out)
		}
		out = evaluated(t, m, rule, down(slot(9)))
		if out.Missed != 3 {
			t.Errorf("%d slots were recorded as skipped, want 6, 7 and 8", out.Missed)
		}
		s := m.Stats()
		want := app.Stats{Evaluated: 2, Skipped: 1, Missed: 3, Transitions: 1, Messages: 1}
		if s != want {
			t.Errorf("stats %+v, want %+v", s, want)
		}
	})
}

// TestRateOverReplicas: whoever evaluates a slot works on what the slots before have seen,
// also where another replica has seen it.
func TestRateOverReplicas(t *testing.T) {
	onStores(t, func(t *testing.T, fresh func(int) []app.UnitOfWork) {
		rule := downRule(t, "Errors")
		rule.Condition = condition(t, `rate(errors_total[10s]) > 1`)
		var replicas []*app.Monitor
		for i, uow := range fresh(2) {
			replicas = append(replicas, newMonitor(t, uow, app.Config{Replica: strconv.Itoa(i), Rules: []*domain.Rule{rule}}))
		}
		counter := func(second int, value float64) app.Snapshot {
			return app.Snapshot{Slot: slot(second), Samples: []domain.Sample{
				{Labels: domain.LabelsOf(domain.MetricName, "errors_total"), Value: value, At: slot(second)},
				{Labels: domain.LabelsOf(domain.MetricName, "something_else"), Value: value, At: slot(second)},
			}}
		}
		for second, value := range []float64{0, 1, 2, 3, 3} { // one a second is not above one
			if out := evaluated(t, replicas[second%2], rule, counter(second, value)); len(out.Transitions) != 0 {
				t.Fatalf("second %d: %+v", second, out)
			}
		}
		out := evaluated(t, replicas[1], rule, counter(5, 30))
		if len(out.Transitions) != 1 || out.Transitions[0].To != domain.Firing {
			t.Errorf("30 errors in five seconds: %+v", out)
		}
		// 20 seconds later all of that is out of the window, and one sample makes no rate.
		out = evaluated(t, replicas[0], rule, counter(25, 60))
		if len(out.Transitions) != 1 || out.Transitions[0].To != domain.Resolved {
			t.Errorf("after the window: %+v", out)
		}
	})
}

func TestFailureOfARuleIsAnOutcome(t *testing.T) {
	onStores(t, func(t *testing.T, fresh func(int) []app.UnitOfWork) {
		rule := downRule(t, "Down")
		rule.Limit = 1
		uow := fresh(2)
		a := newMonitor(t, uow[0], app.Config{Rules: []*domain.Rule{rule}})
		out := evaluated(t, a, rule, seen(slot(1), map[string]float64{"db": 0, "web": 0}))
		if out.Failure != "more alerts than the rule's limit: 2, and 1 are allowed" || len(out.Transitions) != 0 {
			t.Errorf("%+v", out)
		}
		b := newMonitor(t, uow[1], app.Config{Replica: "b", Rules: []*domain.Rule{rule}})
		if again, replayed, err := b.EvaluateSlot(t.Context(), rule, down(slot(1))); err != nil || !replayed || again.Failure != out.Failure {
			t.Errorf("%+v, replayed %v, %v", again, replayed, err)
		}
	})
}

// TestFailedUnitOfWorkLeavesNothing: an error after everything was written takes it all back.
func TestFailedUnitOfWorkLeavesNothing(t *testing.T) {
	onStores(t, func(t *testing.T, fresh func(int) []app.UnitOfWork) {
		uow := fresh(1)[0]
		broken := errors.New("broken")
		key, at := app.Key("r", slot(1)), slot(1)
		body := func(ctx context.Context, tx app.Tx) error {
			x := domain.Transition{RuleID: "r", Slot: at, To: domain.Firing}
			return errors.Join(
				tx.SetState(ctx, "r", domain.State{Slot: at}),
				tx.Record(ctx, app.Evaluation{RuleID: "r", Slot: at, At: at, Transitions: []domain.Transition{x}}),
				tx.Enqueue(ctx, app.Message{ID: [16]byte{1}, Sink: "pager", Key: "k", Slot: at, To: domain.Firing}))
		}
		_, _, err := uow.Once(t.Context(), key, func(ctx context.Context, tx app.Tx) (app.Outcome, error) {
			if err := body(ctx, tx); err != nil {
				t.Error(err)
			}
			return app.Outcome{}, broken
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		_, replayed, err := uow.Once(t.Context(), key, func(ctx context.Context, tx app.Tx) (app.Outcome, error) {
			s, err := tx.State(ctx, "r")
			if err != nil || !s.Slot.IsZero() {
				t.Errorf("the state is %+v, %v", s, err)
			}
			return app.Outcome{}, body(ctx, tx) // no row is in the way
		})
		if err != nil || replayed {
			t.Errorf("replayed %v, %v", replayed, err)
		}
	})
}

// TestReplicasRace: each slot is evaluated by one of them, and all are told the same of it.
func TestReplicasRace(t *testing.T) {
	const replicas, slots = 4, 40
	onStores(t, func(t *testing.T, fresh func(int) []app.UnitOfWork) {
		rules := []*domain.Rule{downRule(t, "Down"), downRule(t, "Other")}
		var mu sync.Mutex
		outcomes := make(map[idem.Key][]app.Outcome)
		var total app.Stats
		var wg sync.WaitGroup
		for i, uow := range fresh(replicas) {
			m := newMonitor(t, uow, app.Config{Replica: strconv.Itoa(i), Rules: rules})
			wg.Go(func() {
				for second := range slots {
					for _, r := range rules {
						s := down(slot(second))
						if second%3 == 0 {
							s = well(slot(second))
						}
						out, _, err := m.EvaluateSlot(context.Background(), r, s)
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						key := app.Key(r.ID, slot(second))
						outcomes[key] = append(outcomes[key], out)
						mu.Unlock()
					}
				}
				s := m.Stats()
				mu.Lock()
				defer mu.Unlock()
				total.Evaluated += s.Evaluated
				total.Suppressed += s.Suppressed
				total.Skipped += s.Skipped
				total.Missed += s.Missed
				total.Messages += s.Messages
			})
		}
		wg.Wait()
		for key, all := range outcomes {
			for _, o := range all {
				if len(all) != replicas || o.Replica != all[0].Replica || o.Messages != all[0].Messages {
					t.Fatalf("%q: %+v", key, all)
				}
			}
		}
		// Down in slots 1, 4, 7, ..., well in 0, 3, 6, ...: 13 times firing, 13 times resolved, two rules.
		want := app.Stats{Evaluated: 2 * slots, Suppressed: (replicas - 1) * 2 * slots, Messages: 2 * 26}
		if total != want {
			t.Errorf("all together %+v, want %+v", total, want)
		}
	})
}

func TestCommittedIsCalledForEveryoneWhoLearnsOfMessages(t *testing.T) {
	onStores(t, func(t *testing.T, fresh func(int) []app.UnitOfWork) {
		rule := downRule(t, "Down")
		woken := make([]int, 2)
		for i, uow := range fresh(2) {
			m := newMonitor(t, uow, app.Config{Rules: []*domain.Rule{rule}, Committed: func() { woken[i]++ }})
			for _, s := range []app.Snapshot{well(slot(1)), down(slot(2)), down(slot(3))} {
				if _, _, err := m.EvaluateSlot(t.Context(), rule, s); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !slices.Equal(woken, []int{1, 1}) {
			t.Errorf("woken %v; want each replica once, since either relay may hold the message's shard", woken)
		}
	})
}

// TestRecordOfAnEvaluation: it holds what replays the evaluation, and no more.
func TestRecordOfAnEvaluation(t *testing.T) {
	repo, rule := newRepository(), downRule(t, "Errors")
	rule.Condition = condition(t, `rate(errors_total[10s]) > 1`)
	m := newMonitor(t, repo, app.Config{Rules: []*domain.Rule{rule}})
	for second := 1; second <= 3; second++ {
		s := down(slot(second)) // of which the rule reads nothing
		s.Samples = append(s.Samples, domain.Sample{Labels: domain.LabelsOf(domain.MetricName, "errors_total"), Value: float64(10 * second), At: slot(second)})
		s.Unknown = []domain.Labels{domain.LabelsOf("instance", "x")}
		evaluated(t, m, rule, s)
	}
	e := repo.evaluation(rule.ID, slot(3))
	if len(e.Input.Samples) != 1 || e.Input.Samples[0].Value != 30 || len(e.Input.History) != 0 || len(e.Input.Unknown) != 1 || !e.Input.Slot.Equal(slot(3)) {
		t.Errorf("input %+v; want the one sample that the rule reads, and no history, which is in the records before", e.Input)
	}
	if e.RuleID != rule.ID || e.Revision != rule.Revision() || e.Replica != "a" || e.Alerts != 1 || e.Failure != "" || e.At.IsZero() || e.Missed.Count != 0 {
		t.Errorf("%+v", e)
	}
	// Replayed from the records, it comes to the same.
	var state domain.State
	for second := 1; second <= 3; second++ {
		r := repo.evaluation(rule.ID, slot(second))
		in := r.Input
		for earlier := 1; earlier < second; earlier++ {
			in.History = append(in.History, repo.evaluation(rule.ID, slot(earlier)).Input.Samples...)
		}
		next, transitions, err := domain.Evaluate(rule, in, state)
		if err != nil || fmt.Sprint(transitions) != fmt.Sprint(r.Transitions) {
			t.Errorf("slot %d: %v, %v; it was %v", second, transitions, err, r.Transitions)
		}
		state = next
	}
	if fmt.Sprint(state) != fmt.Sprint(repo.kept.states[rule.ID]) {
		t.Errorf("replayed %v, it is %v", state, repo.kept.states[rule.ID])
	}
}
