package docscheck

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// page is a Markdown file, taken apart.
type page struct {
	path    string
	blocks  []block
	links   []link
	spans   []span // code spans
	words   []span // the rest of the prose, line by line, link targets left out
	proofs  []span // last cells of tables whose last column is called proof or test
	anchors []string
	title   string // the first heading
	broken  []int  // lines with an end of a link that began on the line before

	table []string // last cells of the table that the line is in
}

// block is a fenced block of code.
type block struct {
	line int // of its first fence
	info string
	text string
}

// link is what is between the brackets and between the parentheses.
type link struct {
	line         int
	text, target string
}

// span is text and the line that it stands on.
type span struct {
	line int
	text string
}

var (
	heading   = regexp.MustCompile(`^#{1,6} +(.*?) *#*$`)
	codeSpan  = regexp.MustCompile("``(.+?)``|`([^`]+)`")
	inline    = regexp.MustCompile(`\[([^\]]*)\]\(([^()\s]*)(?: +"[^"]*")?\)`)
	reference = regexp.MustCompile(`^ {0,3}\[[^\]]+\]: +(\S+)`)
	named     = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)
)

// parsePage takes apart the Markdown that this project writes: headings with #, fences of
// backquotes, inline and reference links, code spans within a line.
func parsePage(path, text string) page {
	p := page{path: path}
	slugs := map[string]int{}
	var open *block // the fenced block that the line is in
	var fence string
	for i, line := range strings.Split(text, "\n") {
		n := i + 1
		trimmed := strings.TrimSpace(line)
		switch {
		case open != nil && trimmed == fence:
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(trimmed, "```"):
			info := strings.TrimLeft(trimmed, "`")
			fence = trimmed[:len(trimmed)-len(info)]
			open = &block{line: n, info: strings.TrimSpace(info)}
		default:
			p.prose(n, line, slugs)
		}
	}
	if open != nil {
		p.blocks = append(p.blocks, block{line: open.line, info: "unclosed"})
	}
	return p
}

func (p *page) prose(n int, line string, slugs map[string]int) {
	p.row(n, line)
	if m := heading.FindStringSubmatch(line); m != nil {
		if p.title == "" {
			p.title = m[1]
		}
		s := slug(m[1])
		if again := slugs[s]; again > 0 {
			p.anchors = append(p.anchors, fmt.Sprintf("%s-%d", s, again))
		} else {
			p.anchors = append(p.anchors, s)
		}
		slugs[s]++
	}
	for _, m := range named.FindAllStringSubmatch(line, -1) {
		p.anchors = append(p.anchors, m[1])
	}
	if m := reference.FindStringSubmatch(line); m != nil {
		p.links = append(p.links, link{line: n, target: m[1]})
		return
	}
	// A link's brackets may hold a code span, but a code span's link is none.
	for _, m := range inline.FindAllStringSubmatchIndex(line, -1) {
		if !within(codeSpan.FindAllStringIndex(line, -1), m[0]) {
			p.links = append(p.links, link{n, line[m[2]:m[3]], line[m[4]:m[5]]})
		}
	}
	bare := inline.ReplaceAllString(line, "$1")
	if strings.Contains(codeSpan.ReplaceAllString(bare, ""), "](") {
		p.broken = append(p.broken, n)
	}
	for _, m := range codeSpan.FindAllStringSubmatch(bare, -1) {
		p.spans = append(p.spans, span{n, strings.TrimSpace(m[1] + m[2])})
	}
	p.words = append(p.words, span{n, codeSpan.ReplaceAllString(bare, " ")})
}

// row takes the last cell of a table's row. The first row of a table is its header, the
// second a rule.
func (p *page) row(n int, line string) {
	cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	last := strings.TrimSpace(cells[len(cells)-1])
	if !strings.HasPrefix(line, "|") {
		p.table = nil
		return
	}
	p.table = append(p.table, last)
	if head := p.table[0]; len(p.table) > 2 && (head == "proof" || head == "test") {
		p.proofs = append(p.proofs, span{n, last})
	}
}

func within(ranges [][]int, at int) bool {
	for _, r := range ranges {
		if r[0] <= at && at < r[1] {
			return true
		}
	}
	return false
}

// slug is the anchor that code hosts give a heading: lower case, punctuation dropped, each
// space a hyphen.
func slug(title string) string {
	title = strings.ReplaceAll(inline.ReplaceAllString(title, "$1"), "`", "")
	var b strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(title)) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}
