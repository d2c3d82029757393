package web_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/web"
	"example.com/once/outbox"
)

// at runs f where the clock stands still, at twenty past ten and seven seconds.
func at(t *testing.T, f func(t *testing.T, now time.Time)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(10*time.Hour + 20*time.Minute + 7*time.Second)
		f(t, time.Now())
	})
}

func TestOverview(t *testing.T) {
	at(t, func(t *testing.T, now time.Time) {
		page := open(t, full(t, busy(now)), "/", 200)
		if got := page.one(t, "title").says(); got != "2 firing · monitor" {
			t.Errorf("title %q", got)
		}
		if got := page.one(t, "#icon").attr["href"]; got != "/favicon-alarm.svg" {
			t.Errorf("icon %q", got)
		}
		if got, want := page.one(t, "header").says(),
			"monitor last slot 10:20:00 7 s ago replica monitor-a as of 2000-01-01 10:20:07 UTC reloads every 10 s"; got != want {
			t.Errorf("header: %q, want %q", got, want)
		}
		equal(t, "figures", texts(page.one(t, ".figures").all("div")), []string{
			"firing 2 1 alert pending", "targets up 4 of 6", "alert changes 61 from 12480 evaluations", "delivered 55 of 58 messages in 83 attempts",
			"suppressed 6239 duplicate evaluations, by this replica", "waiting 2 oldest 2 min 10 s", "dead letters 1 1 to be judged by an operator",
			"missed 3 slots that nobody evaluated",
		})
		long := "long" + strings.Repeat("x", 300)
		equal(t, "alerts", texts(items(page.one(t, ".alerts"))), []string{
			"firing TargetDown critical checkout does not answer instancecheckout hook retrying, 1 attempt, next in 57 min 53 s " +
				"alertmanager delivered pager waiting 0fired 2 min 7 s ago",
			"firing HighErrorRate critical 12.7 % of requests fail on api-2 instanceapi-2 jobnode hook delivered, 4 attempts " +
				"alertmanager delivered chat dead, 2 attempts 0.127fired 8 min 7 s ago",
			"pending SlowAnswers warning edge takes more than 1 s instanceedge 1.20346active 37 s ago",
			"resolved CertificateExpires warning instancehttps://shop.example.org hook delivered 86400resolved 8 min 7 s ago",
			"resolved Hostile" + hostile + " " + hostile + " empty_looking " + long + " " + `pathC:\"` + hostile + " NaNresolved 16 min 7 s ago",
		})
		equal(t, "events", texts(items(page.one(t, ".events")))[:2], []string{
			"10:19:30 pending SlowAnswers was inactive, committed by monitor-b instanceedge",
			"10:18:00 firing TargetDown was pending, committed by monitor-a instancecheckout hook retrying, 1 attempt, next in 57 min 53 s " +
				"alertmanager delivered pager waiting",
		})
		equal(t, "rules", texts(items(page.one(t, ".rules"))), []string{
			"Broken web cannot be evaluated some_metric > 1 more than 1000 alerts for 1m, every 15s, last 10:20:00 by monitor-a",
			`HighErrorRate critical api 1 firing rate(http_errors_total{job="node"}[5m]) > 0.05 for 1m, every 15s, last 10:20:00 by monitor-b`,
			"TargetDown critical api 1 firing up == 0 for 1m, every 15s, last 10:20:00 by monitor-a",
			"SlowAnswers warning api 1 pending probe_duration_seconds > 1 for 1m, every 15s, last 10:20:00 by monitor-a",
			"Late web late absent(heartbeat) for 1m, every 15s, last 09:20:00 by monitor-b",
			"CertificateExpires warning web quiet probe_ssl_expires_in_seconds < 604800 for 1m, every 15s, last 10:20:00 by monitor-b",
			"New web not evaluated yet absent(other_heartbeat) for 1m, every 15s",
			"web/Old" + hostile + " not configured last 31 Dec 10:20:00 by monitor-b",
		})
		down := page.item(t, ".targets", "checkout")
		if got, want := down.one(t, ".name").says(), "down checkout probe"; got != want {
			t.Errorf("target: %q, want %q", got, want)
		}
		if got := down.one(t, ".problem").says(); got != "unexpected status 503 Service Unavailable" {
			t.Errorf("problem: %q", got)
		}
		if got, want := down.one(t, ".beats", "span").says()+", "+down.one(t, ".beats", "svg").attr["aria-label"], "85 %, last 60 fetches: 51 up, 9 down"; got != want {
			t.Errorf("beats: %q, want %q", got, want)
		}
		if got := len(down.one(t, ".beats").all("rect")); got != 60 {
			t.Errorf("%d bars", got)
		}
		equal(t, "order of targets", texts(names(page.one(t, ".targets"))), []string{
			"down checkout probe", "down legacy" + hostile + " scrape", "up api-1 scrape", "up api-2 scrape", "up db scrape",
			"up edge with a very long name that nobody asked for but somebody gave it all the same probe",
		})
	})
}

