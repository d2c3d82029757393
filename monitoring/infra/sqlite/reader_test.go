package sqlite

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/once/idem"
	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// write runs a unit of work that nothing else is said of.
func write(tb testing.TB, d *DB, key idem.Key, fn func(app.Tx) error) {
	tb.Helper()
	_, replayed, err := d.Once(tb.Context(), key, func(_ context.Context, tx app.Tx) (app.Outcome, error) { return app.Outcome{}, fn(tx) })
	if err != nil || replayed {
		tb.Fatalf("replayed %v, %v", replayed, err)
	}
}

func alertOf(name string, phase domain.Phase, second int) domain.Alert {
	l := domain.LabelsOf(domain.AlertName, name, "instance", "a")
	a := domain.Alert{
		Fingerprint: l.Fingerprint(), Series: l.With(domain.AlertName, ""), Labels: l, Annotations: domain.LabelsOf("summary", `"ü" <b>`),
		Phase: phase, ActiveAt: at(second),
	}
	switch phase {
	case domain.Firing:
		a.FiredAt = at(second)
	case domain.Resolved:
		a.FiredAt, a.ResolvedAt = at(second-1), at(second)
	case domain.Inactive, domain.Pending:
	}
	return a
}

// TestStateReadsBack: what is loaded is what was set, to the last bit, or an evaluation would
// depend on which replica made the one before.
func TestStateReadsBack(t *testing.T) {
	d := openNew(t)
	kept := alertOf("Kept", domain.Firing, 3)
	kept.KeepSince = at(4).Add(time.Nanosecond)
	states := []domain.State{{}, {Slot: at(1)}, {Slot: at(2), Alerts: []domain.Alert{
		alertOf("P", domain.Pending, 1), kept, alertOf("R", domain.Resolved, 2),
	}}}
	for _, v := range []float64{math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, 0.1} {
		a := alertOf("V", domain.Firing, 1)
		a.Value = v
		states = append(states, domain.State{Slot: at(3), Alerts: []domain.Alert{a}})
	}
	states = append(states, domain.State{Slot: at(4)})
	for i, want := range states {
		write(t, d, idem.NewKey("test", time.Duration(i).String()), func(tx app.Tx) error {
			return tx.SetState(t.Context(), "r", want)
		})
		write(t, d, idem.NewKey("read", time.Duration(i).String()), func(tx app.Tx) error {
			got, err := tx.State(t.Context(), "r")
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			return err
		})
	}
	// NaN equals nothing, so it is looked at by itself.
	a := alertOf("V", domain.Firing, 1)
	a.Value = math.NaN()
	write(t, d, "nan", func(tx app.Tx) error {
		return tx.SetState(t.Context(), "r", domain.State{Slot: at(5), Alerts: []domain.Alert{a}})
	})
	alerts, err := d.Alerts(t.Context())
	if err != nil || len(alerts) != 1 || !math.IsNaN(alerts[0].Value) {
		t.Errorf("%+v, %v", alerts, err)
	}
}

// TestHistory: a rule's own inputs, of the slots asked for, oldest first, long ones too.
func TestHistory(t *testing.T) {
	d := openNew(t)
	sample := func(slot int, i int) domain.Sample {
		return domain.Sample{
			Labels: domain.LabelsOf(domain.MetricName, "requests_total", "path", strings.Repeat("x", i)), Value: float64(slot*1000 + i), At: at(slot).Add(time.Millisecond),
		}
	}
	want := map[int][]domain.Sample{}
	for slot := range 5 {
		var in domain.Input
		for i := range 1 + slot*10 { // from one that is kept as it is to one that is packed
			in.Samples = append(in.Samples, sample(slot, i))
		}
		in.Unknown = []domain.Labels{domain.LabelsOf("job", "x")}
		want[slot] = in.Samples
		for _, id := range []string{"r", "other"} {
			if id == "other" {
				in.Samples = in.Samples[:1]
			}
			write(t, d, app.Key(id, at(slot)), func(tx app.Tx) error {
				return tx.Record(t.Context(), app.Evaluation{RuleID: id, Slot: at(slot), Input: in, At: at(slot)})
			})
		}
	}
	write(t, d, "read", func(tx app.Tx) error {
		got, err := tx.History(t.Context(), "r", at(1), at(4))
		if exp := slices.Concat(want[1], want[2], want[3]); !reflect.DeepEqual(got, exp) {
			t.Errorf("got %d samples, want %d: since is part of it, before is not", len(got), len(exp))
		}
		return err
	})
	if n := count(t, d, `SELECT MAX(LENGTH(input)) FROM evaluation`); n > 1000 {
		t.Errorf("the longest input takes %d bytes; is it packed?", n)
	}
}

