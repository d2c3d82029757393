package web

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// targetRow is a target on the page.
type targetRow struct {
	Name    string
	Kind    string
	URL     string
	Labels  []label
	Up      bool
	Problem string
	Took    string
	Samples int
	Slot    moment
	Beats   []beat
	Summary string // of the beats, in words
	Share   string // of the beats that were up
}

// beat is one bar: a short one if the target was up, a tall one if it was down, so that the
// two differ in more than colour.
type beat struct {
	X, Y, Height int
	Up           bool
	Title        string
}

// Geometry of the bars, in units of the picture.
const (
	beatsShown = 60
	beatStep   = 4
	beatHeight = 24
)

// targetRows lists the targets, those that are down first.
func targetRows(src source) []targetRow {
	rows := make([]targetRow, 0, len(src.targets))
	for _, t := range src.targets {
		row := targetRow{
			Name: t.Target, Kind: t.Kind, URL: t.URL, Labels: labels(t.Labels), Up: t.Up, Problem: t.Problem,
			Took: seconds(t.Seconds), Samples: t.Samples, Slot: at(src.now, t.Slot),
		}
		recent := t.Recent[max(len(t.Recent)-beatsShown, 0):]
		up := 0
		for i, b := range recent {
			// The latest one is always at the right end.
			bar := beat{X: (beatsShown - len(recent) + i) * beatStep, Y: 8, Height: beatHeight - 8, Up: b.Up}
			word := "up"
			if b.Up {
				up++
			} else {
				word, bar.Y, bar.Height = "DOWN", 0, beatHeight
			}
			bar.Title = fmt.Sprintf("%s %s, %s", at(src.now, b.Slot).Clock, word, seconds(b.Seconds))
			row.Beats = append(row.Beats, bar)
		}
		if n := len(recent); n > 0 {
			row.Share = strconv.Itoa(int(math.Floor(100*float64(up)/float64(n)))) + " %"
			row.Summary = fmt.Sprintf("last %s: %d up, %d down", count(n, "fetch"), up, n-up)
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b targetRow) int { return cmp.Compare(b2i(a.Up), b2i(b.Up)) })
	return rows
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// alertRow is an alert on the page.
type alertRow struct {
	Anchor     string // unique on the page
	Path       string
	State      string // firing, pending, resolved
	Name       string
	Severity   string
	Labels     []label
	Summary    string
	Value      string
	Since      moment
	SinceWord  string
	Deliveries []deliveryChip // of its latest transition, if that is a recent event
}

func alertRows(src source, shown []app.AlertView) []alertRow {
	latest := make(map[app.AlertRef]app.EventView)
	for _, e := range src.events { // newest first
		ref := app.AlertRef{RuleID: e.RuleID, Fingerprint: e.Fingerprint}
		if _, ok := latest[ref]; !ok {
			latest[ref] = e
		}
	}
	rows := make([]alertRow, 0, len(shown))
	for _, a := range shown {
		row := alertRow{
			Anchor: anchor("alert", a.Ref()),
			Path:   AlertPath(a.Ref()), State: a.Phase.String(), Name: alertName(a.Labels, a.RuleID), Severity: a.Labels.Get(domain.Severity),
			Labels: labels(a.Labels, domain.AlertName, domain.Severity), Summary: summary(a.Annotations), Value: value(a.Value),
		}
		row.Since, row.SinceWord = since(src.now, a.Alert)
		if e, ok := latest[a.Ref()]; ok {
			row.Deliveries = chips(src.now, e.Deliveries)
		}
		rows = append(rows, row)
	}
	return rows
}

// since is when the alert entered its phase.
func since(now time.Time, a domain.Alert) (m moment, word string) {
	switch a.Phase {
	case domain.Firing:
		if a.FiredAt.IsZero() {
			return at(now, a.ActiveAt), "active"
		}
		return at(now, a.FiredAt), "fired"
	case domain.Resolved:
		return at(now, a.ResolvedAt), "resolved"
	case domain.Inactive, domain.Pending:
	}
	return at(now, a.ActiveAt), "active"
}

// summary is the annotation that says what is wrong.
func summary(annotations domain.Labels) string {
	for _, name := range []string{"summary", "description", "message"} {
		if text := annotations.Get(name); text != "" {
			return text
		}
	}
	return ""
}

// eventRow is a transition on the page.
type eventRow struct {
	Anchor     string
	Path       string
	Slot       moment
	From, To   string
	Name       string
	Labels     []label
	Replica    string
	Deliveries []deliveryChip
}

func eventRowOf(now time.Time, e app.EventView) eventRow {
	ref := app.AlertRef{RuleID: e.RuleID, Fingerprint: e.Fingerprint}
	return eventRow{
		Anchor: anchor("event", ref, e.Slot.String()), Path: AlertPath(ref), Slot: at(now, e.Slot), From: e.From.String(), To: e.To.String(),
		Name: alertName(e.Labels, e.RuleID), Labels: labels(e.Labels, domain.AlertName, domain.Severity), Replica: e.Replica,
		Deliveries: chips(now, e.Deliveries),
	}
}

// deliveryChip is a delivery in a few words.
type deliveryChip struct {
	Sink  string
	State string
	Says  string
}

func chips(now time.Time, deliveries []app.DeliveryView) []deliveryChip {
	out := make([]deliveryChip, 0, len(deliveries))
	for _, d := range deliveries {
		c := deliveryChip{Sink: d.Sink, State: string(d.State), Says: string(d.State)}
		if n := len(d.Attempts); n > 1 || n == 1 && d.State != app.DeliveryDelivered {
			c.Says += ", " + count(n, "attempt")
		}
		if d.State == app.DeliveryRetrying && d.Attempts[len(d.Attempts)-1].Result == app.AttemptFailed {
			last := d.Attempts[len(d.Attempts)-1]
			next := last.At.Add(time.Duration(last.Seconds*float64(time.Second)) + last.Wait)
			if next.After(now) {
				c.Says += ", next " + at(now, next).Ago
			}
		}
		out = append(out, c)
	}
	return out
}
