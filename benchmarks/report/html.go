package report

import (
	"bytes"
	"embed"
	"html/template"
	"io"
	"maps"
	"slices"
	"time"

	"example.com/once/benchmarks/measure"
)

//go:embed report.html
var files embed.FS

// HTML writes r as a page that needs nothing else: no script, no font, no other file.
func HTML(w io.Writer, r *Report) error {
	t, err := template.New("report.html").Funcs(template.FuncMap{
		"round":   func(d time.Duration) time.Duration { return d.Round(time.Microsecond) },
		"modules": func(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) },
	}).ParseFS(files, "report.html")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, pageOf(r)); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// pageData is what the template shows.
type pageData struct {
	*Report

	Warning string
	Spread  string
	Charts  []chart
	Titles  []string
	Rows    []pageRow
}

type pageRow struct {
	First bool // of its block
	Cells []string
	Err   error
}

func pageOf(r *Report) pageData {
	p := pageData{Report: r, Warning: r.Machine.warning(), Spread: r.spread(), Charts: charts(r.Results)}
	cols := columns()
	for _, c := range cols {
		p.Titles = append(p.Titles, c.title)
	}
	for i := range r.Results {
		row := pageRow{First: i == 0 || !sameBlock(&r.Results[i-1], &r.Results[i]), Err: r.Results[i].Err}
		for _, c := range cols {
			row.Cells = append(row.Cells, c.cell(&r.Results[i]))
		}
		p.Rows = append(p.Rows, row)
	}
	return p
}

// charts are those that there are figures for.
func charts(results []measure.Result) []chart {
	var all []chart
	for _, c := range []chart{
		barChart("What a guarded operation takes more than the bare one, one caller", addedBars(results)),
		barChart("Operations a second, by the number of callers", throughputBars(results)),
		barChart("A call that succeeds at once, and one that fails three times first", retryBars(results)),
	} {
		if len(c.Bars) > 0 {
			all = append(all, c)
		}
	}
	return all
}