// TestSecondRowIsRefused: were a unit of work ever run twice, in spite of its key, the file
// itself would say no, and nothing of it would be kept.
func TestSecondRowIsRefused(t *testing.T) {
	transition := domain.Transition{RuleID: "r", Slot: at(1), To: domain.Firing, Fingerprint: domain.Fingerprint{1}}
	evaluation := app.Evaluation{RuleID: "r", Slot: at(1), At: at(1), Transitions: []domain.Transition{transition}}
	message := app.Message{ID: [16]byte{1}, Sink: "pager", Lane: 1, Slot: at(1), To: domain.Firing}
	for name, step := range map[string]func(tx app.Tx) error{
		"evaluation": func(tx app.Tx) error {
			e := evaluation
			e.Transitions = nil
			return tx.Record(t.Context(), e)
		},
		"transition": func(tx app.Tx) error {
			e := evaluation
			e.Slot = at(2) // another record with the same transition
			return tx.Record(t.Context(), e)
		},
		"message": func(tx app.Tx) error { return tx.Enqueue(t.Context(), message) },
	} {
		t.Run(name, func(t *testing.T) {
			d := openNew(t)
			write(t, d, "first", func(tx app.Tx) error {
				return errors.Join(tx.Record(t.Context(), evaluation), tx.Enqueue(t.Context(), message))
			})
			_, _, err := d.Once(t.Context(), "second", func(ctx context.Context, tx app.Tx) (app.Outcome, error) {
				if err := tx.SetState(ctx, "r", domain.State{Slot: at(9)}); err != nil {
					t.Error(err)
				}
				return app.Outcome{}, step(tx)
			})
			if err == nil || !strings.Contains(err.Error(), "UNIQUE") {
				t.Errorf("it was taken: %v", err)
			}
			for table, want := range map[string]int{"evaluation": 1, "transition": 1, "message": 1, "once_outbox": 1, "rule": 0} {
				if n := count(t, d, `SELECT COUNT(*) FROM `+table); n != want {
					t.Errorf("%s has %d rows, want %d", table, n, want)
				}
			}
			if n := count(t, d, `SELECT COUNT(*) FROM once_idem WHERE idem_key = ?`, []byte("second")); n != 0 {
				t.Error("the key of the failed unit of work is taken")
			}
		})
	}
}

