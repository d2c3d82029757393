package web_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/web"
)

func TestTimeline(t *testing.T) {
	at(t, func(t *testing.T, now time.Time) {
		r := busy(now)
		page := open(t, full(t, r), web.AlertPath(r.alerts[1].Ref()), 200)
		if got := page.one(t, "title").says(); got != "HighErrorRate firing · monitor" {
			t.Errorf("title %q", got)
		}
		if got, want := page.one(t, ".alert").says(), "HighErrorRate firing critical summary12.7 % of requests fail on api-2 instanceapi-2 jobnode "+
			`rule api/HighErrorRate condition rate(http_errors_total{job="node"}[5m]) > 0.05 value 0.127 active since 10:11:00 9 min 7 s ago `+
			"fired at 10:12:00 8 min 7 s ago fingerprint "+r.alerts[1].Fingerprint.String(); got != want {
			t.Errorf("alert:\n%s\nand not\n%s", got, want)
		}
		events := items(page.one(t, ".timeline"))
		equal(t, "heads", texts(page.one(t, ".timeline").all(".head")), []string{
			"firing was pending 10:12:00 8 min 7 s ago", "pending was inactive 10:11:00 9 min 7 s ago",
		})
		if got, want := events[0].one(t, ".facts").says(), "idempotency key api/HighErrorRate 2000-01-01T10:12:00Z committed by monitor-b, once, "+
			"with the state and the messages in one transaction value 0.127 rule revision 9f3a1c20b4de"; got != want {
			t.Errorf("facts: %q, want %q", got, want)
		}
		if got, want := events[1].one(t, ".silent").says(), "Nobody is told of this change: only firing and resolved are sent."; got != want {
			t.Errorf("pending: %q", got)
		}

		deliveries := events[0].all("article")
		if len(deliveries) != 3 {
			t.Fatalf("%d deliveries", len(deliveries))
		}
		hook, chat := deliveries[0], deliveries[2]
		equal(t, "hook", parts(t, hook), []string{
			"hook webhook · hook.example.org", "delivered, 4 attempts", "exactly-once effect Every attempt carries the same id, and the receiver " +
				"honours it: however many attempts it takes, the effect happens once.",
			"4 attempts by 2 replicas, 1 cut off before the answer, one effect.",
		})
		equal(t, "attempts", texts(hook.one(t, "tbody").all("tr")), []string{
			`1 10:12:00.180 +180 ms monitor-b failed outboxhttp: hook.example.org answered 500 Internal Server Error: "database is locked" 82 ms waits 5 s`,
			"2 10:12:05.280 +5.2 s monitor-b cut off It never ended: the replica was killed, or lost the database. The receiver may have the message.",
			"2 10:12:21.180 +21 s monitor-a failed outboxhttp: POST to hook.example.org: context deadline exceeded 7.5 s waits 28 s",
			"3 10:12:57.180 +57 s monitor-a delivered 12 ms",
		})
		if got := classes(hook.one(t, ".track").all("rect")); !slices.Equal(got, []string{"failed", "cut", "failed", "delivered"}) {
			t.Errorf("track: %v", got)
		}
		if got := classes(hook.one(t, "tbody").all("tr")); !slices.Equal(got, []string{"failed", "cut", "failed", "delivered"}) {
			t.Errorf("rows: %v", got)
		}
		equal(t, "chat", parts(t, chat), []string{
			"chat webhook · chat.example.org", "dead, 2 attempts", "at least once The receiver cannot tell a repeat: an attempt whose answer was " +
				"lost may have had its effect, and the next one has it again.",
			"2 attempts. It was given up and is a dead letter now; an operator may send it again, with the same id.",
		})
		if got, want := chat.one(t, "tbody").all("tr")[1].says(),
			`2 10:12:05.180 +5.1 s monitor-b dead-lettered outboxhttp: chat.example.org answered 410 Gone: "no such channel" 190 ms given up`; got != want {
			t.Errorf("the last attempt: %q, want %q", got, want)
		}
		id := r.events[3].Deliveries[0].MessageID
		if got := hook.one(t, ".id").says(); got != "message id "+id || hook.attr["id"] != "m-"+id {
			t.Errorf("%q, id %q", got, hook.attr["id"])
		}
		if alertmanager := deliveries[1]; len(alertmanager.all(".track")) > 0 {
			t.Error("a single attempt has a track")
		}
	})
}

// parts are a delivery's sink, state, promise and verdict.
func parts(t *testing.T, delivery *node) []string {
	t.Helper()
	return []string{
		delivery.one(t, "h3").says(), delivery.one(t, ".state").says(), delivery.one(t, ".promise").says(), delivery.one(t, ".verdict").says(),
	}
}

