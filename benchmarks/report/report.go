// Package report writes what was measured: as a table, as JSON, in the Go benchmark format
// and as a page.
package report

import (
	"time"

	"example.com/once/benchmarks/measure"
)

// Report is a run and the circumstances that its figures depend on.
type Report struct {
	measure.Outcome

	Machine Machine
	Started time.Time
	Took    time.Duration
	Rounds  int
	Callers []int
	Skipped []Skipped
	// Stopped says why the run ended early; "" = it did not.
	Stopped string
}

// Skipped is a backend that could not run.
type Skipped struct {
	Backend    string `json:"backend"`
	Durability string `json:"durability"`
	Reason     string `json:"reason"`
}

// Failed says whether an operation could not be measured or did not do what its name says.
func (r *Report) Failed() bool {
	for i := range r.Results {
		if r.Results[i].Err != nil {
			return true
		}
	}
	return false
}
