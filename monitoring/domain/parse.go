package domain

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Limits of an expression.
const (
	MaxExpression = 4096 // bytes
	MaxDepth      = 16   // nested parentheses, and comparisons applied one to another
	MaxMatchers   = 32   // of one selector
	MaxWindow     = 24 * time.Hour
)

// Allowed says, in one sentence, what an expression may be.
const Allowed = `a selector like up{job="api",instance!~"test.*"}, absent(selector) or rate(selector[5m]), ` +
	`each compared with numbers by > >= < <= == != or not compared at all`

// ErrExpression is matched by every error of [ParseCondition].
var ErrExpression = errors.New("expression is not supported")

// ParseError says where an expression stops making sense and why.
type ParseError struct {
	Line, Column int    // 1-based; columns count bytes
	Reason       string // what is there and what is wanted
}

// Error returns place, reason and what is allowed.
func (e *ParseError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s; allowed is %s", e.Line, e.Column, e.Reason, Allowed)
}

// Is makes the error match [ErrExpression].
func (e *ParseError) Is(target error) bool { return target == ErrExpression }

// ParseCondition reads an expression in a subset of PromQL:
//
//	condition = operand { comparison number } | number comparison operand
//	selector  = name [ "{" matchers "}" ] | "{" matchers "}"
//	operand   = selector | "absent(" selector ")" | "rate(" selector "[" duration "])" | "(" condition ")"
//	matcher   = label ( "=" | "!=" | "=~" | "!~" ) string
//	comparison = ">" | ">=" | "<" | "<=" | "==" | "!="
//
// Meanings are PromQL's, with two exceptions: a selector sees the samples of its own
// slot only, with no look-back, and rate does not extrapolate. Regular expressions
// match whole values. Numbers may be written NaN, Inf and -Inf. A "#" starts a
// comment that runs to the end of the line.
//
// Everything else that PromQL has is refused, with a [*ParseError].
func ParseCondition(text string) (Condition, error) {
	p := parser{text: text}
	if len(text) > MaxExpression {
		return Condition{}, p.errorAt(MaxExpression, "longer than %d bytes", MaxExpression)
	}
	p.advance()
	n, err := p.condition(1)
	if err != nil {
		return Condition{}, err
	}
	if p.tok.kind != tokEnd {
		return Condition{}, p.unexpected("the end of the expression")
	}
	return Condition{n}, nil
}

type parser struct {
	text string
	pos  int // where the next token is looked for
	tok  token
}

func (p *parser) errorAt(pos int, format string, args ...any) error {
	pos = min(pos, len(p.text))
	before := p.text[:pos]
	line := strings.Count(before, "\n") + 1
	return &ParseError{Line: line, Column: pos - strings.LastIndexByte(before, '\n'), Reason: fmt.Sprintf(format, args...)}
}

func (p *parser) unexpected(want string) error {
	t := p.tok
	switch {
	case t.kind == tokBad:
		return p.errorAt(t.pos, "%s", t.text)
	case t.kind == tokEnd:
		return p.errorAt(t.pos, "the expression ends where %s is wanted", want)
	case t.kind == tokName && isSetOperator(t.text):
		return p.errorAt(t.pos, "operator %q is not supported; write two rules", t.text)
	case t.kind == tokName && (t.text == "offset" || t.text == "bool"):
		return p.errorAt(t.pos, "modifier %q is not supported", t.text)
	case t.kind == tokOperator && strings.ContainsAny(t.text, "+-*/%^@"):
		return p.errorAt(t.pos, "operator %q is not supported", t.text)
	default:
		return p.errorAt(t.pos, "found %q where %s is wanted", t.text, want)
	}
}

func isSetOperator(s string) bool {
	switch strings.ToLower(s) {
	case "and", "or", "unless":
		return true
	}
	return false
}

func (p *parser) condition(depth int) (node, error) {
	if depth > MaxDepth {
		return nil, p.errorAt(p.tok.pos, "nested deeper than %d levels", MaxDepth)
	}
	if p.atNumber() {
		return p.numberFirst(depth)
	}
	n, err := p.operand(depth)
	if err != nil {
		return nil, err
	}
	for {
		op, ok := p.comparison()
		if !ok {
			return n, nil
		}
		if depth++; depth > MaxDepth {
			return nil, p.errorAt(p.tok.pos, "more than %d comparisons one after another", MaxDepth)
		}
		v, err := p.number()
		if err != nil {
			return nil, err
		}
		n = &compare{of: n, op: op, value: v}
	}
}

