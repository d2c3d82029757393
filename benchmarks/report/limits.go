package report

import (
	"bytes"
	"fmt"
	"strconv"

	"example.com/once/benchmarks/suite"
)

// writeLimits says how the limits were kept whose operations were measured.
func (r *Report) writeLimits(b *bytes.Buffer) {
	verdicts := suite.Judge(suite.Limits(), r.Results)
	if len(verdicts) == 0 {
		return
	}
	lines := [][]string{{"limit", "at most", "median", "spread", "against", ""}}
	for i := range verdicts {
		v := &verdicts[i]
		e := v.Measured
		lines = append(lines, []string{v.What, atMost(v), amount(v, e.Median), amount(v, e.Low) + ".." + amount(v, e.High), orNone(v.Rival), kept(v)})
	}
	b.WriteByte('\n')
	writeAligned(b, lines, []bool{true, false, false, false, true, true}, nil)
	fmt.Fprintf(b, "time is a ratio, round by round; of several the one counts that comes out worst; "+
		"unclear: the limit is within the spread, so this run cannot tell\n")
}

func atMost(v *suite.Verdict) string {
	most := amount(v, v.Most)
	if v.Below {
		return "< " + most
	}
	return most
}

func amount(v *suite.Verdict, n float64) string {
	if v.Unit == suite.Allocs {
		return allocs(n) + " allocs"
	}
	return "x" + strconv.FormatFloat(n, 'f', 3, 64)
}

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}

func kept(v *suite.Verdict) string {
	word := "MISSED"
	if v.Kept() {
		word = "ok"
	}
	if !v.Clear() {
		word += ", unclear"
	}
	return word
}
