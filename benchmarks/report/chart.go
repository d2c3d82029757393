package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"golang.org/x/perf/benchunit"

	"example.com/once/benchmarks/measure"
)

// bar is one line of a chart: a value and, if High is above Low, how far it can be trusted.
type bar struct {
	Label string
	Kind  string // the class that colours it
	Text  string
	group string // bars of a group stand together
	value float64
	low   float64
	high  float64

	// Where it stands, set by barChart.
	Y, Width, From, To float64
	Whisker            bool
}

// chart is a horizontal bar chart with a logarithmic axis, in the units of its viewBox.
type chart struct {
	Title       string
	Bars        []bar
	Ticks       []tick
	Height      float64
	Plot, Right float64 // where the bars begin and end
	Bottom      float64 // where the axis is
}

type tick struct {
	X    float64
	Text string
}

// Sizes of a chart.
const (
	chartPlot  = 300.0
	chartRight = 860.0
	chartStep  = 20.0
	chartGap   = 10.0
	chartTop   = 10.0
)

// barChart places the bars. The axis begins at the power of ten below the least of them.
func barChart(title string, bars []bar) chart {
	bars = slices.DeleteFunc(bars, func(b bar) bool { return b.value <= 0 })
	c := chart{Title: title, Bars: bars, Plot: chartPlot, Right: chartRight}
	if len(bars) == 0 {
		return c
	}
	least, most := math.Inf(1), 0.0
	for _, b := range bars {
		least, most = min(least, b.value), max(most, b.value, b.high)
	}
	from, to := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
	if from == math.Log10(least) {
		from-- // or the least bar would have no length
	}
	at := func(v float64) float64 {
		share := (math.Log10(v) - from) / (to - from)
		return chartPlot + min(max(share, 0), 1)*(chartRight-chartPlot)
	}
	y := chartTop
	for i := range c.Bars {
		b := &c.Bars[i]
		if i > 0 && b.group != c.Bars[i-1].group {
			y += chartGap
		}
		b.Y = y + chartStep/2
		b.Width = at(b.value) - chartPlot
		b.Whisker = b.low > 0 && b.high > b.low
		if b.Whisker {
			b.From, b.To = at(b.low), at(b.high)
		}
		y += chartStep
	}
	c.Bottom = y + 4
	c.Height = c.Bottom + 24
	for exp := from; exp <= to; exp++ {
		c.Ticks = append(c.Ticks, tick{X: at(math.Pow(10, exp)), Text: power(exp)})
	}
	return c
}

// power writes 10^exp without digits after the point.
func power(exp float64) string {
	v := math.Pow(10, exp)
	s := benchunit.CommonScale([]float64{v}, benchunit.Decimal)
	return strconv.FormatFloat(math.Round(v/s.Factor), 'f', -1, 64) + s.Prefix
}

// kindOf is the class for a durability.
func kindOf(r *measure.Result) string {
	switch r.Durability {
	case "none", "normal", "full":
		return r.Durability
	default:
		return "other"
	}
}

// addedBars show what once adds, at one caller.
func addedBars(results []measure.Result) []bar {
	var bars []bar
	for i := range results {
		r := &results[i]
		if r.Suite == "retry" || r.Callers != 1 || r.Added == nil {
			continue
		}
		bars = append(bars, bar{
			Label: fmt.Sprintf("%s (%s) %s", r.Backend, r.Durability, r.Op), Kind: kindOf(r), group: r.Suite + r.Backend + r.Durability,
			Text: added(r.Added), value: r.Added.Median, low: r.Added.Low, high: r.Added.High,
		})
	}
	return bars
}

// throughputBars show a new key and its replay through a Guard.
func throughputBars(results []measure.Result) []bar {
	var bars []bar
	for _, op := range []string{"DoValue", "DoValue-replay", "DoTx"} {
		for i := range results {
			r := &results[i]
			if r.Op != op || len(r.Rounds) == 0 {
				continue
			}
			label := fmt.Sprintf("%s (%s) %s, callers: %d", r.Backend, r.Durability, r.Op, r.Callers)
			bars = append(bars, bar{
				Label: label, Kind: kindOf(r), group: r.Backend + r.Durability + op,
				Text: benchunit.Scale(r.PerSecond(), benchunit.Decimal) + "/s", value: r.PerSecond(),
			})
		}
	}
	return bars
}

// retryBars show the calls of the retry suite.
func retryBars(results []measure.Result) []bar {
	var bars []bar
	for i := range results {
		r := &results[i]
		if r.Suite != "retry" || len(r.Rounds) == 0 {
			continue
		}
		kind := "none"
		if r.Bare == "" {
			kind = "other"
		}
		bars = append(bars, bar{
			Label: r.Op + ", " + r.Backend, Kind: kind, group: r.Backend,
			Text: fmt.Sprintf("%s, %s allocs", seconds(r.PerOp()), allocs(r.AllocsPerOp())), value: r.PerOp(),
		})
	}
	return bars
}
