package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/outbox"
)

// What the page shows at most; the API has the rest.
const (
	activeShown   = 100 // alerts that fire or are pending
	resolvedShown = 5   // the latest ones
	eventsShown   = 30
)

// overview is all that the page shows.
type overview struct {
	Stale    string // why what is shown may be old; "" = it is not
	LastSlot moment
	Figures  []Figure
	Targets  []targetRow
	Up, Down int
	Rules    []ruleRow
	Alerts   []alertRow
	More     string // alerts left out, in words; "" = none
	Firing   int
	Pending  int
	Events   []eventRow
}

// source is what the page is made from.
type source struct {
	now     time.Time
	targets []app.TargetView
	rules   []app.RuleView
	alerts  []app.AlertView
	events  []app.EventView
	totals  app.Totals
	outbox  outbox.Stats
}

func (s *Server) overview(ctx context.Context, _ *http.Request) (view, error) {
	src, err := s.read(ctx)
	if err != nil {
		return view{}, err
	}
	shown, more := foremost(src.alerts)
	o := overview{Alerts: alertRows(src, shown), More: more, Rules: s.ruleRows(src), Targets: targetRows(src)}
	o.LastSlot, o.Stale = s.lastSlot(src)
	for _, t := range o.Targets {
		if t.Up {
			o.Up++
		} else {
			o.Down++
		}
	}
	for _, a := range src.alerts {
		switch a.Phase {
		case domain.Firing:
			o.Firing++
		case domain.Pending:
			o.Pending++
		case domain.Inactive, domain.Resolved:
		}
	}
	for _, e := range src.events {
		o.Events = append(o.Events, eventRowOf(src.now, e))
	}
	o.Figures = s.figures(src, o.Firing, o.Pending)
	v := view{template: "overview", title: "All quiet", live: true, Data: o}
	switch {
	case o.Firing > 0:
		v.title, v.alarm = strconv.Itoa(o.Firing)+" firing", true
	case o.Stale != "":
		v.title, v.alarm = "Standing still", true
	case o.Pending > 0:
		v.title = strconv.Itoa(o.Pending) + " pending"
	}
	return v, nil
}

// read reads what the page is made from.
func (s *Server) read(ctx context.Context) (src source, err error) {
	src.now = time.Now()
	if src.targets, err = s.c.Reader.Targets(ctx); err != nil {
		return src, fmt.Errorf("targets: %w", err)
	}
	if src.rules, err = s.c.Reader.Rules(ctx); err != nil {
		return src, fmt.Errorf("rules: %w", err)
	}
	if src.alerts, err = s.c.Reader.Alerts(ctx); err != nil {
		return src, fmt.Errorf("alerts: %w", err)
	}
	if src.events, err = s.c.Reader.Events(ctx, eventsShown); err != nil {
		return src, fmt.Errorf("events: %w", err)
	}
	if src.totals, err = s.c.Reader.Totals(ctx); err != nil {
		return src, fmt.Errorf("totals: %w", err)
	}
	if s.c.Outbox != nil {
		if src.outbox, err = s.c.Outbox(ctx); err != nil {
			return src, fmt.Errorf("outbox: %w", err)
		}
	}
	return src, nil
}

// foremost picks the alerts to show: those that need a person, and only the latest of those
// that do not any more. It keeps their order.
func foremost(alerts []app.AlertView) (shown []app.AlertView, more string) {
	active, resolved := 0, 0
	for _, a := range alerts {
		n, most := &active, activeShown
		if a.Phase == domain.Resolved {
			n, most = &resolved, resolvedShown
		}
		if *n++; *n <= most {
			shown = append(shown, a)
		}
	}
	var left []string
	if n := active - activeShown; n > 0 {
		left = append(left, count(n, "more active alert"))
	}
	if n := resolved - resolvedShown; n > 0 {
		left = append(left, count(n, "more resolved alert"))
	}
	return shown, strings.Join(left, " and ")
}

// lastSlot is the latest slot that any rule was evaluated in, and why it may be too old.
func (s *Server) lastSlot(src source) (last moment, stale string) {
	var latest time.Time
	for _, r := range src.rules {
		if r.Slot.After(latest) {
			latest = r.Slot
		}
	}
	last = at(src.now, latest)
	if len(s.c.Rules) == 0 || latest.IsZero() {
		return last, ""
	}
	shortest := s.c.Rules[0].Interval
	for _, r := range s.c.Rules {
		shortest = min(shortest, r.Interval)
	}
	if late(src.now, latest, shortest) {
		stale = "Nothing has been evaluated since " + last.Full + "."
	}
	return last, stale
}

// late says whether a rule with the interval should have been evaluated again by now. A
// slot's evaluation ends after the fetch, which may take as long as the interval.
func late(now, slot time.Time, interval time.Duration) bool {
	return now.Sub(slot) > 3*interval+5*time.Second
}

