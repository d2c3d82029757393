package docscheck

import (
	"fmt"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// sketch marks a block of Go, after the word go, that is cut from no file: an outline or a
// mistake to look at. It has to parse.
const sketch = "sketch"

// elision stands in a block for lines of the source that are left out.
const elision = "// ..."

// check returns what is wrong with the pages, each as path:line: what.
func (t *tree) check() []string {
	var problems []string
	for _, p := range t.pages {
		complain := func(line int, format string, args ...any) {
			problems = append(problems, fmt.Sprintf("%s:%d: %s", p.path, line, fmt.Sprintf(format, args...)))
		}
		for _, b := range p.blocks {
			t.checkBlock(b, complain)
		}
		for _, l := range p.links {
			t.checkLink(p.path, l, complain)
		}
		for _, line := range p.broken {
			complain(line, "the link begins on the line before, where it is not seen: write it on one line")
		}
		for _, s := range slices.Concat(p.spans, p.words) {
			t.checkTests(s, complain)
		}
		for _, s := range p.proofs {
			if !mention.MatchString(s.text) {
				complain(s.line, "the row names no test")
			}
		}
		for _, s := range p.spans {
			t.checkNames(s, complain)
			t.checkTargets(s, complain)
		}
	}
	problems = append(problems, t.checkDecisions()...)
	slices.Sort(problems)
	return problems
}

// decision is the path of a decision record, with its number.
var decision = regexp.MustCompile(`^docs/adr/0*(\d+)-[a-z0-9-]+\.md$`)

// checkDecisions wants each decision record to have a number of its own, in its name and in its
// title.
func (t *tree) checkDecisions() (problems []string) {
	seen := map[string]string{}
	for _, p := range t.pages {
		m := decision.FindStringSubmatch(p.path)
		switch {
		case path.Dir(p.path) != "docs/adr":
		case m == nil:
			problems = append(problems, p.path+": a decision is named by a number and words, as 0001-some-words.md")
		case seen[m[1]] != "":
			problems = append(problems, fmt.Sprintf("%s: %s has this number already", p.path, seen[m[1]]))
		case !strings.HasPrefix(p.title, m[1]+". "):
			problems = append(problems, fmt.Sprintf("%s: the title is %q, and must begin with %q", p.path, p.title, m[1]+". "))
		default:
			seen[m[1]] = p.path
		}
	}
	return problems
}

type complaint func(line int, format string, args ...any)

func (t *tree) checkBlock(b block, complain complaint) {
	language, mark, _ := strings.Cut(b.info, " ")
	switch {
	case b.info == "unclosed":
		complain(b.line, "the block has no closing fence")
	case language == "":
		complain(b.line, "the block has no language: write go, sh, text or what it is after the backquotes")
	case language == "sh":
		for i, line := range strings.Split(b.text, "\n") {
			t.checkTargets(span{b.line + 1 + i, strings.TrimPrefix(line, "$ ")}, complain)
		}
	case language != "go":
	case mark == sketch:
		if err := parseGo(b.text); err != nil {
			complain(b.line, "the sketch does not parse: %v", err)
		}
	case mark != "":
		complain(b.line, "unknown mark %q after go: %s is the only one", mark, sketch)
	case !t.cut(b.text):
		complain(b.line, "the Go code is in no source file: cut it from an Example function, or mark the block go %s", sketch)
	}
}

// cut says whether some source file holds the pieces of text between elisions, in order.
func (t *tree) cut(text string) bool {
	var pieces [][]string
	piece := []string{}
	for _, line := range append(flat(text), elision) {
		if line != elision {
			piece = append(piece, line)
		} else if len(piece) > 0 {
			pieces = append(pieces, piece)
			piece = nil
		}
	}
	return len(pieces) > 0 && slices.ContainsFunc(t.sources, func(s source) bool {
		from := 0
		for _, p := range pieces {
			next, ok := s.holds(p, from)
			if !ok {
				return false
			}
			from = next
		}
		return true
	})
}

// parseGo parses a file, declarations or statements.
func parseGo(text string) error {
	var first error
	for _, frame := range []string{"%s", "package p\n%s", "package p\nfunc _() {\n%s\n}"} {
		_, err := parser.ParseFile(token.NewFileSet(), "", fmt.Sprintf(frame, text), parser.SkipObjectResolution)
		if err == nil {
			return nil
		}
		first = err // that of the last frame: statements are the usual case
	}
	return first
}

func (t *tree) checkLink(from string, l link, complain complaint) {
	if strings.Contains(l.target, "://") || strings.HasPrefix(l.target, "mailto:") {
		return
	}
	file, anchor, hasAnchor := strings.Cut(l.target, "#")
	to := from
	if file != "" {
		to = path.Join(path.Dir(from), file)
	}
	switch {
	case l.target == "":
		complain(l.line, "the link %q leads nowhere", l.text)
	case strings.HasPrefix(file, "/") || strings.HasPrefix(to, ".."):
		complain(l.line, "the link to %s leaves the repository", l.target)
	case !t.files[to]:
		complain(l.line, "the link to %s leads to nothing: there is no %s", l.target, to)
	case hasAnchor && path.Ext(to) != markdown:
		complain(l.line, "the link to %s has an anchor, which only Markdown files have; lines move", l.target)
	case hasAnchor && !slices.Contains(t.anchors[to], anchor):
		complain(l.line, "the link to %s leads to no heading of %s", l.target, to)
	}
	name, _, _ := strings.Cut(strings.Trim(l.text, "`"), "/")
	if !testName.MatchString(name) || strings.Contains(name, " ") || !t.files[to] {
		return
	}
	if !slices.ContainsFunc(t.tests[name], func(file string) bool { return file == to || path.Dir(file) == to }) {
		complain(l.line, "%s is not in %s", name, to)
	}
}

// mention is a test's name in running text, with a subtest perhaps.
var mention = regexp.MustCompile(`\b(?:Test|Example|Benchmark|Fuzz)[A-Z_][A-Za-z0-9_]*(?:/[^\s,;)]+)?`)

func (t *tree) checkTests(s span, complain complaint) {
	for _, m := range mention.FindAllString(s.text, -1) {
		name, sub, _ := strings.Cut(strings.TrimRight(m, "."), "/")
		if len(t.tests[name]) == 0 {
			complain(s.line, "there is no %s", name)
		} else if sub != "" && !t.subtests[sub] {
			complain(s.line, "%s has no subtest %s", name, sub)
		}
	}
}

// qualified is a name with its package, and a field or method perhaps.
var qualified = regexp.MustCompile(`\b([a-z][a-z0-9]*)\.([A-Z]\w*)(?:\.([A-Z]\w*))?`)

func (t *tree) checkNames(s span, complain complaint) {
	for _, m := range qualified.FindAllStringSubmatch(s.text, -1) {
		names, ours := t.members[m[1]]
		switch {
		case !ours:
		case !names[m[2]]:
			complain(s.line, "package %s has no %s", m[1], m[2])
		case m[3] != "" && !names[m[2]+"."+m[3]]:
			complain(s.line, "%s.%s has no %s", m[1], m[2], m[3])
		}
	}
}

// command is a call of make with its first target.
var command = regexp.MustCompile(`^make(?: [A-Z]\w*=\S*)*(?: -C \S+)? ([a-z][\w-]*)`)

func (t *tree) checkTargets(s span, complain complaint) {
	if m := command.FindStringSubmatch(s.text); m != nil && t.targets != nil && !t.targets[m[1]] {
		complain(s.line, "the Makefile has no target %s", m[1])
	}
}
