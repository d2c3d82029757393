package domain_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/once/monitoring/domain"
)

func parse(tb testing.TB, expr string) domain.Condition {
	tb.Helper()
	c, err := domain.ParseCondition(expr)
	if err != nil {
		tb.Fatalf("%s: %v", expr, err)
	}
	return c
}

// accepted are expressions with their canonical form.
func accepted() map[string]string {
	return map[string]string{
		`up`:                      `up`,
		" up\t\n":                 `up`,
		`up # is it?`:             `up`,
		"# first\nup\n# last":     `up`,
		`up{}`:                    `up`,
		`up{job="api"}`:           `up{job="api"}`,
		`up{job='api',}`:          `up{job="api"}`,
		"up{job=`a\\b`}":          `up{job="a\\b"}`,
		`up{job="\u00fc\n\x00"}`:  `up{job="ü\n\x00"}`,
		`up{a="1",b!="2"}`:        `up{a="1",b!="2"}`,
		`up{a=~"x|y", b!~".*z"}`:  `up{a=~"x|y",b!~".*z"}`,
		`{__name__="up"}`:         `{__name__="up"}`,
		`{job!=""}`:               `{job!=""}`,
		`job:errors:rate5m > 0.5`: `job:errors:rate5m > 0.5`,
		`up == 0`:                 `up == 0`,
		`0 == up`:                 `up == 0`,
		`5 < up`:                  `up > 5`,
		`5 <= up`:                 `up >= 5`,
		`5 > up`:                  `up < 5`,
		`5 >= up`:                 `up <= 5`,
		`5 != up`:                 `up != 5`,
		`1 < (up < 5)`:            `up < 5 > 1`,
		`up > 1 < 5 != 3`:         `up > 1 < 5 != 3`,
		`((up) > (1))`:            ``,
		`(up > 1)`:                `up > 1`,
		`up > -1.5e3`:             `up > -1500`,
		`up > +1`:                 `up > 1`,
		`up > 0x1F`:               `up > 31`,
		`up > 1_000`:              `up > 1000`,
		`up > .5`:                 `up > 0.5`,
		`up > 1e21`:               `up > 1e+21`,
		`up == Inf`:               `up == Inf`,
		`up == -inf`:              `up == -Inf`,
		`up != NaN`:               `up != NaN`,
		`nan{a="b"} > 1`:          `nan{a="b"} > 1`,
		`inf{} > 1`:               `inf{} > 1`,
		`absent`:                  `absent`,
		`absent(up)`:              `absent(up)`,
		`absent(up{job="x"}) > 0`: `absent(up{job="x"}) > 0`,
		`rate`:                    `rate`,
		`rate(x[5m])`:             `rate(x[5m])`,
		`rate( x{a="b"} [ 90s ])`: `rate(x{a="b"}[1m30s])`,
		`rate(x[1d])`:             `rate(x[1d])`,
		`rate(x[1ms]) >= 1`:       `rate(x[1ms]) >= 1`,
		`sum`:                     `sum`,
		`bool > 1`:                `bool > 1`,
		`offset > 1`:              `offset > 1`,
	}
}

func TestParseCondition(t *testing.T) {
	for expr, want := range accepted() {
		if want == "" {
			continue
		}
		if got := parse(t, expr).String(); got != want {
			t.Errorf("%s becomes %s, want %s", expr, got, want)
		}
		if got := parse(t, want).String(); got != want {
			t.Errorf("canonical %s becomes %s", want, got)
		}
	}
}

