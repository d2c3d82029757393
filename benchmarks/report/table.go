package report

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/perf/benchunit"

	"example.com/once/benchmarks/measure"
)

// none stands where there is no figure.
const none = "-"

// Table writes r for people: the circumstances, one table, and what went wrong.
func Table(w io.Writer, r *Report) error {
	var b bytes.Buffer
	r.writeHeader(&b)
	b.WriteByte('\n')
	writeTable(&b, r.Results)
	r.writeFooter(&b)
	r.writeLimits(&b)
	_, err := w.Write(b.Bytes())
	return err
}

func (r *Report) writeHeader(b *bytes.Buffer) {
	m := r.Machine
	fmt.Fprintf(b, "once, commit %s, %s\n", m.Commit, r.Started.UTC().Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(b, "machine     %s, %d cores used, %s/%s, %s", m.CPU, m.Cores, m.OS, m.Arch, m.Go)
	if m.Load != "" {
		fmt.Fprintf(b, ", load %s before the run", m.Load)
	}
	fmt.Fprintf(b, "\ndisk        write 4 KiB and sync: %v", m.Sync.Round(time.Microsecond))
	fmt.Fprintf(b, "\ndurability  full = SQLite in WAL mode with synchronous=FULL, each commit synced; normal = synchronous=NORMAL, synced at checkpoints\n")
	if len(m.Modules) > 0 {
		fmt.Fprintf(b, "versions   ")
		for _, path := range slices.Sorted(maps.Keys(m.Modules)) {
			fmt.Fprintf(b, " %s@%s", path, m.Modules[path])
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "run         %d rounds, operations of a block in turn, %.1f s in all\n", r.Rounds, r.Took.Seconds())
	if warning := m.warning(); warning != "" {
		fmt.Fprintf(b, "warning     %s\n", warning)
	}
}

func (r *Report) writeFooter(b *bytes.Buffer) {
	fmt.Fprintf(b, "\ntime/op is 1/(ops/s); p50 and p99 are of one operation, as its caller sees it\n")
	fmt.Fprintf(b, "added and x bare compare time/op with that of the operation in the last column, %s\n", r.spread())
	for _, s := range r.Skipped {
		fmt.Fprintf(b, "skipped %s (%s): %s\n", s.Backend, s.Durability, s.Reason)
	}
	for i := range r.Results {
		if res := &r.Results[i]; res.Err != nil {
			fmt.Fprintf(b, "FAILED %s: %v\n", res.ID(), res.Err)
		}
	}
	if r.Missing > 0 {
		reason := r.Stopped
		if reason == "" {
			reason = "stopped early"
		}
		fmt.Fprintf(b, "%s: %d operations were not measured\n", reason, r.Missing)
	}
}

// spread says what the spread of a ratio is.
func (r *Report) spread() string {
	for i := range r.Results {
		if e := r.Results[i].Ratio; e != nil && e.Confidence > 0 {
			return fmt.Sprintf("round by round; spread: at least 95 %% sure that the median lies there (%d rounds)", len(r.Results[i].Rounds))
		}
	}
	return "round by round; spread: the least and the greatest of the rounds, too few for an interval"
}

// column is one of the table's.
type column struct {
	title string
	left  bool // aligned to the left
	cell  func(*measure.Result) string
}

func columns() []column {
	return []column{
		{"suite", true, func(r *measure.Result) string { return r.Suite }},
		{"backend", true, func(r *measure.Result) string { return r.Backend }},
		{"durability", true, func(r *measure.Result) string { return r.Durability }},
		{"operation", true, func(r *measure.Result) string { return r.Op }},
		{"callers", false, func(r *measure.Result) string { return strconv.Itoa(r.Callers) }},
		{"ops/s", false, measured(func(r *measure.Result) string { return benchunit.Scale(r.PerSecond(), benchunit.Decimal) })},
		{"time/op", false, measured(func(r *measure.Result) string { return seconds(r.PerOp()) })},
		{"p50", false, func(r *measure.Result) string { return latency(r.P50) }},
		{"p99", false, func(r *measure.Result) string { return latency(r.P99) }},
		{"allocs/op", false, measured(func(r *measure.Result) string { return allocs(r.AllocsPerOp()) })},
		{"added", false, func(r *measure.Result) string { return added(r.Added) }},
		{"x bare", false, func(r *measure.Result) string { return ratio(r.Ratio) }},
		{"spread", false, func(r *measure.Result) string { return spread(r.Ratio) }},
		{"bare", true, func(r *measure.Result) string { return r.Bare }},
	}
}

func measured(cell func(*measure.Result) string) func(*measure.Result) string {
	return func(r *measure.Result) string {
		if len(r.Rounds) == 0 {
			return none
		}
		return cell(r)
	}
}

// writeTable aligns the columns and leaves a line between blocks.
func writeTable(b *bytes.Buffer, results []measure.Result) {
	cols := columns()
	lines := make([][]string, 1, len(results)+1)
	for _, c := range cols {
		lines[0] = append(lines[0], c.title)
	}
	for i := range results {
		var line []string
		for _, c := range cols {
			line = append(line, c.cell(&results[i]))
		}
		lines = append(lines, line)
	}
	left := make([]bool, len(cols))
	for i, c := range cols {
		left[i] = c.left
	}
	writeAligned(b, lines, left, func(n int) bool { return n > 1 && !sameBlock(&results[n-2], &results[n-1]) })
}

// writeAligned writes lines of cells in columns. apart says before which line an empty one
// comes; nil = before none.
func writeAligned(b *bytes.Buffer, lines [][]string, left []bool, apart func(line int) bool) {
	widths := make([]int, len(left))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, line := range lines {
		if apart != nil && apart(n) {
			b.WriteByte('\n')
		}
		var text strings.Builder
		for i, cell := range line {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if left[i] {
				text.WriteString(cell + gap + "  ")
			} else {
				text.WriteString(gap + cell + "  ")
			}
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
}

func sameBlock(a, b *measure.Result) bool {
	return a.Suite == b.Suite && a.Backend == b.Backend && a.Durability == b.Durability && a.Callers == b.Callers
}

// seconds writes a time with at least three digits.
func seconds(s float64) string {
	if s == 0 {
		return "0s"
	}
	return benchunit.Scale(s, benchunit.Decimal) + "s"
}

func latency(d time.Duration) string {
	if d == 0 {
		return none
	}
	return seconds(d.Seconds())
}

// allocs are whole numbers, but for what is shared by many operations.
func allocs(n float64) string {
	if n >= 10 || math.Abs(n-math.Round(n)) < 0.05 {
		return strconv.FormatFloat(math.Round(n), 'f', 0, 64)
	}
	return strconv.FormatFloat(n, 'f', 1, 64)
}

func added(e *measure.Estimate) string {
	if e == nil {
		return none
	}
	if e.Median < 0 {
		return "-" + seconds(-e.Median)
	}
	return "+" + seconds(e.Median)
}

func ratio(e *measure.Estimate) string {
	if e == nil {
		return none
	}
	return factor(e.Median)
}

func spread(e *measure.Estimate) string {
	if e == nil {
		return none
	}
	return factor(e.Low) + ".." + factor(e.High)
}

func factor(f float64) string {
	switch {
	case f >= 100:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case f >= 10:
		return strconv.FormatFloat(f, 'f', 1, 64)
	default:
		return strconv.FormatFloat(f, 'f', 2, 64)
	}
}
