package report

import (
	"encoding/json"
	"io"
	"time"

	"example.com/once/benchmarks/measure"
	"example.com/once/benchmarks/suite"
)

// JSON writes r for programs. Times are in the units that the names end with.
func JSON(w io.Writer, r *Report) error {
	doc := jsonReport{
		Machine: r.Machine, Started: r.Started.UTC(), Seconds: r.Took.Seconds(), Rounds: r.Rounds,
		Skipped: append([]Skipped{}, r.Skipped...), Stopped: r.Stopped, Missing: r.Missing,
		Results: make([]jsonResult, 0, len(r.Results)), Limits: []jsonLimit{},
	}
	verdicts := suite.Judge(suite.Limits(), r.Results)
	for i := range verdicts {
		doc.Limits = append(doc.Limits, jsonLimitOf(&verdicts[i]))
	}
	for i := range r.Results {
		doc.Results = append(doc.Results, jsonOf(&r.Results[i]))
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

type jsonReport struct {
	Machine Machine      `json:"machine"`
	Started time.Time    `json:"started"`
	Seconds float64      `json:"seconds"`
	Rounds  int          `json:"rounds"`
	Skipped []Skipped    `json:"skipped"`
	Stopped string       `json:"stopped,omitempty"`
	Missing int          `json:"missing"`
	Results []jsonResult `json:"results"`
	Limits  []jsonLimit  `json:"limits"`
}

type jsonLimit struct {
	What      string        `json:"what"`
	Suite     string        `json:"suite"`
	Backend   string        `json:"backend"`
	Operation string        `json:"operation"`
	Against   string        `json:"against,omitempty"`
	Unit      string        `json:"unit"` // "ratio" or "allocs_per_op"
	Most      float64       `json:"most"`
	Below     bool          `json:"below"` // most itself is too much
	Measured  *jsonEstimate `json:"measured"`
	Kept      bool          `json:"kept"`
	Clear     bool          `json:"clear"` // false = the limit is within the spread
}

func jsonLimitOf(v *suite.Verdict) jsonLimit {
	unit := "ratio"
	if v.Unit == suite.Allocs {
		unit = "allocs_per_op"
	}
	return jsonLimit{v.What, v.Suite, v.Backend, v.Op, v.Rival, unit, v.Most, v.Below, estimateOf(v.Measured), v.Kept(), v.Clear()}
}

type jsonResult struct {
	Suite      string        `json:"suite"`
	Backend    string        `json:"backend"`
	Durability string        `json:"durability"`
	Op         string        `json:"operation"`
	Bare       string        `json:"bare,omitempty"`
	Callers    int           `json:"callers"`
	Error      string        `json:"error,omitempty"`
	PerSecond  float64       `json:"ops_per_second"`
	PerOp      float64       `json:"ns_per_op"`
	P50        int64         `json:"p50_ns,omitempty"`
	P99        int64         `json:"p99_ns,omitempty"`
	Allocs     float64       `json:"allocs_per_op"`
	Bytes      float64       `json:"bytes_per_op"`
	Ratio      *jsonEstimate `json:"ratio_to_bare,omitempty"`
	Added      *jsonEstimate `json:"added_seconds,omitempty"`
	Rounds     []jsonRound   `json:"rounds"`
}

type jsonEstimate struct {
	Median     float64 `json:"median"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"` // 0 = low and high are the least and the greatest round
}

type jsonRound struct {
	Number  int    `json:"number"`
	Ops     int64  `json:"operations"`
	Elapsed int64  `json:"elapsed_ns"`
	Allocs  uint64 `json:"allocs"`
	Bytes   uint64 `json:"bytes"`
}

func jsonOf(r *measure.Result) jsonResult {
	j := jsonResult{
		Suite: r.Suite, Backend: r.Backend, Durability: r.Durability, Op: r.Op, Bare: r.Bare, Callers: r.Callers,
		P50: r.P50.Nanoseconds(), P99: r.P99.Nanoseconds(),
		Ratio: estimateOf(r.Ratio), Added: estimateOf(r.Added), Rounds: make([]jsonRound, 0, len(r.Rounds)),
	}
	if r.Err != nil {
		j.Error = r.Err.Error()
	}
	if len(r.Rounds) > 0 {
		j.PerSecond, j.PerOp, j.Allocs, j.Bytes = r.PerSecond(), r.PerOp()*float64(time.Second), r.AllocsPerOp(), r.BytesPerOp()
	}
	for _, round := range r.Rounds {
		j.Rounds = append(j.Rounds, jsonRound{round.Number, round.Ops, round.Elapsed.Nanoseconds(), round.Allocs, round.Bytes})
	}
	return j
}

func estimateOf(e *measure.Estimate) *jsonEstimate {
	if e == nil {
		return nil
	}
	return &jsonEstimate{e.Median, e.Low, e.High, e.Confidence}
}
