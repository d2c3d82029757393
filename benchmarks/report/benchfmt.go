package report

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/perf/benchfmt"

	"example.com/once/benchmarks/measure"
)

// Benchfmt writes r in the Go benchmark format, which benchstat reads: a line for each round.
// Latencies are those over all rounds, and stand in each line.
func Benchfmt(w io.Writer, r *Report) error {
	out := benchfmt.NewWriter(w)
	config := []benchfmt.Config{
		{Key: "goos", Value: []byte(r.Machine.OS), File: true},
		{Key: "goarch", Value: []byte(r.Machine.Arch), File: true},
		{Key: "cpu", Value: []byte(r.Machine.CPU), File: true},
		{Key: "go", Value: []byte(r.Machine.Go), File: true},
		{Key: "commit", Value: []byte(r.Machine.Commit), File: true},
		{Key: "sync", Value: []byte(r.Machine.Sync.String()), File: true},
	}
	for i := range r.Results {
		res := &r.Results[i]
		if res.Err != nil {
			continue
		}
		for _, round := range res.Rounds {
			record := &benchfmt.Result{Config: config, Name: benchName(res, r.Machine.Cores), Iters: int(round.Ops), Values: benchValues(res, round)}
			if err := out.Write(record); err != nil {
				return err
			}
		}
	}
	return nil
}

func benchName(r *measure.Result, cores int) benchfmt.Name {
	suite := strings.ToUpper(r.Suite[:1]) + r.Suite[1:]
	name := fmt.Sprintf("%s/backend=%s/durability=%s/op=%s/callers=%d", suite, r.Backend, r.Durability, r.Op, r.Callers)
	if cores > 1 {
		name += fmt.Sprintf("-%d", cores)
	}
	return benchfmt.Name(name)
}

func benchValues(r *measure.Result, round measure.Round) []benchfmt.Value {
	ops := float64(round.Ops)
	values := []benchfmt.Value{
		{Value: round.Elapsed.Seconds() / ops, Unit: "sec/op", OrigValue: float64(round.Elapsed.Nanoseconds()) / ops, OrigUnit: "ns/op"},
		{Value: float64(round.Bytes) / ops, Unit: "B/op"},
		{Value: float64(round.Allocs) / ops, Unit: "allocs/op"},
	}
	if r.P50 > 0 {
		values = append(values,
			benchfmt.Value{Value: r.P50.Seconds(), Unit: "p50-sec", OrigValue: float64(r.P50.Nanoseconds()), OrigUnit: "p50-ns"},
			benchfmt.Value{Value: r.P99.Seconds(), Unit: "p99-sec", OrigValue: float64(r.P99.Nanoseconds()), OrigUnit: "p99-ns"},
		)
	}
	return values
}