// numberFirst reads "5 < up" as "up > 5".
func (p *parser) numberFirst(depth int) (node, error) {
	v, err := p.number()
	if err != nil {
		return nil, err
	}
	op, ok := p.comparison()
	if !ok {
		return nil, p.unexpected("a comparison")
	}
	if p.atNumber() {
		return nil, p.errorAt(p.tok.pos, "a number is compared with a number; one side must be a series")
	}
	n, err := p.operand(depth + 1)
	if err != nil {
		return nil, err
	}
	return &compare{of: n, op: op.flip(), value: v}, nil
}

func (p *parser) comparison() (compareOp, bool) {
	if p.tok.kind != tokOperator {
		return "", false
	}
	switch op := compareOp(p.tok.text); op {
	case opEqual, opNotEqual, opGreater, opGreaterOrEqual, opLess, opLessOrEqual:
		p.advance()
		return op, true
	}
	return "", false
}

func (p *parser) operand(depth int) (node, error) {
	switch {
	case p.tok.is("("):
		p.advance()
		n, err := p.condition(depth + 1)
		if err != nil {
			return nil, err
		}
		return n, p.expect(")")
	case p.tok.kind == tokName && p.next("("):
		return p.call()
	case p.tok.kind == tokName && isAggregation(p.tok.text) && (p.nextName("by") || p.nextName("without")):
		return nil, p.errorAt(p.tok.pos, "aggregation %q is not supported", p.tok.text)
	default:
		return p.selector()
	}
}

func isAggregation(s string) bool {
	switch strings.ToLower(s) {
	case "sum", "min", "max", "avg", "group", "stddev", "stdvar", "count", "count_values", "bottomk", "topk", "quantile", "limitk", "limit_ratio":
		return true
	}
	return false
}

func (p *parser) call() (node, error) {
	name := p.tok
	switch name.text {
	case "absent", "rate":
	default:
		kind := "function"
		if isAggregation(name.text) {
			kind = "aggregation"
		}
		return nil, p.errorAt(name.pos, "%s %q is not supported", kind, name.text)
	}
	p.advance()
	p.advance()
	s, err := p.selector()
	if err != nil {
		return nil, err
	}
	if name.text == "absent" {
		return &absent{of: s}, p.expect(")")
	}
	if !p.tok.is("[") {
		return nil, p.unexpected("a window like [5m]")
	}
	w, err := p.window()
	if err != nil {
		return nil, err
	}
	return &rate{of: s, window: w}, p.expect(")")
}

// window reads "[5m]". The token is at the bracket; the text up to the closing one is the duration.
func (p *parser) window() (time.Duration, error) {
	start := p.tok.pos + 1
	length := strings.IndexByte(p.text[start:], ']')
	if length < 0 {
		return 0, p.errorAt(p.tok.pos, "the window is not closed by ]")
	}
	text := strings.TrimSpace(p.text[start : start+length])
	w, err := ParseDuration(text)
	switch {
	case strings.Contains(text, ":"):
		return 0, p.errorAt(start, "subqueries are not supported")
	case err != nil:
		return 0, p.errorAt(start, "window %v", err)
	case w <= 0 || w > MaxWindow:
		return 0, p.errorAt(start, "window %q is not above 0 and at most %s", text, FormatDuration(MaxWindow))
	}
	p.pos = start + length + 1
	p.advance()
	return w, nil
}

