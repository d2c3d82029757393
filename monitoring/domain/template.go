package domain

import (
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

// ErrTemplate is matched by every error about a template.
var ErrTemplate = errors.New("template")

// Template is a parsed label or annotation value. The zero value expands to "".
type Template struct{ t *template.Template }

// ParseTemplate reads a value as in Prometheus' rule files: text with {{ $labels.job }}
// and {{ $value }} in it, the conditional {{ if }}, the built-in functions of
// text/template, and humanize, humanize1024, humanizeDuration, humanizePercentage,
// toUpper, toLower and reReplaceAll. Loops, definitions and queries are refused.
func ParseTemplate(text string) (Template, error) {
	if len(text) > maxTemplateBytes {
		return Template{}, fmt.Errorf("%w is longer than %d bytes", ErrTemplate, maxTemplateBytes)
	}
	if text == "" {
		return Template{}, nil
	}
	t, err := template.New("value").Option("missingkey=zero").Funcs(templateFuncs()).
		Parse("{{$labels := .Labels}}{{$value := .Value}}" + text)
	if err != nil {
		return Template{}, fmt.Errorf("%w: %s; $labels, $value and a few functions are known", ErrTemplate,
			strings.TrimPrefix(err.Error(), "template: value:"))
	}
	if len(t.Templates()) > 1 {
		return Template{}, fmt.Errorf("%w: definitions are not supported", ErrTemplate)
	}
	if err := refuseLoops(t.Root); err != nil {
		return Template{}, err
	}
	return Template{t}, nil
}

func refuseLoops(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, c := range n.Nodes {
			if err := refuseLoops(c); err != nil {
				return err
			}
		}
	case *parse.IfNode:
		if err := refuseLoops(n.List); err != nil {
			return err
		}
		return refuseLoops(n.ElseList)
	case *parse.TextNode, *parse.ActionNode, *parse.CommentNode:
	default:
		return fmt.Errorf("%w: %q is not supported; use {{ $labels.x }}, {{ $value }} and {{ if }}", ErrTemplate, firstWords(n.String()))
	}
	return nil
}

func firstWords(s string) string {
	if i := strings.Index(s, "}}"); i >= 0 {
		return s[:i+2]
	}
	return s
}

// Expand fills the template in. Output beyond 8 KiB is cut off.
func (t Template) Expand(labels Labels, value float64) (string, error) {
	if t.t == nil {
		return "", nil
	}
	var b strings.Builder
	data := struct {
		Labels map[string]string
		Value  float64
	}{labels.Map(), value}
	if err := t.t.Execute(&cappedWriter{w: &b, left: maxTemplateBytes}, data); err != nil {
		return "", fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD"), nil
}

type cappedWriter struct {
	w    io.Writer
	left int
}

func (c *cappedWriter) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	if _, err := c.w.Write(p[:n]); err != nil {
		return 0, fmt.Errorf("template: %w", err)
	}
	return len(p), nil
}

func templateFuncs() template.FuncMap {
	return template.FuncMap{
		"humanize":           func(v float64) string { return humanize(v, 1000, "kMGTPEZY", "munpfazy") },
		"humanize1024":       func(v float64) string { return humanize(v, 1024, "", "") },
		"humanizeDuration":   humanizeDuration,
		"humanizePercentage": func(v float64) string { return fmt.Sprintf("%.4g%%", v*100) },
		"toUpper":            strings.ToUpper,
		"toLower":            strings.ToLower,
		"reReplaceAll": func(pattern, repl, text string) (string, error) {
			re, err := regexp.Compile(pattern)
			if err != nil {
				return "", fmt.Errorf("reReplaceAll: %w", err)
			}
			return re.ReplaceAllString(text, repl), nil
		},
	}
}

// humanize writes four digits and an SI prefix, or a binary one for base 1024.
func humanize(v, base float64, up, down string) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Sprintf("%.4g", v)
	}
	prefix := ""
	if base == 1024 {
		for _, p := range []string{"ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"} {
			if math.Abs(v) < base {
				break
			}
			prefix, v = p, v/base
		}
		return fmt.Sprintf("%.4g%s", v, prefix)
	}
	for i := 0; math.Abs(v) >= base && i < len(up); i++ {
		prefix, v = up[i:i+1], v/base
	}
	for i := 0; math.Abs(v) < 1 && i < len(down); i++ {
		prefix, v = down[i:i+1], v*base
	}
	return fmt.Sprintf("%.4g%s", v, prefix)
}

// humanizeDuration writes seconds as days, hours, minutes and seconds.
func humanizeDuration(seconds float64) string {
	const longest = float64(math.MaxInt64) / float64(time.Second)
	if math.IsNaN(seconds) || math.Abs(seconds) >= longest {
		return fmt.Sprintf("%.4g", seconds)
	}
	if math.Abs(seconds) < 1 {
		return humanize(seconds, 1000, "", "munpfazy") + "s"
	}
	sign, total := "", int64(math.Abs(seconds))
	if seconds < 0 {
		sign = "-"
	}
	days, hours, minutes, rest := total/86400, total/3600%24, total/60%60, total%60
	switch {
	case days > 0:
		return fmt.Sprintf("%s%dd %dh %dm %ds", sign, days, hours, minutes, rest)
	case hours > 0:
		return fmt.Sprintf("%s%dh %dm %ds", sign, hours, minutes, rest)
	case minutes > 0:
		return fmt.Sprintf("%s%dm %ds", sign, minutes, rest)
	default:
		return fmt.Sprintf("%s%.4gs", sign, math.Abs(seconds))
	}
}