// TestParseConditionRefuses: what is not understood must not look as if it watched something.
func TestParseConditionRefuses(t *testing.T) {
	for _, c := range []struct {
		expr         string
		line, column int
		reason       string
	}{
		{"", 1, 1, "the expression ends where a selector is wanted"},
		{"  ", 1, 3, "the expression ends where a selector is wanted"},
		{"# only a comment", 1, 17, "the expression ends where a selector is wanted"},
		{"1", 1, 2, "the expression ends where a comparison is wanted"},
		{"1 < 2", 1, 5, "a number is compared with a number; one side must be a series"},
		{"up <", 1, 5, "the expression ends where a number is wanted"},
		{"up < down", 1, 6, `found "down" where a number is wanted; two series cannot be compared with each other`},
		{"up > bool 1", 1, 6, `modifier "bool" is not supported`},
		{"up =", 1, 4, `found "=" where the end of the expression is wanted`},
		{"up down", 1, 4, `found "down" where the end of the expression is wanted`},
		{"up + 1 > 2", 1, 4, `operator "+" is not supported`},
		{"up / down", 1, 4, `operator "/" is not supported`},
		{"up and down", 1, 4, `operator "and" is not supported; write two rules`},
		{"up > 1 OR up < 0", 1, 8, `operator "OR" is not supported; write two rules`},
		{"unless", 1, 1, `operator "unless" is not supported; write two rules`},
		{"sum(up)", 1, 1, `aggregation "sum" is not supported`},
		{"sum by (job) (up)", 1, 1, `aggregation "sum" is not supported`},
		{"topk(3, up)", 1, 1, `aggregation "topk" is not supported`},
		{"irate(up[5m])", 1, 1, `function "irate" is not supported`},
		{"up[5m]", 1, 3, `found "[" where the end of the expression is wanted`},
		{"up offset 5m", 1, 4, `modifier "offset" is not supported`},
		{"up{a=\"b\"} @ 0", 1, 11, `modifier "@" is not supported`},
		{"rate(up)", 1, 8, `found ")" where a window like [5m] is wanted`},
		{"rate(up[5m]", 1, 12, `the expression ends where ")" is wanted`},
		{"rate(up[5m:1m])", 1, 9, "subqueries are not supported"},
		{"rate(up[5 minutes])", 1, 9, `window "5 minutes" is not a duration: want numbers with units y, w, d, h, m, s, ms in that order, like 1h30m, or 0`},
		{"rate(up[0])", 1, 9, `window "0" is not above 0 and at most 1d`},
		{"rate(up[2d])", 1, 9, `window "2d" is not above 0 and at most 1d`},
		{"rate(up[5m", 1, 8, "the window is not closed by ]"},
		{"rate(absent(up)[5m])", 1, 12, `found "(" where a window like [5m] is wanted`},
		{"absent(up > 1)", 1, 11, `found ">" where ")" is wanted`},
		{"(up", 1, 4, `the expression ends where ")" is wanted`},
		{"up)", 1, 3, `found ")" where the end of the expression is wanted`},
		{"up{", 1, 4, "the expression ends where a label name is wanted"},
		{"up{job}", 1, 7, `found "}" where one of = != =~ !~ is wanted`},
		{"up{job=}", 1, 8, `found "}" where a quoted string is wanted`},
		{"up{job=api}", 1, 8, `found "api" where a quoted string is wanted`},
		{"up{job==\"api\"}", 1, 7, `found "==" where one of = != =~ !~ is wanted`},
		{"up{job=\"api\" x}", 1, 14, `found "x" where "," or "}" is wanted`},
		{"up{a:b=\"c\"}", 1, 4, `found "a:b" where a label name is wanted`},
		{"up{,}", 1, 4, `found "," where a label name is wanted`},
		{"up{__name__=\"up\"}", 1, 4, "the metric name is given twice"},
		{"up{job=\"api}", 1, 8, `the string is not closed by "`},
		{"up{job=\"a\\qb\"}", 1, 8, "the string has an escape or a line break that is not valid"},
		{"up{job=~\"(\"}", 1, 9, "regular expression: error parsing regexp: missing closing ): `^(?s:()$`"},
		{"{}", 1, 1, "the selector accepts every series; give it a metric name, or a matcher that refuses the empty value"},
		{"{a=\"\"}", 1, 1, "the selector accepts every series; give it a metric name, or a matcher that refuses the empty value"},
		{"{a!=\"b\"}", 1, 1, "the selector accepts every series; give it a metric name, or a matcher that refuses the empty value"},
		{"up > 1..2", 1, 6, `"1..2" is not a number`},
		{"up > 5m", 1, 6, `"5m" is not a number`},
		{"up > 1e", 1, 6, `"1e" is not a number`},
		{"up ; down", 1, 4, `found ";" , which has no meaning here`},
		{"up\n  > 1\n  and down", 3, 3, `operator "and" is not supported; write two rules`},
		{"up{\n\"x\"}", 2, 1, `found "x" where a label name is wanted`},
		{"ü", 1, 1, `found "\xc3", which has no meaning here`},
		{strings.Repeat("(", 17) + "up" + strings.Repeat(")", 17), 1, 17, "nested deeper than 16 levels"},
		{"up" + strings.Repeat(" > 1", 16), 1, 66, "more than 16 comparisons one after another"},
		{"up{" + strings.Repeat("a=\"b\",", 33) + "}", 1, 201, "more than 32 matchers in one selector"},
		{strings.Repeat("x", 4097), 1, 4097, "longer than 4096 bytes"},
	} {
		_, err := domain.ParseCondition(c.expr)
		var p *domain.ParseError
		if !errors.As(err, &p) || !errors.Is(err, domain.ErrExpression) {
			t.Errorf("%q: %v; want a ParseError", c.expr, err)
			continue
		}
		want := strings.Replace(c.reason, `" ,`, `",`, 1)
		if p.Line != c.line || p.Column != c.column || p.Reason != want {
			t.Errorf("%q:\n%d:%d: %s; want\n%d:%d: %s", c.expr, p.Line, p.Column, p.Reason, c.line, c.column, want)
		}
		if text := err.Error(); !strings.HasPrefix(text, fmt.Sprintf("line %d, column %d: ", c.line, c.column)) || !strings.HasSuffix(text, "allowed is "+domain.Allowed) {
			t.Errorf("%q: %q", c.expr, text)
		}
	}
}

