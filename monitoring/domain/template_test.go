package domain_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"example.com/once/monitoring/domain"
)

func TestTemplates(t *testing.T) {
	labels := domain.LabelsOf("__name__", "up", "job", "api", "instance", "a:9100")
	for _, c := range []struct {
		text  string
		value float64
		want  string
	}{
		{"", 1, ""},
		{"plain {text}", 1, "plain {text}"},
		{"{{ $labels.job }} on {{$labels.instance}}", 1, "api on a:9100"},
		{"{{ $labels.nothing }}|", 1, "|"},
		{"{{ $value }}", 0.25, "0.25"},
		{"{{ $value }}", math.Inf(1), "+Inf"},
		{`{{ printf "%.1f" $value }}`, 0.25, "0.2"},
		{"{{ if gt $value 1.0 }}high{{ else }}low{{ end }}", 2, "high"},
		{"{{ if gt $value 1.0 }}high{{ else }}low{{ end }}", 1, "low"},
		{"{{ if eq $labels.job \"api\" }}{{ $labels.job | toUpper }}{{ end }}", 1, "API"},
		{"{{/* nothing */}}x", 1, "x"},
		{"{{ toLower \"ÄB\" }}", 1, "äb"},
		{`{{ reReplaceAll "(.*):.*" "$1" $labels.instance }}`, 1, "a"},
		{"{{ humanize $value }}", 0, "0"},
		{"{{ humanize $value }}", 1234567, "1.235M"},
		{"{{ humanize $value }}", -1234, "-1.234k"},
		{"{{ humanize $value }}", 0.00123, "1.23m"},
		{"{{ humanize $value }}", math.NaN(), "NaN"},
		{"{{ humanize $value }}", 1e30, "1e+06Y"},
		{"{{ humanize1024 $value }}", 1536, "1.5ki"},
		{"{{ humanize1024 $value }}", 0.5, "0.5"},
		{"{{ humanizePercentage $value }}", 0.1234567, "12.35%"},
		{"{{ humanizeDuration $value }}", 0, "0s"},
		{"{{ humanizeDuration $value }}", 0.0421, "42.1ms"},
		{"{{ humanizeDuration $value }}", 61, "1m 1s"},
		{"{{ humanizeDuration $value }}", 3600, "1h 0m 0s"},
		{"{{ humanizeDuration $value }}", -90061, "-1d 1h 1m 1s"},
		{"{{ humanizeDuration $value }}", 12.34, "12.34s"},
		{"{{ humanizeDuration $value }}", math.Inf(-1), "-Inf"},
	} {
		tm, err := domain.ParseTemplate(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got, err := tm.Expand(labels, c.value); got != c.want || err != nil {
			t.Errorf("%q of %v is %q, %v; want %q", c.text, c.value, got, err, c.want)
		}
	}
}

func TestTemplatesRefused(t *testing.T) {
	for text, want := range map[string]string{
		"{{":                            "unclosed action",
		"{{ $lables.job }}":             `undefined variable "$lables"; $labels, $value and a few functions are known`,
		"{{ query \"up\" }}":            `function "query" not defined`,
		"{{ range $labels }}x{{ end }}": "\"{{range $labels}}\" is not supported",
		"{{ with $value }}x{{ end }}":   "\"{{with $value}}\" is not supported",
		"{{ if true }}{{ range $labels }}x{{ end }}{{ end }}":                   "\"{{range $labels}}\" is not supported",
		"{{ if true }}{{ else }}{{ with $labels }}x{{ end }}{{ end }}":          "\"{{with $labels}}\" is not supported",
		"{{ if true }}{{ else if true }}{{ range $labels }}x{{ end }}{{ end }}": "\"{{range $labels}}\" is not supported",
		`{{ define "x" }}y{{ end }}`:                                            "definitions are not supported",
		`{{ template "x" }}`:                                                    `"{{template \"x\"}}" is not supported`,
		`{{ block "x" . }}y{{ end }}`:                                           "definitions are not supported",
		strings.Repeat("x", 8<<10+1):                                            "longer than 8192 bytes",
	} {
		_, err := domain.ParseTemplate(text)
		if !errors.Is(err, domain.ErrTemplate) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

func TestTemplatesFailing(t *testing.T) {
	for _, text := range []string{`{{ reReplaceAll "(" "" "" }}`, `{{ printf }}`, `{{ index $labels 7 }}`, "{{ humanize \"x\" }}"} {
		tm, err := domain.ParseTemplate(text)
		if err != nil {
			continue // refused already
		}
		if got, err := tm.Expand(domain.Labels{}, 1); !errors.Is(err, domain.ErrTemplate) {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
}

func TestTemplatesAreBounded(t *testing.T) {
	tm, err := domain.ParseTemplate(`{{ printf "%100000d" 1 }}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tm.Expand(domain.Labels{}, 1); len(got) != 8<<10 || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	tm, err = domain.ParseTemplate(strings.Repeat("x", 8<<10-1) + "ü"[:1])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tm.Expand(domain.Labels{}, 1); !strings.HasSuffix(got, "x\uFFFD") || err != nil {
		t.Errorf("half a letter stays: %q, %v", got[len(got)-4:], err)
	}
}
