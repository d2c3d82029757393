package sqlite

import (
	"testing"

	"example.com/once/monitoring/app"
)

func TestSlotIsEvaluatedOnceByTwoReplicas(t *testing.T) {
	d := openNew(t)
	other := open(t, d.path)
	r := rule(t, "Down")
	a, b := monitor(t, d, "a", r), monitor(t, other, "b", r)
	first := evaluate(t, a, r, snap(at(1), false))
	if first.Messages != 2 || len(first.Transitions) != 1 {
		t.Fatalf("first outcome: %+v", first)
	}
	second, replayed, err := b.EvaluateSlot(t.Context(), r, snap(at(1), true))
	if err != nil || !replayed {
		t.Fatalf("replayed %v, %v", replayed, err)
	}
	if second.Replica != "a" || second.Messages != 2 || second.Transitions[0] != first.Transitions[0] {
		t.Errorf("the second replica is handed %+v, not the outcome of the first", second)
	}
	for table, want := range map[string]int{"evaluation": 1, "transition": 1, "message": 2, "once_outbox": 2, "rule": 1} {
		if n := count(t, d, `SELECT COUNT(*) FROM `+table); n != want {
			t.Errorf("%s has %d rows, want %d", table, n, want)
		}
	}
	alerts, err := d.Alerts(t.Context())
	if err != nil || len(alerts) != 1 {
		t.Fatal(alerts, err)
	}
	detail, err := d.Alert(t.Context(), alerts[0].Ref())
	if err != nil || len(detail.Events) != 1 || len(detail.Events[0].Deliveries) != 2 {
		t.Fatal(detail, err)
	}
	deliveries, err := d.Deliveries(t.Context(), 10)
	if err != nil || len(deliveries) != 2 || deliveries[0].State != app.DeliveryWaiting {
		t.Fatal(deliveries, err)
	}
	totals, err := d.Totals(t.Context())
	want := app.Totals{Evaluations: 1, Transitions: 1, Messages: 2, Waiting: 2, Firing: 1}
	if err != nil || totals != want {
		t.Fatal(totals, err)
	}
	rules, err := d.Rules(t.Context())
	if err != nil || len(rules) != 1 || rules[0].Replica != "a" || !rules[0].Slot.Equal(at(1)) {
		t.Fatal(rules, err)
	}
}
