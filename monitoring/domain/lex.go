package domain

import (
	"strconv"
	"strings"
)

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokName
	tokNumber
	tokString // text is the value, unquoted
	tokOperator
	tokBad // text says what is wrong
)

type token struct {
	kind tokenKind
	text string
	pos  int
}

func (t token) is(operator string) bool { return t.kind == tokOperator && t.text == operator }

// IsLabelName says whether s may name a label or an annotation: letters, digits and
// underscores, not a digit first.
func IsLabelName(s string) bool {
	for i := range len(s) {
		if !isLetter(s[i]) && (i == 0 || !isDigit(s[i])) {
			return false
		}
	}
	return s != ""
}

func isLetter(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// advance reads the next token.
func (p *parser) advance() {
	p.tok, p.pos = p.scan(p.pos)
}

// next says whether the token after the present one is the operator.
func (p *parser) next(operator string) bool {
	t, _ := p.scan(p.pos)
	return t.is(operator)
}

func (p *parser) nextName(name string) bool {
	t, _ := p.scan(p.pos)
	return t.kind == tokName && t.text == name
}

// scan returns the token at or after pos, and where the one after it may start.
func (p *parser) scan(pos int) (token, int) {
	s := p.text
	for pos < len(s) {
		switch s[pos] {
		case ' ', '\t', '\n', '\r':
			pos++
			continue
		case '#':
			if i := strings.IndexByte(s[pos:], '\n'); i >= 0 {
				pos += i
			} else {
				pos = len(s)
			}
			continue
		}
		break
	}
	if pos >= len(s) {
		return token{kind: tokEnd, pos: len(s)}, len(s)
	}
	c := s[pos]
	switch {
	case isLetter(c) || c == ':':
		end := pos
		for end < len(s) && (isLetter(s[end]) || isDigit(s[end]) || s[end] == ':') {
			end++
		}
		return token{tokName, s[pos:end], pos}, end
	case isDigit(c) || c == '.':
		end := numberEnd(s, pos)
		return token{tokNumber, s[pos:end], pos}, end
	case c == '"' || c == '\'' || c == '`':
		return scanString(s, pos)
	}
	for _, op := range []string{"==", "!=", "=~", "!~", ">=", "<="} {
		if strings.HasPrefix(s[pos:], op) {
			return token{tokOperator, op, pos}, pos + len(op)
		}
	}
	if strings.IndexByte("(){}[],=<>+-*/%^@", c) >= 0 {
		return token{tokOperator, s[pos : pos+1], pos}, pos + 1
	}
	return token{tokBad, "found " + strconv.Quote(s[pos:pos+1]) + ", which has no meaning here", pos}, len(s)
}

func numberEnd(s string, pos int) int {
	end := pos
	for end < len(s) {
		c := s[end]
		exponentSign := (c == '+' || c == '-') && end > pos && (s[end-1] == 'e' || s[end-1] == 'E') &&
			!strings.HasPrefix(s[pos:], "0x") && !strings.HasPrefix(s[pos:], "0X")
		if !isDigit(c) && !isLetter(c) && c != '.' && !exponentSign {
			break
		}
		end++
	}
	return end
}

func scanString(s string, pos int) (token, int) {
	quote := s[pos]
	end := pos + 1
	for ; end < len(s) && s[end] != quote; end++ {
		if s[end] == '\\' && quote != '`' {
			end++
		}
	}
	if end >= len(s) {
		return token{tokBad, "the string is not closed by " + string(quote), pos}, len(s)
	}
	raw := s[pos+1 : end]
	if quote == '`' {
		return token{tokString, raw, pos}, end + 1
	}
	var b strings.Builder
	for rest := raw; rest != ""; {
		r, multibyte, tail, err := strconv.UnquoteChar(rest, quote)
		if err != nil {
			return token{tokBad, "the string has an escape or a line break that is not valid", pos}, len(s)
		}
		if r < 0x80 || !multibyte {
			b.WriteByte(byte(r)) //nolint:gosec // one byte: ASCII, or written as \xff
		} else {
			b.WriteRune(r)
		}
		rest = tail
	}
	return token{tokString, b.String(), pos}, end + 1
}
