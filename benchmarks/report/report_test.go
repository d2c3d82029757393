package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchproc"

	"example.com/once/benchmarks/measure"
	"example.com/once/benchmarks/report"
)

// sample is a report with one of everything.
func sample() *report.Report {
	rounds := func(each time.Duration) (all []measure.Round) {
		for n := range 6 {
			all = append(all, measure.Round{Number: n, Ops: 1000, Elapsed: 1000 * each, Allocs: 2040, Bytes: 64000})
		}
		return all
	}
	return &report.Report{
		Machine: report.Machine{CPU: "Abacus 3", Cores: 2, OS: "linux", Arch: "amd64", Go: "go1.26.8", Commit: "0123456789ab", Load: "0.50", Sync: 190 * time.Microsecond, Modules: map[string]string{"modernc.org/sqlite": "v1.62.0"}},
		Started: time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC), Took: 59400 * time.Millisecond, Rounds: 6, Callers: []int{1, 8},
		Skipped: []report.Skipped{{Backend: "abacus", Durability: "full", Reason: "no beads"}},
		Stopped: "interrupted",
		Outcome: measure.Outcome{Missing: 2, Results: []measure.Result{
			{Suite: "store", Backend: "memory", Durability: "none", Op: "raw-pair", Callers: 1, Rounds: rounds(300 * time.Nanosecond), P50: 280 * time.Nanosecond, P99: 900 * time.Nanosecond},
			{Suite: "store", Backend: "memory", Durability: "none", Op: "DoValue", Bare: "raw-pair", Callers: 1, Rounds: rounds(1234 * time.Nanosecond), P50: 1200 * time.Nanosecond, P99: 4 * time.Microsecond,
				Ratio: &measure.Estimate{Median: 4.113, Low: 3.9, High: 4.3, Confidence: 0.96}, Added: &measure.Estimate{Median: 934e-9, Low: 900e-9, High: 1e-6, Confidence: 0.96}},
			{Suite: "store", Backend: "memory", Durability: "none", Op: "replay", Callers: 8, Err: errors.New("999 keys done, want 1000")},
			{Suite: "retry", Backend: "succeeds", Durability: "none", Op: "bare-call", Bare: "hand-written-loop", Callers: 1, Rounds: rounds(3 * time.Nanosecond),
				Ratio: &measure.Estimate{Median: 0.5, Low: 0.4, High: 0.6, Confidence: 0.96}, Added: &measure.Estimate{Median: -3e-9, Low: -4e-9, High: -2e-9, Confidence: 0.96}},
		}},
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := report.Table(&b, sample()); err != nil {
		t.Fatal(err)
	}
	const want = `once, commit 0123456789ab, 2026-11-24 09:30 UTC
machine     Abacus 3, 2 cores used, linux/amd64, go1.26.8, load 0.50 before the run
disk        write 4 KiB and sync: 190µs
durability  full = SQLite in WAL mode with synchronous=FULL, each commit synced; normal = synchronous=NORMAL, synced at checkpoints
versions    modernc.org/sqlite@v1.62.0
run         6 rounds, operations of a block in turn, 59.4 s in all

suite  backend   durability  operation  callers   ops/s  time/op      p50      p99  allocs/op     added  x bare      spread  bare
store  memory    none        raw-pair         1  3.333M  300.0ns  280.0ns  900.0ns          2         -       -           -
store  memory    none        DoValue          1  810.4k  1.234µs  1.200µs  4.000µs          2  +934.0ns    4.11  3.90..4.30  raw-pair

store  memory    none        replay           8       -        -        -        -          -         -       -           -

retry  succeeds  none        bare-call        1  333.3M  3.000ns        -        -          2  -3.000ns    0.50  0.40..0.60  hand-written-loop

time/op is 1/(ops/s); p50 and p99 are of one operation, as its caller sees it
added and x bare compare time/op with that of the operation in the last column, round by round; spread: at least 95 % sure that the median lies there (6 rounds)
skipped abacus (full): no beads
FAILED store/memory/none/replay/callers=8: 999 keys done, want 1000
interrupted: 2 operations were not measured
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTableWarnsOfADiskThatDoesNotSync(t *testing.T) {
	r := sample()
	r.Machine.Sync = 2 * time.Microsecond
	var b strings.Builder
	if err := report.Table(&b, r); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "warning     a sync takes 2µs here, so nothing is synced: choose a directory on a disk with --dir") {
		t.Errorf("no warning in\n%s", b.String())
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := report.JSON(&b, sample()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Machine struct {
			Sync int64 `json:"sync_ns"`
		}
		Missing int
		Skipped []report.Skipped
		Results []struct {
			Operation string
			PerOp     float64                              `json:"ns_per_op"`
			Ratio     *struct{ Median, Low, High float64 } `json:"ratio_to_bare"`
			Error     string
			Rounds    []struct{ Operations, Elapsed_ns int64 } //nolint:revive // the name in the document
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Machine.Sync != 190_000 || got.Missing != 2 || len(got.Skipped) != 1 || len(got.Results) != 4 {
		t.Fatalf("%+v", got)
	}
	r := got.Results[1]
	if r.Operation != "DoValue" || r.PerOp < 1233.9 || r.PerOp > 1234.1 || r.Ratio.Median != 4.113 || len(r.Rounds) != 6 || r.Rounds[5].Elapsed_ns != 1_234_000 {
		t.Errorf("%+v", r)
	}
	if got.Results[2].Error == "" || got.Results[2].Ratio != nil {
		t.Errorf("%+v", got.Results[2])
	}
}

// benchstat is made of these two packages.
func TestBenchstatReadsTheResults(t *testing.T) {
	var b bytes.Buffer
	if err := report.Benchfmt(&b, sample()); err != nil {
		t.Fatal(err)
	}
	var parser benchproc.ProjectionParser
	by, err := parser.Parse(".name,/backend,/op,/callers", nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(map[string]int)
	reader := benchfmt.NewReader(&b, "results.txt")
	for reader.Scan() {
		switch rec := reader.Result().(type) {
		case *benchfmt.Result:
			lines[by.Project(rec).StringValues()]++
			if seconds, ok := rec.Value("sec/op"); !ok || seconds <= 0 {
				t.Errorf("%s has the time %v", rec.Name, seconds)
			}
			if allocs, ok := rec.Value("allocs/op"); !ok || allocs != 2.04 {
				t.Errorf("%s has %v allocations", rec.Name, allocs)
			}
			if commit := rec.GetConfig("commit"); commit != "0123456789ab" {
				t.Errorf("commit %q", commit)
			}
		case *benchfmt.SyntaxError:
			t.Error(rec)
		}
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Store memory raw-pair 1", "Store memory DoValue 1", "Retry succeeds bare-call 1"} {
		if lines[name] != 6 {
			t.Errorf("%s: %d lines, want one for each of 6 rounds", name, lines[name])
		}
	}
	if len(lines) != 3 {
		t.Errorf("%v: what failed should not be there", lines)
	}
}

func TestThePageNeedsNothingElse(t *testing.T) {
	r := sample()
	r.Results[2].Err = errors.New(`<script>alert("1")</script>`)
	var b bytes.Buffer
	if err := report.HTML(&b, r); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"<svg ", "Abacus 3", "+934.0ns", "4.11", "3.90..4.30", "no beads", "2 operations were not measured", `<script>alert("1")</script>`} {
		if !strings.Contains(html.UnescapeString(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if found := regexp.MustCompile(`(?i)<script|<link|<img|<iframe|https?:|@import|url\(|javascript:|NaN|Inf\b|ZgotmplZ`).FindString(page); found != "" {
		t.Errorf("the page has %q", found)
	}
}

func TestAnEmptyReportCanBeWritten(t *testing.T) {
	r := &report.Report{Stopped: "interrupted", Outcome: measure.Outcome{Missing: 9}}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"table":    func(b *bytes.Buffer) error { return report.Table(b, r) },
		"json":     func(b *bytes.Buffer) error { return report.JSON(b, r) },
		"benchfmt": func(b *bytes.Buffer) error { return report.Benchfmt(b, r) },
		"html":     func(b *bytes.Buffer) error { return report.HTML(b, r) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInspectMeasuresTheDisk(t *testing.T) {
	m, err := report.Inspect(t.Context(), t.TempDir())
	if err != nil || m.Sync <= 0 || m.Cores < 1 || m.Commit == "" || m.CPU == "" || !strings.HasPrefix(m.Go, "go") {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := report.Inspect(t.Context(), t.TempDir()+"/absent"); err == nil {
		t.Error("no error for a directory that is not there")
	}
}

func TestLimitsComeLastWhenTheyWereMeasured(t *testing.T) {
	r := sample()
	rounds := func(each time.Duration, allocs uint64) (all []measure.Round) {
		for n := range 6 {
			all = append(all, measure.Round{Number: n, Ops: 1000, Elapsed: 1000 * each, Allocs: 1000 * allocs})
		}
		return all
	}
	result := func(op string, each time.Duration, allocs uint64) measure.Result {
		return measure.Result{Suite: "client", Backend: "loopback", Durability: "none", Op: op, Callers: 1, Rounds: rounds(each, allocs)}
	}
	r.Results = append(r.Results, result("http.Client-GET", 20*time.Microsecond, 60), result("Transport-GET", 21*time.Microsecond, 64))
	var b strings.Builder
	if err := report.Table(&b, r); err != nil {
		t.Fatal(err)
	}
	const want = `
limit                                   at most    median              spread  against
Transport: a GET that succeeds           x1.030    x1.050      x1.050..x1.050  http.Client-GET  MISSED
Transport: allocations added to a GET  4 allocs  4 allocs  4 allocs..4 allocs  http.Client-GET  ok
time is a ratio, round by round; of several the one counts that comes out worst; unclear: the limit is within the spread, so this run cannot tell
`
	if got := b.String(); !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant at the end\n%s", got, want)
	}
	b.Reset()
	if err := report.JSON(&b, r); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Limits []struct {
			Suite, Operation, Unit string
			Most                   float64
			Kept                   bool
		}
	}
	if err := json.Unmarshal([]byte(b.String()), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Limits) != 2 || doc.Limits[0].Kept || doc.Limits[0].Unit != "ratio" || !doc.Limits[1].Kept || doc.Limits[1].Operation != "Transport-GET" || doc.Limits[1].Most != 4 {
		t.Errorf("got %+v", doc.Limits)
	}
}