func TestAlertsByUrgency(t *testing.T) {
	d := openNew(t)
	first := []domain.Alert{alertOf("R1", domain.Resolved, 10), alertOf("P1", domain.Pending, 30), alertOf("F1", domain.Firing, 20)}
	second := []domain.Alert{alertOf("F2", domain.Firing, 25), alertOf("R2", domain.Resolved, 12), alertOf("P2", domain.Pending, 5)}
	write(t, d, "a", func(tx app.Tx) error {
		return errors.Join(tx.SetState(t.Context(), "one", domain.State{Slot: at(40), Alerts: first}),
			tx.SetState(t.Context(), "two", domain.State{Slot: at(40), Alerts: second}),
			tx.SetState(t.Context(), "quiet", domain.State{Slot: at(40)}))
	})
	names := func(alerts []app.AlertView, err error) (out []string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range alerts {
			out = append(out, a.Labels.Get(domain.AlertName))
		}
		return out
	}
	if got, want := names(d.Alerts(t.Context())), []string{"F2", "F1", "P1", "P2", "R2", "R1"}; !slices.Equal(got, want) {
		t.Errorf("alerts %v, want %v", got, want)
	}
	if got, want := names(d.Firing(t.Context(), at(12))), []string{"F2", "F1", "R2"}; !slices.Equal(got, want) {
		t.Errorf("firing %v, want %v", got, want)
	}
	if got, want := names(d.Firing(t.Context(), at(13))), []string{"F2", "F1"}; !slices.Equal(got, want) {
		t.Errorf("firing %v, want %v", got, want)
	}
	totals, err := d.Totals(t.Context())
	if err != nil || totals.Firing != 2 || totals.Pending != 2 {
		t.Errorf("%+v, %v", totals, err)
	}
}