func classes(nodes []*node) []string {
	out := make([]string, 0, len(nodes))
	for _, n := range nodes {
		out = append(out, n.attr["class"])
	}
	return out
}

func TestTimelineOfAMessageThatWaits(t *testing.T) {
	at(t, func(t *testing.T, now time.Time) {
		r := busy(now)
		page := open(t, full(t, r), web.AlertPath(r.alerts[0].Ref()), 200)
		deliveries := page.all("article")
		equal(t, "hook", parts(t, deliveries[0]), []string{
			"hook webhook · hook.example.org", "retrying, 1 attempt, next in 57 min 53 s", "exactly-once effect Every attempt carries the same id, " +
				"and the receiver honours it: however many attempts it takes, the effect happens once.",
			"1 attempt. It is tried again until the receiver has it or the attempts are used up.",
		})
		equal(t, "pager", parts(t, deliveries[2]), []string{
			"pager webhook · pager.example.org", "waiting", "exactly once by id, else at least once Every attempt carries the same id " +
				"(Idempotency-Key, webhook-id). If the receiver honours it, the effect happens once; otherwise at least once.",
			"It is in the outbox, committed together with the transition; the relay has not sent it yet.",
		})
		if len(deliveries[2].all("table")) > 0 {
			t.Error("a message that was never tried has a table of attempts")
		}
	})
}

// TestAttempts gives one message all kinds of history.
func TestAttempts(t *testing.T) {
	at(t, func(t *testing.T, now time.Time) {
		slot := now.Add(-10 * time.Minute)
		failed := func(n int, replica string, after time.Duration, err string, wait time.Duration) app.AttemptView {
			return attempt(n, replica, slot.Add(after), app.AttemptFailed, err, wait, 0.01)
		}
		running := func(n int, ago time.Duration) app.AttemptView {
			return attempt(n, "a", now.Add(-ago), app.AttemptRunning, "", 0, 0)
		}
		delivered := func(n int, after time.Duration) app.AttemptView {
			return attempt(n, "a", slot.Add(after), app.AttemptDelivered, "", 0, 0.01)
		}
		for name, row := range map[string]struct {
			promise  web.Promise
			state    app.DeliveryState
			attempts []app.AttemptView
			rows     []string
			verdict  string
		}{
			"no answer yet": {
				web.ByReceiver, app.DeliveryRetrying, []app.AttemptView{running(1, time.Minute-time.Second)},
				[]string{"1 10:19:08 +9 min 1 s a running no answer yet"},
				"1 attempt. It is tried again until the receiver has it or the attempts are used up.",
			},
			"no answer for too long": {
				web.ByReceiver, app.DeliveryRetrying, []app.AttemptView{running(1, time.Minute)},
				[]string{"1 10:19:07 +9 min a cut off It never ended: the replica was killed, or lost the database. The receiver may have the message."},
				"1 attempt, 1 cut off before the answer. It is tried again until the receiver has it or the attempts are used up.",
			},
			"delivered, says the outbox only": {
				web.ByReceiver, app.DeliveryDelivered, []app.AttemptView{running(1, 5*time.Minute)},
				[]string{"1 10:15:07 +5 min a delivered its end is not on record"},
				"1 attempt, one effect.",
			},
			"no answer, and tried again soon": {
				web.ByReceiver, app.DeliveryDelivered, []app.AttemptView{running(1, 30*time.Second), delivered(1, 10*time.Minute-10*time.Second)},
				[]string{
					"1 10:19:37 +9 min 30 s a cut off It never ended: the replica was killed, or lost the database. The receiver may have the message.",
					"1 10:19:57 +9 min 50 s a delivered 10 ms",
				},
				"2 attempts, 1 cut off before the answer, all with the same id: one effect if the receiver honours it.",
			},
			"dead while it ran": {
				web.ByReceiver, app.DeliveryDead, []app.AttemptView{running(1, time.Second)},
				[]string{"1 10:20:06 +9 min 59 s a cut off It never ended: the replica was killed, or lost the database. The receiver may have the message."},
				"1 attempt, 1 cut off before the answer. It was given up and is a dead letter now; an operator may send it again, with the same id.",
			},
			"sent twice": {
				web.AtLeastOnce, app.DeliveryDelivered, []app.AttemptView{delivered(1, time.Second), delivered(1, 20*time.Second)},
				[]string{"1 10:10:08 +1 s a delivered 10 ms sent again: the outbox was not told in time", "1 10:10:27 +20 s a delivered 10 ms"},
				"2 attempts: at least one effect; each that failed may have had one too.",
			},
			"an outage folds": {
				web.ByReceiver, app.DeliveryDelivered, []app.AttemptView{
					failed(1, "a", time.Second, "circuit open", 0), failed(1, "a", 2*time.Second, "circuit open", 0), failed(1, "a", 3*time.Second, "circuit open", 0),
					failed(1, "b", 4*time.Second, "circuit open", 0), failed(1, "b", 5*time.Second, "other", 0), failed(2, "b", 6*time.Second, "other", 0),
					failed(2, "b", 7*time.Second, "other", time.Second), delivered(3, 8*time.Second),
				},
				[]string{
					"1 10:10:08 to 10:10:10 a failed 3 times circuit open tried again, no attempt spent",
					"1 10:10:11 +4 s b failed circuit open 10 ms tried again, no attempt spent",
					"1 10:10:12 +5 s b failed other 10 ms tried again, no attempt spent", "2 10:10:13 +6 s b failed other 10 ms tried again, no attempt spent",
					"2 10:10:14 +7 s b failed other 10 ms waits 1 s", "3 10:10:15 +8 s a delivered 10 ms",
				},
				"8 attempts by 2 replicas, all with the same id: one effect if the receiver honours it.",
			},
			"state, repeated": {
				web.State, app.DeliveryDelivered, []app.AttemptView{failed(1, "a", 0, "no", time.Second), delivered(2, time.Second)},
				[]string{"1 10:10:07 +0 s a failed no 10 ms waits 1 s", "2 10:10:08 +1 s a delivered 10 ms"},
				"2 attempts, one effect.",
			},
		} {
			a := alertOf("g/n", domain.Firing, slot, 1, "")
			e := eventOf(a, domain.Pending, domain.Firing, slot, "a")
			e.Deliveries = []app.DeliveryView{delivery(e, "s", row.state, row.attempts...)}
			c := web.Config{
				Reader: &reader{alerts: []app.AlertView{a}, events: []app.EventView{e}}, Replica: "a", Sinks: []web.Sink{{Name: "s", Promise: row.promise}},
			}
			article := open(t, c, web.AlertPath(a.Ref()), 200).one(t, "article")
			equal(t, name, texts(article.one(t, "tbody").all("tr")), row.rows)
			if got := article.one(t, ".verdict").says(); got != row.verdict {
				t.Errorf("%s: verdict %q, want %q", name, got, row.verdict)
			}
		}
	})
}