// figures are the numbers of the header.
func (s *Server) figures(src source, firing, pending int) []Figure {
	t := src.totals
	list := []Figure{{Label: "firing", Value: strconv.Itoa(firing), Note: count(pending, "alert") + " pending", Tone: tone(firing > 0, Bad, Good)}}
	if n := t.TargetsUp + t.TargetsDown; n > 0 {
		list = append(list, Figure{
			Label: "targets up", Value: strconv.Itoa(t.TargetsUp), Note: "of " + strconv.Itoa(n), Tone: tone(t.TargetsDown > 0, Warn, Good),
		})
	}
	list = append(list,
		Figure{Label: "alert changes", Value: strconv.Itoa(t.Transitions), Note: "from " + count(t.Evaluations, "evaluation"), Tone: Plain},
		Figure{Label: "delivered", Value: strconv.Itoa(t.Delivered), Note: "of " + count(t.Messages, "message") + " in " + count(t.Attempts, "attempt"), Tone: Plain},
	)
	if s.c.Stats != nil {
		list = append(list, Figure{
			Label: "suppressed", Value: strconv.FormatInt(s.c.Stats().Suppressed, 10), Note: "duplicate evaluations, by this replica", Tone: Plain,
		})
	}
	waiting := Figure{Label: "waiting", Value: strconv.Itoa(t.Waiting), Note: "nothing to send", Tone: Good}
	if t.Waiting > 0 {
		waiting.Note, waiting.Tone = "to be sent", Plain
		if src.outbox.Oldest > 0 {
			waiting.Note = "oldest " + duration(src.outbox.Oldest)
			waiting.Tone = tone(src.outbox.Oldest > time.Minute, Warn, Plain)
		}
	}
	dead := Figure{Label: "dead letters", Value: strconv.Itoa(t.Dead), Note: "given up", Tone: tone(t.Dead > 0, Bad, Good)}
	if s.c.Outbox != nil && t.Dead > 0 {
		dead.Note, dead.Tone = "given up, none is left to judge", Plain
		if n := int(src.outbox.Dead); n > 0 {
			dead.Note, dead.Tone = strconv.Itoa(n)+" to be judged by an operator", Bad
		}
	}
	list = append(list, waiting, dead)
	if t.Missed > 0 {
		list = append(list, Figure{Label: "missed", Value: strconv.Itoa(t.Missed), Note: "slots that nobody evaluated", Tone: Plain})
	}
	if s.c.Figures != nil {
		list = append(list, s.c.Figures()...)
	}
	return list
}

func tone(condition bool, yes, no Tone) Tone {
	if condition {
		return yes
	}
	return no
}

// ruleRow is a rule on the page.
type ruleRow struct {
	ID       string
	Group    string
	Name     string
	Severity string
	Expr     string // "" = not configured here
	For      string
	Every    string
	State    string // firing, pending, quiet, failed, late, new, retired
	Says     string // the state in words
	Slot     moment
	Replica  string
	Failure  string
	rank     int // those that need attention have a low one
}

const quiet = "quiet" // the state of a rule with nothing to tell

// ruleRows lists configured and recorded rules, those that need attention first.
func (s *Server) ruleRows(src source) []ruleRow {
	firing, pending := make(map[string]int), make(map[string]int)
	for _, a := range src.alerts {
		switch a.Phase {
		case domain.Firing:
			firing[a.RuleID]++
		case domain.Pending:
			pending[a.RuleID]++
		case domain.Inactive, domain.Resolved:
		}
	}
	recorded := make(map[string]app.RuleView, len(src.rules))
	for _, r := range src.rules {
		recorded[r.ID] = r
	}
	rows := make([]ruleRow, 0, len(src.rules))
	configured := make(map[string]bool, len(s.c.Rules))
	for _, r := range s.c.Rules {
		configured[r.ID] = true
		row := ruleRow{
			ID: r.ID, Group: r.Group, Name: r.Name, Severity: r.Severity(), Expr: r.Condition.String(), Every: domain.FormatDuration(r.Interval),
		}
		if r.For > 0 {
			row.For = domain.FormatDuration(r.For)
		}
		view, known := recorded[r.ID]
		row.judge(src.now, view, known, r.Interval, firing[r.ID], pending[r.ID])
		rows = append(rows, row)
	}
	for _, view := range src.rules {
		if configured[view.ID] {
			continue
		}
		row := ruleRow{ID: view.ID, Name: view.ID}
		row.judge(src.now, view, true, 0, firing[view.ID], pending[view.ID])
		if len(s.c.Rules) > 0 && row.State == quiet {
			row.State, row.Says = "retired", "not configured"
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b ruleRow) int { return cmp.Compare(a.rank, b.rank) })
	return rows
}

// judge sets what the rule's record says.
func (r *ruleRow) judge(now time.Time, view app.RuleView, known bool, interval time.Duration, firing, pending int) {
	r.Slot, r.Replica, r.Failure = at(now, view.Slot), view.Replica, view.Failure
	switch {
	case view.Failure != "":
		r.State, r.Says, r.rank = "failed", "cannot be evaluated", 0
	case firing > 0:
		r.State, r.Says, r.rank = "firing", strconv.Itoa(firing)+" firing", 1
		if pending > 0 {
			r.Says += ", " + strconv.Itoa(pending) + " pending"
		}
	case pending > 0:
		r.State, r.Says, r.rank = "pending", strconv.Itoa(pending)+" pending", 2
	case !known:
		r.State, r.Says, r.rank = "new", "not evaluated yet", 4
	case interval > 0 && late(now, view.Slot, interval):
		r.State, r.Says, r.rank = "late", "late", 3
	default:
		r.State, r.Says, r.rank = quiet, quiet, 4
	}
}