func TestTimelineOfAnAlert(t *testing.T) {
	d, r := openNew(t), rule(t, "Down")
	m := monitor(t, d, "a", r)
	ref := app.AlertRef{RuleID: r.ID, Fingerprint: evaluate(t, m, r, snap(at(1), false)).Transitions[0].Fingerprint}
	evaluate(t, m, r, snap(at(2), true))
	for slot := 3; slot <= 300; slot++ { // on and off, so that there is more than is shown
		evaluate(t, m, r, snap(at(slot), slot%2 == 0))
	}
	detail, err := d.Alert(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if detail.RuleID != r.ID || detail.Fingerprint != ref.Fingerprint || detail.Phase != domain.Resolved || !detail.ResolvedAt.Equal(at(300)) {
		t.Errorf("the alert is %+v", detail.AlertView)
	}
	if len(detail.Events) != alertEvents || !detail.Events[0].Slot.Equal(at(101)) {
		t.Fatalf("%d events, from %v on; want the latest %d, oldest first", len(detail.Events), detail.Events[0].Slot, alertEvents)
	}
	for i, e := range detail.Events {
		want := map[bool]domain.Phase{true: domain.Firing, false: domain.Resolved}[i%2 == 0]
		if e.To != want || e.Replica != "a" || e.Revision != r.Revision() || e.Key != r.ID+" "+e.Slot.Format(time.RFC3339Nano) ||
			e.Labels.Get("instance") != "a" {
			t.Fatalf("event %d: %+v", i, e)
		}
		if len(e.Deliveries) != 2 || e.Deliveries[0].Sink != "pager" || e.Deliveries[1].Sink != "chat" ||
			e.Deliveries[0].To != want || e.Deliveries[0].Ref != ref || !e.Deliveries[0].Slot.Equal(e.Slot) {
			t.Fatalf("event %d: deliveries %+v", i, e.Deliveries)
		}
	}
	events, err := d.Events(t.Context(), 3)
	if err != nil || len(events) != 3 || !events[0].Slot.Equal(at(300)) || !events[2].Slot.Equal(at(298)) {
		t.Errorf("latest events: %v, %v", events, err)
	}
	for _, limit := range []int{0, -1} {
		if events, err := d.Events(t.Context(), limit); err != nil || len(events) != 0 {
			t.Errorf("limit %d: %d events, %v", limit, len(events), err)
		}
	}
	// Once it has left the state, its last transition is what is known.
	evaluate(t, m, r, snap(at(300).Add(domain.ResolvedKept), true))
	gone, err := d.Alert(t.Context(), ref)
	if err != nil || gone.Phase != domain.Resolved || !gone.ResolvedAt.Equal(at(300)) || !gone.Labels.Equal(detail.Labels) || len(gone.Events) != alertEvents {
		t.Errorf("after it has left: %+v, %v", gone.AlertView, err)
	}
	for _, unknown := range []app.AlertRef{{RuleID: r.ID}, {RuleID: "no", Fingerprint: ref.Fingerprint}} {
		if _, err := d.Alert(t.Context(), unknown); !errors.Is(err, app.ErrNotFound) {
			t.Errorf("%v: %v", unknown, err)
		}
	}
}

func TestRules(t *testing.T) {
	d := openNew(t)
	ok, broken := rule(t, "Ok"), rule(t, "Broken")
	broken.Limit, broken.Condition = 1, parse(t, "up < 2")
	m := monitor(t, d, "a", ok, broken)
	for _, r := range []*domain.Rule{ok, broken} {
		evaluate(t, m, r, snap(at(1), false))
	}
	rules, err := d.Rules(t.Context())
	want := []app.RuleView{
		{ID: "test/Broken", Revision: broken.Revision(), Slot: at(1), Replica: "a", Failure: "more alerts than the rule's limit: 2, and 1 are allowed"},
		{ID: "test/Ok", Revision: ok.Revision(), Slot: at(1), Replica: "a", Alerts: 1},
	}
	if err != nil || !slices.Equal(rules, want) {
		t.Errorf("%+v, %v; want\n%+v", rules, err, want)
	}
}

func TestTargets(t *testing.T) {
	d := openNew(t)
	status := func(name, replica string, slot int, up bool) app.TargetStatus {
		s := app.TargetStatus{
			Target: name, Kind: "scrape", URL: "http://x", Labels: domain.LabelsOf("job", name), Replica: replica,
			Slot: at(slot), Up: up, Seconds: 0.5, Samples: 3,
		}
		if !up {
			s.Problem = "no answer within 10s"
		}
		return s
	}
	record := func(statuses ...app.TargetStatus) {
		t.Helper()
		if err := d.RecordTargets(t.Context(), statuses); err != nil {
			t.Fatal(err)
		}
	}
	record(status("b", "one", 1, true), status("a", "one", 1, true))
	for slot := 2; slot <= 100; slot++ {
		record(status("b", "one", slot, true))
	}
	record(status("b", "two", 100, false)) // in the same slot, and later
	record(status("b", "three", 99, true)) // late
	targets, err := d.Targets(t.Context())
	if err != nil || len(targets) != 2 {
		t.Fatal(targets, err)
	}
	a, b := targets[0], targets[1]
	if !reflect.DeepEqual(a.TargetStatus, status("a", "one", 1, true)) || len(a.Recent) != 1 {
		t.Errorf("a is %+v", a)
	}
	if !reflect.DeepEqual(b.TargetStatus, status("b", "two", 100, false)) {
		t.Errorf("b is %+v", b.TargetStatus)
	}
	if len(b.Recent) != beatsKept || !b.Recent[0].Slot.Equal(at(41)) || b.Recent[beatsKept-1] != (app.TargetBeat{Slot: at(100), Seconds: 0.5}) {
		t.Errorf("b has %d beats, %+v to %+v", len(b.Recent), b.Recent[0], b.Recent[len(b.Recent)-1])
	}
	totals, err := d.Totals(t.Context())
	if err != nil || totals.TargetsUp != 1 || totals.TargetsDown != 1 {
		t.Errorf("%+v, %v", totals, err)
	}
}

// TestReadersDoNotWait: the page goes on while a unit of work holds the file.
func TestReadersDoNotWait(t *testing.T) {
	d := openNew(t)
	write(t, d, "before", func(tx app.Tx) error { return tx.SetState(t.Context(), "r", domain.State{Slot: at(1)}) })
	write(t, d, "open", func(tx app.Tx) error {
		if err := tx.SetState(t.Context(), "r", domain.State{Slot: at(2)}); err != nil {
			return err
		}
		rules, err := d.Rules(t.Context())
		if err != nil || len(rules) != 1 || !rules[0].Slot.Equal(at(1)) {
			t.Errorf("%+v, %v; want what was committed", rules, err)
		}
		_, err = d.Totals(t.Context())
		return err
	})
}