func items(list *node) []*node {
	return slices.DeleteFunc(slices.Clone(list.kids), func(n *node) bool { return n.tag != "li" })
}

func names(list *node) []*node { return list.all(".name") }

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("%s: %d is\n%s\nand not\n%s", what, i, g, w)
		}
	}
}

func TestOverviewOfAnEmptyDatabase(t *testing.T) {
	page := open(t, web.Config{Reader: &reader{}, Replica: "monitor-a"}, "/", 200)
	if got := page.one(t, "title").says(); got != "All quiet · monitor" {
		t.Errorf("title %q", got)
	}
	if got := page.one(t, "#icon").attr["href"]; got != "/favicon.svg" {
		t.Errorf("icon %q", got)
	}
	equal(t, "sections", texts(page.all(".empty")), []string{
		"No alert is pending or firing, and none was lately.", "No alert has changed yet.", "No target has been read yet.", "No rule has been evaluated yet.",
	})
	equal(t, "figures", texts(page.one(t, ".figures").all("div")), []string{
		"firing 0 0 alerts pending", "alert changes 0 from 0 evaluations", "delivered 0 of 0 messages in 0 attempts", "waiting 0 nothing to send",
		"dead letters 0 given up",
	})
	if len(page.all(".banner")) > 0 {
		t.Errorf("nothing was ever evaluated, so nothing stands still: %q", page.one(t, ".banner").says())
	}
}

func TestOverviewShowsTheLatestResolvedAlertsOnly(t *testing.T) {
	many := func(firing, pending, resolved int) []app.AlertView {
		var all []app.AlertView
		for _, part := range []struct {
			phase domain.Phase
			n     int
		}{{domain.Firing, firing}, {domain.Pending, pending}, {domain.Resolved, resolved}} {
			for i := range part.n {
				all = append(all, alertOf("g/"+part.phase.String(), part.phase, now().Add(-time.Hour), 1, "", "n", strconv.Itoa(i)))
			}
		}
		return all
	}
	for _, row := range []struct {
		firing, pending, resolved int
		shown                     int
		more                      string
	}{
		{1, 1, 5, 7, ""},
		{1, 1, 6, 7, "1 more resolved alert, in the list for machines."},
		{0, 0, 400, 5, "395 more resolved alerts, in the list for machines."},
		{90, 12, 3, 103, "2 more active alerts, in the list for machines."},
		{90, 12, 30, 105, "2 more active alerts and 25 more resolved alerts, in the list for machines."},
		{101, 0, 0, 100, "1 more active alert, in the list for machines."},
	} {
		page := open(t, web.Config{Reader: &reader{alerts: many(row.firing, row.pending, row.resolved)}, Replica: "a"}, "/", 200)
		if got := len(items(page.one(t, ".alerts"))); got != row.shown {
			t.Errorf("%+v: %d shown", row, got)
		}
		if got := strings.Join(texts(page.all(".more")), " "); got != row.more {
			t.Errorf("%+v: it says %q", row, got)
		}
		if got, want := page.one(t, ".figures").all("div")[0].all("dd")[0].says(), strconv.Itoa(row.firing); got != want {
			t.Errorf("%+v: %s are counted", row, got)
		}
	}
}

