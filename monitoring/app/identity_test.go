package app_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// The values in this file are on disk and at receivers. They must be the same in every process
// and every version: a changed one doubles every alert that is under way during the upgrade.

func TestKeyIsStable(t *testing.T) {
	at := time.Date(2026, time.May, 1, 12, 0, 15, 0, time.UTC)
	want := "7:monitor9:node/Down20:2026-05-01T12:00:15Z"
	for _, same := range []time.Time{at, at.In(time.FixedZone("x", 3600))} {
		if got := app.Key("node/Down", same); string(got) != want {
			t.Errorf("the key is %q, want %q", got, want)
		}
	}
	if got := app.Key("node/Down", at.Add(10*time.Millisecond)); string(got) != "7:monitor9:node/Down23:2026-05-01T12:00:15.01Z" {
		t.Errorf("of a slot between two seconds it is %q", got)
	}
	if app.Key("a", at) == app.Key("b", at) || app.Key("a", at) == app.Key("a", at.Add(1)) {
		t.Error("two evaluations share a key")
	}
}

func TestMessageIDIsStable(t *testing.T) {
	at := time.Date(2026, time.May, 1, 12, 0, 15, 0, time.UTC)
	f := domain.LabelsOf("alertname", "Down", "instance", "a:9100").Fingerprint()
	id := app.MessageID(app.Key("node/Down", at), at, f, domain.Firing, "pager")
	if got, want := app.FormatMessageID(id), "019de369-3098-8fdd-848e-020e0fa37b8b"; got != want {
		t.Errorf("the id is %s, want %s", got, want)
	}
	others := map[[16]byte]string{id: "itself"}
	for name, other := range map[string][16]byte{
		"rule":  app.MessageID(app.Key("node/Up", at), at, f, domain.Firing, "pager"),
		"slot":  app.MessageID(app.Key("node/Down", at.Add(time.Second)), at.Add(time.Second), f, domain.Firing, "pager"),
		"alert": app.MessageID(app.Key("node/Down", at), at, domain.Fingerprint{1}, domain.Firing, "pager"),
		"phase": app.MessageID(app.Key("node/Down", at), at, f, domain.Resolved, "pager"),
		"sink":  app.MessageID(app.Key("node/Down", at), at, f, domain.Firing, "chat"),
	} {
		if as, ok := others[other]; ok {
			t.Errorf("with another %s the id is that of %s", name, as)
		}
		others[other] = name
		if other[6]>>4 != 8 || other[8]>>6 != 2 {
			t.Errorf("%s is not a UUID of version 8", app.FormatMessageID(other))
		}
	}
}

// TestMessageIDsSortByTime: databases and people like it.
func TestMessageIDsSortByTime(t *testing.T) {
	at := time.Date(2026, time.May, 1, 12, 0, 0, 0, time.UTC)
	last := ""
	for i := range 1000 {
		slot := at.Add(time.Duration(i) * 10 * time.Millisecond)
		id := app.FormatMessageID(app.MessageID(app.Key("r", slot), slot, domain.Fingerprint{}, domain.Firing, "s"))
		if id <= last {
			t.Fatalf("%s comes after %s", id, last)
		}
		last = id
	}
}

func TestNotificationIsStable(t *testing.T) {
	repo, rule := newRepository(), downRule(t, "Down")
	rule.Labels = domain.LabelsOf("severity", "page")
	rule.Annotations = domain.LabelsOf("summary", `{{ $labels.instance }} is "down" <b>`)
	m := newMonitor(t, repo, app.Config{Rules: []*domain.Rule{rule}})
	for _, s := range []app.Snapshot{down(slot(1)), well(slot(2))} {
		if _, _, err := m.EvaluateSlot(t.Context(), rule, s); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		`{"message_id":"00dc6acf-afe8-848f-9f12-9cd554cd3c5a","rule_id":"test/Down","rule_revision":"c28be772485c",` +
			`"evaluation_timestamp":"2000-01-01T00:00:01Z","transition":"firing","fingerprint":"b447e3f1b80c73dae3f6acbda62c0c8c",` +
			`"labels":{"alertname":"Down","instance":"db","severity":"page"},"annotations":{"summary":"db is \"down\" \u003cb\u003e"},` +
			`"value":"0","starts_at":"2000-01-01T00:00:01Z"}`,
		`{"message_id":"00dc6acf-b3d0-88db-a2c2-b839301235a1","rule_id":"test/Down","rule_revision":"c28be772485c",` +
			`"evaluation_timestamp":"2000-01-01T00:00:02Z","transition":"resolved","fingerprint":"b447e3f1b80c73dae3f6acbda62c0c8c",` +
			`"labels":{"alertname":"Down","instance":"db","severity":"page"},"annotations":{"summary":"db is \"down\" \u003cb\u003e"},` +
			`"value":"0","starts_at":"2000-01-01T00:00:01Z","ends_at":"2000-01-01T00:00:02Z"}`,
	}
	messages := repo.messages()
	if len(messages) != len(want) {
		t.Fatal(messages)
	}
	for i, x := range messages {
		if string(x.Payload) != want[i] {
			t.Errorf("payload %d is\n%s, want\n%s", i, x.Payload, want[i])
		}
		n, err := app.ParseNotification(x.Payload)
		if err != nil || n.MessageID != app.FormatMessageID(x.ID) || n.RuleID != x.Alert.RuleID || n.Fingerprint != x.Alert.Fingerprint ||
			!n.Slot.Equal(x.Slot) || n.Transition != x.To || n.RuleRevision != rule.Revision() {
			t.Errorf("%+v, %v; of %+v", n, err, x)
		}
		if x.Sink != "pager" || x.Lane != 1 || x.Key != "test/Down "+x.Alert.Fingerprint.String() {
			t.Errorf("%+v", x)
		}
	}
	if messages[0].Key != messages[1].Key {
		t.Error("firing and resolved of one alert have no order between them")
	}
	if _, err := app.ParseNotification([]byte("{")); err == nil {
		t.Error("half a notification is read")
	}
}

func TestNotificationOfNaN(t *testing.T) {
	repo, rule := newRepository(), downRule(t, "Odd")
	rule.Condition = condition(t, "up != 1")
	m := newMonitor(t, repo, app.Config{Rules: []*domain.Rule{rule}})
	if _, _, err := m.EvaluateSlot(t.Context(), rule, seen(slot(1), map[string]float64{"a": math.NaN()})); err != nil {
		t.Fatal(err)
	}
	var n map[string]any
	if err := json.Unmarshal(repo.messages()[0].Payload, &n); err != nil || n["value"] != "NaN" {
		t.Errorf("%v, %v", n, err)
	}
}