func (p *parser) selector() (*selector, error) {
	s := &selector{}
	start := p.tok.pos
	switch {
	case p.tok.kind == tokName && isSetOperator(p.tok.text):
		return nil, p.unexpected("a selector")
	case p.tok.kind == tokName:
		s.name = p.tok.text
		p.advance()
		if !p.tok.is("{") {
			return s, p.noModifier()
		}
	case !p.tok.is("{"):
		return nil, p.unexpected("a selector")
	}
	p.advance()
	for !p.tok.is("}") {
		m, err := p.matcher(s)
		if err != nil {
			return nil, err
		}
		if len(s.matchers) == MaxMatchers {
			return nil, p.errorAt(p.tok.pos, "more than %d matchers in one selector", MaxMatchers)
		}
		s.matchers = append(s.matchers, m)
		if p.tok.is(",") {
			p.advance()
		} else if !p.tok.is("}") {
			return nil, p.unexpected(`"," or "}"`)
		}
	}
	p.advance()
	if s.name == "" && !s.picks() {
		return nil, p.errorAt(start, "the selector accepts every series; give it a metric name, or a matcher that refuses the empty value")
	}
	return s, p.noModifier()
}

// picks says whether some matcher refuses the empty value.
func (s *selector) picks() bool {
	for i := range s.matchers {
		if !s.matchers[i].matches("") {
			return true
		}
	}
	return false
}

func (p *parser) noModifier() error {
	if p.tok.is("@") || p.tok.kind == tokName && p.tok.text == "offset" {
		return p.errorAt(p.tok.pos, "modifier %q is not supported", p.tok.text)
	}
	return nil
}

func (p *parser) matcher(s *selector) (matcher, error) {
	if p.tok.kind != tokName || !IsLabelName(p.tok.text) {
		return matcher{}, p.unexpected("a label name")
	}
	m := matcher{name: p.tok.text}
	if m.name == MetricName && s.name != "" {
		return matcher{}, p.errorAt(p.tok.pos, "the metric name is given twice")
	}
	p.advance()
	switch op := matchOp(p.tok.text); {
	case p.tok.kind == tokOperator && (op == matchEqual || op == matchNotEqual || op == matchRegexp || op == matchNoRegexp):
		m.op = op
	default:
		return matcher{}, p.unexpected(`one of = != =~ !~`)
	}
	p.advance()
	if p.tok.kind != tokString {
		return matcher{}, p.unexpected("a quoted string")
	}
	m.value = p.tok.text
	if m.op == matchRegexp || m.op == matchNoRegexp {
		re, err := regexp.Compile("^(?s:" + m.value + ")$")
		if err != nil {
			return matcher{}, p.errorAt(p.tok.pos, "regular expression: %v", err)
		}
		m.re = re
	}
	p.advance()
	return m, nil
}

func (p *parser) atNumber() bool {
	switch p.tok.kind {
	case tokNumber:
		return true
	case tokOperator:
		return p.tok.text == "-" || p.tok.text == "+"
	case tokName:
		return !p.next("{") && isNumberWord(p.tok.text)
	default:
		return false
	}
}

func isNumberWord(s string) bool {
	switch strings.ToLower(s) {
	case "nan", "inf":
		return true
	}
	return false
}

func (p *parser) number() (float64, error) {
	sign := 1.0
	if p.tok.is("-") || p.tok.is("+") {
		if p.tok.text == "-" {
			sign = -1
		}
		p.advance()
	}
	t := p.tok
	switch {
	case t.kind == tokNumber:
		v, err := parseNumber(t.text)
		if err != nil {
			return 0, p.errorAt(t.pos, "%q is not a number", t.text)
		}
		p.advance()
		return sign * v, nil
	case t.kind == tokName && strings.EqualFold(t.text, "nan"):
		p.advance()
		return math.NaN(), nil
	case t.kind == tokName && strings.EqualFold(t.text, "inf"):
		p.advance()
		return math.Inf(int(sign)), nil
	case t.kind == tokName:
		if t.text == "bool" {
			return 0, p.unexpected("a number")
		}
		return 0, p.errorAt(t.pos, "found %q where a number is wanted; two series cannot be compared with each other", t.text)
	default:
		return 0, p.unexpected("a number")
	}
}

func parseNumber(s string) (float64, error) {
	if n, err := strconv.ParseInt(s, 0, 64); err == nil {
		return float64(n), nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("number: %w", err)
	}
	return v, nil
}

func (p *parser) expect(text string) error {
	if !p.tok.is(text) {
		return p.unexpected(strconv.Quote(text))
	}
	p.advance()
	return nil
}