func TestStandstill(t *testing.T) {
	at(t, func(t *testing.T, now time.Time) {
		r := busy(now)
		r.alerts = nil
		c := full(t, r)
		late := 3*15*time.Second + 5*time.Second // three intervals, and 5 s for the fetch
		time.Sleep(late - 7*time.Second)
		if page := open(t, c, "/", 200); len(page.all(".banner")) > 0 {
			t.Errorf("after %v: %q", late, page.one(t, ".banner").says())
		}
		time.Sleep(time.Second)
		page := open(t, c, "/", 200)
		if got, want := page.one(t, ".banner").says(),
			"Nothing has been evaluated since 2000-01-01 10:20:00 UTC. Is a replica running, and is the database writable?"; got != want {
			t.Errorf("banner %q", got)
		}
		if got := page.one(t, "title").says() + " " + page.one(t, "#icon").attr["href"]; got != "Standing still · monitor /favicon-alarm.svg" {
			t.Errorf("title and icon: %s", got)
		}
	})
}

func TestFigures(t *testing.T) {
	for name, row := range map[string]struct {
		totals app.Totals
		stats  outbox.Stats
		none   bool // no outbox is known
		says   string
		tone   string
	}{
		"waits, no outbox known": {app.Totals{Waiting: 3}, outbox.Stats{}, true, "waiting 3 to be sent", "plain"},
		"waits a little":         {app.Totals{Waiting: 3}, outbox.Stats{Oldest: time.Minute}, false, "waiting 3 oldest 1 min", "plain"},
		"waits long":             {app.Totals{Waiting: 3}, outbox.Stats{Oldest: time.Minute + time.Second}, false, "waiting 3 oldest 1 min 1 s", "warn"},
		"nothing waits":          {app.Totals{}, outbox.Stats{}, false, "waiting 0 nothing to send", "good"},
		"dead":                   {app.Totals{Dead: 2}, outbox.Stats{Dead: 1}, false, "dead letters 2 1 to be judged by an operator", "bad"},
		"dead and judged":        {app.Totals{Dead: 2}, outbox.Stats{}, false, "dead letters 2 given up, none is left to judge", "plain"},
		"dead, no outbox known":  {app.Totals{Dead: 2}, outbox.Stats{}, true, "dead letters 2 given up", "bad"},
		"some targets down":      {app.Totals{TargetsUp: 1, TargetsDown: 1}, outbox.Stats{}, false, "targets up 1 of 2", "warn"},
		"all targets up":         {app.Totals{TargetsUp: 2}, outbox.Stats{}, false, "targets up 2 of 2", "good"},
		"missed":                 {app.Totals{Missed: 1}, outbox.Stats{}, false, "missed 1 slots that nobody evaluated", "plain"},
		"the caller's own":       {app.Totals{}, outbox.Stats{}, false, "kills 4 of replicas", "bad"},
	} {
		t.Run(name, func(t *testing.T) {
			c := web.Config{Reader: &reader{totals: row.totals}, Replica: "a", Figures: func() []web.Figure {
				return []web.Figure{{Label: "kills", Value: "4", Note: "of replicas", Tone: web.Bad}}
			}}
			if !row.none {
				c.Outbox = func(context.Context) (outbox.Stats, error) { return row.stats, nil }
			}
			figures := open(t, c, "/", 200).one(t, ".figures").all("div")
			i := slices.Index(texts(figures), row.says)
			if i < 0 {
				t.Fatalf("it says %q, not %q", texts(figures), row.says)
			}
			if got := figures[i].attr["class"]; got != row.tone {
				t.Errorf("it is %s, not %s", got, row.tone)
			}
		})
	}
}

func TestUnreadableOutbox(t *testing.T) {
	c := full(t, busy(now()))
	c.Outbox = func(context.Context) (outbox.Stats, error) { return outbox.Stats{}, errors.New("gone") }
	if got := ask(t, c, http.MethodGet, "/").Code; got != http.StatusServiceUnavailable {
		t.Errorf("status %d", got)
	}
}
