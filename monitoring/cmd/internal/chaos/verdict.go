package chaos

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"example.com/once/monitoring/domain"
)

// Verdict compares the alerts that there ought to have been with those that the receiver
// acted upon.
type Verdict struct {
	Expected   int `json:"expected"`   // effects that there ought to be: every bad release fires once and resolves once
	Alerts     int `json:"alerts"`     // different alerts that reached the receiver
	Effects    int `json:"effects"`    // things that the receiver did
	Lost       int `json:"lost"`       // effects that are missing
	Doubled    int `json:"doubled"`    // effects too many of the same
	Unexpected int `json:"unexpected"` // effects of alerts that nobody should have raised
	Disordered int `json:"disordered"` // alerts whose all-clear came before the alarm

	Sends       int `json:"sends"`       // requests that reached the receiver
	Suppressed  int `json:"suppressed"`  // duplicates that were told from the original and had no effect
	Faults      int `json:"faults"`      // requests that the receiver let fail
	Scrapes     int `json:"scrapes"`     // requests that reached the target
	Refused     int `json:"refused"`     // of these, answered badly
	Kills       int `json:"kills"`       // replicas killed with SIGKILL
	Evaluations int `json:"evaluations"` // slots evaluated, as the database has them
	Waiting     int `json:"waiting"`     // messages that were not delivered in the end
	Dead        int `json:"dead"`        // messages that were given up
}

// judge compares the releases that went bad and recovered with the effects, in the order
// in which they took place.
func judge(releases []string, effects []effect) Verdict {
	v := Verdict{Expected: 2 * len(releases), Effects: len(effects)}
	count := make(map[effect]int)
	for _, e := range effects {
		count[e]++
		switch {
		case !slices.Contains(releases, e.release) || e.transition != domain.Firing && e.transition != domain.Resolved:
			v.Unexpected++
		case count[e] > 1:
			v.Doubled++
		case e.transition == domain.Resolved && count[effect{e.release, domain.Firing}] == 0:
			v.Disordered++
		}
	}
	for _, r := range releases {
		if count[effect{r, domain.Firing}] > 0 {
			v.Alerts++
		}
		for _, to := range []domain.Phase{domain.Firing, domain.Resolved} {
			if count[effect{r, to}] == 0 {
				v.Lost++
			}
		}
	}
	return v
}

// Pass says whether every alert had its effect once. A run in which nothing happened, or
// in which no duplicate had to be told apart, proves nothing and does not pass.
func (v Verdict) Pass() bool {
	return v.Alerts > 0 && v.Suppressed > 0 && v.Lost == 0 && v.Doubled == 0 && v.Unexpected == 0 && v.Disordered == 0 &&
		v.Waiting == 0 && v.Dead == 0
}

// line is the verdict while it is in the making.
func (v Verdict) line() string {
	return fmt.Sprintf("alerts %d | sends %d | suppressed %d | kills %d | still due %d | doubled %d",
		v.Alerts, v.Sends, v.Suppressed, v.Kills, v.Lost, v.Doubled)
}

// Print writes the verdict as a table that ends with PASS or FAIL.
func (v Verdict) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, n int, what string) { fmt.Fprintf(t, "  %s\t%6d\t  %s\n", name, n, what) }
	row("alerts", v.Alerts, "different alerts that reached the receiver")
	row("effects", v.Effects, fmt.Sprintf("things the receiver did; %d were due: each alert fires once and resolves once", v.Expected))
	row("sends", v.Sends, fmt.Sprintf("requests at the receiver; it let %d fail", v.Faults))
	row("suppressed", v.Suppressed, "duplicates among them, answered without a second effect")
	row("scrapes", v.Scrapes, fmt.Sprintf("requests at the target; it answered %d badly", v.Refused))
	row("evaluations", v.Evaluations, "slots evaluated, each by one replica")
	row("kills", v.Kills, "replicas killed with SIGKILL and started again")
	if v.Unexpected+v.Disordered+v.Waiting+v.Dead > 0 {
		row("unexpected", v.Unexpected, "effects of alerts that nobody should have raised")
		row("disordered", v.Disordered, "all-clears before their alarm")
		row("waiting", v.Waiting, "messages not delivered in the end")
		row("dead", v.Dead, "messages given up")
	}
	row("LOST", v.Lost, "effects that are missing")
	row("DOUBLED", v.Doubled, "effects too many")
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print the verdict: %w", err)
	}
	word := "FAIL"
	if v.Pass() {
		word = "PASS"
	}
	_, err := fmt.Fprintf(w, "\n%s%s\n", word, v.reason())
	if err != nil {
		return fmt.Errorf("print the verdict: %w", err)
	}
	return nil
}

// reason says what is wrong where the numbers do not say it by themselves.
func (v Verdict) reason() string {
	switch {
	case v.Pass():
		return ": every alert had its effect exactly once"
	case v.Alerts == 0:
		return ": no alert reached the receiver"
	case v.Lost+v.Doubled+v.Unexpected+v.Disordered+v.Waiting+v.Dead == 0:
		return ": no duplicate had to be suppressed, so nothing is proved; let it run longer"
	default:
		return fmt.Sprintf(": lost %d, doubled %d", v.Lost, v.Doubled)
	}
}
