package httpmwtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"text/tabwriter"
)

// Level says how much the draft demands of a case.
type Level string

// The levels, by falling weight.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	Beyond Level = "beyond" // not in the draft; what users expect
)

// Outcome says whether a case holds.
type Outcome string

// The outcomes.
const (
	Holds   Outcome = "holds"
	Fails   Outcome = "fails"
	Skipped Outcome = "skipped" // the Target does not say what is needed to judge it
)

// Result is the outcome of one case.
type Result struct {
	Case    string
	Level   Level
	Outcome Outcome
	Detail  string // why it does not hold, or was skipped
}

// skipError ends a case that cannot be judged.
type skipError string

func (e skipError) Error() string { return string(e) }

// Check runs all cases, one after the other, and returns their results in order. The error says
// that t cannot be used, that the service did not answer, or that ctx ended; what was found until then
// is returned with it.
func Check(ctx context.Context, t Target) ([]Result, error) {
	t, err := prepared(t)
	if err != nil {
		return nil, err
	}
	s := &session{Target: t}
	var results []Result
	for _, c := range cases() {
		r := Result{Case: c.name, Level: c.level, Outcome: Holds}
		if err := c.run(ctx, s); err != nil {
			if _, ok := errors.AsType[*unreachableError](err); ok {
				return results, err
			}
			r.Outcome, r.Detail = Fails, err.Error()
			if reason, ok := errors.AsType[skipError](err); ok {
				r.Outcome, r.Detail = Skipped, reason.Error()
			}
		}
		results = append(results, r)
	}
	return results, nil
}

// Run runs all cases as subtests. A case that does not hold fails its test, also where the draft
// only says SHOULD or nothing: pass the names of cases that the service decides otherwise as except.
func Run(tb *testing.T, t Target, except ...string) {
	tb.Helper()
	results, err := Check(tb.Context(), t)
	excused := map[string]bool{}
	for _, name := range except {
		excused[name] = true
	}
	for _, r := range results {
		tb.Run(r.Case, func(tb *testing.T) {
			switch {
			case r.Outcome == Skipped:
				tb.Skip(r.Detail)
			case r.Outcome == Fails && excused[r.Case]:
				tb.Skipf("decided otherwise: %s", r.Detail)
			case r.Outcome == Fails:
				tb.Errorf("%s: %s", r.Level, r.Detail)
			}
		})
	}
	if err != nil {
		tb.Error(err)
	}
}

// Write prints results as a table.
func Write(w io.Writer, results []Result) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range results {
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Outcome, r.Level, r.Case, r.Detail); err != nil {
			return fmt.Errorf("httpmwtest: %w", err)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("httpmwtest: %w", err)
	}
	return nil
}