// FuzzParseCondition: a text is refused with a place in it, or its canonical form means
// the same and stays the same.
func FuzzParseCondition(f *testing.F) {
	for expr := range accepted() {
		f.Add(expr)
	}
	for _, expr := range []string{
		`sum by (job) (up)`, "up{a=`", `rate(up[5m:1m])`, `1 < (2 < up)`, `up{a="\xff"}`, `nan`, `-up`, "up{\n\t#x\n}", `(((up)))`, `up > 0x`, `{a=~""}`,
	} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		c, err := domain.ParseCondition(expr)
		if err != nil {
			var p *domain.ParseError
			if !errors.As(err, &p) {
				t.Fatalf("%q: %v", expr, err)
			}
			if lines := strings.Count(expr, "\n") + 1; p.Line < 1 || p.Line > lines || p.Column < 1 || p.Column > len(expr)+1 || p.Reason == "" {
				t.Fatalf("%q: %+v", expr, p)
			}
			return
		}
		again, err := domain.ParseCondition(c.String())
		if err != nil {
			t.Fatalf("%q becomes %q, which is refused: %v", expr, c.String(), err)
		}
		if again.String() != c.String() || again.Window() != c.Window() {
			t.Fatalf("%q becomes %q and then %q", expr, c.String(), again.String())
		}
		r := domain.Rule{ID: "g/r", Name: "r", Condition: c, Interval: time.Second}
		same := r
		same.Condition = again
		in := domain.Input{Slot: time.Unix(60, 0), Samples: []domain.Sample{
			{Labels: domain.LabelsOf(domain.MetricName, "up", "a", "b"), Value: 1, At: time.Unix(60, 0)},
			{Labels: domain.LabelsOf(domain.MetricName, "up"), Value: -2, At: time.Unix(60, 0)},
		}}
		one, _, errOne := domain.Evaluate(&r, in, domain.State{})
		two, _, errTwo := domain.Evaluate(&same, in, domain.State{})
		if fmt.Sprint(one, errOne) != fmt.Sprint(two, errTwo) {
			t.Fatalf("%q means %v, %v and %q means %v, %v", expr, one, errOne, c.String(), two, errTwo)
		}
	})
}