func TestTimelineOfWhatIsLeft(t *testing.T) {
	a := alertOf("gone/Rule", domain.Resolved, now().Add(-time.Hour), 1, "")
	r := &reader{alerts: []app.AlertView{a}}
	page := open(t, web.Config{Reader: r, Replica: "a"}, web.AlertPath(a.Ref()), 200)
	if got := page.one(t, ".empty").says(); got != "What happened to this alert has been swept." {
		t.Errorf("without events: %q", got)
	}

	e := eventOf(a, domain.Pending, domain.Firing, now(), "a")
	r.events = []app.EventView{e}
	page = open(t, web.Config{Reader: r, Replica: "a"}, web.AlertPath(a.Ref()), 200)
	if got := page.one(t, ".silent").says(); got != "No sink was configured, so nobody was told." {
		t.Errorf("without sinks: %q", got)
	}

	e.Deliveries = []app.DeliveryView{delivery(e, "former", app.DeliveryWaiting)}
	r.events = slices.Repeat([]app.EventView{e}, 200)
	page = open(t, web.Config{Reader: r, Replica: "a"}, web.AlertPath(a.Ref()), 200)
	if got := page.one(t, "article", "h3").says(); got != "former not configured" {
		t.Errorf("a sink that is not configured any more: %q", got)
	}
	if got := page.one(t, ".more").says(); got != "Older changes are not shown." {
		t.Errorf("with as many as are read: %q", got)
	}
}

// TestHostileLabels looks for what a label could break out of.
func TestHostileLabels(t *testing.T) {
	r := busy(now())
	c := full(t, r)
	paths := []string{"/"}
	for _, a := range r.alerts {
		paths = append(paths, web.AlertPath(a.Ref()))
	}
	for _, path := range paths {
		page := open(t, c, path, 200)
		for _, script := range page.all("script") {
			if !strings.HasPrefix(script.attr["src"], "/assets/page.js?v=") || script.says() != "" {
				t.Errorf("%s: a script %v %q", path, script.attr, script.says())
			}
		}
	}
	evil := open(t, c, web.AlertPath(r.alerts[4].Ref()), 200)
	if got := evil.one(t, "h1").says(); got != "Hostile"+hostile {
		t.Errorf("name: %q", got)
	}
	if got := evil.item(t, ".labels", "path").attr["title"]; got != `path=C:\"`+hostile {
		t.Errorf("title: %q", got)
	}
	if got := evil.item(t, ".labels", "long").says(); got != "long"+strings.Repeat("x", 300) {
		t.Errorf("a long label is not whole: %q", got)
	}
}
