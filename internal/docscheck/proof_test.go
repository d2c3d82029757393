package docscheck

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"
)

// A check that cannot fail proves nothing. Each of these adds a page to one small checkout: some
// keep the rules, the others break one of them.

func checkout(files map[string]string) fstest.MapFS {
	all := map[string]string{
		"Makefile": "test: ## run the tests\n\tgo test ./...\n",
		"idem/idem.go": `package idem

type Config struct{ Keep int }

func (c *Config) Check() error { return nil }

func New(c Config) {}

const Forever = -1
`,
		"idem/example_test.go": `package idem_test

func Example() {
	c := idem.Config{
		Keep: 1,
	}

	idem.New(c)
	c.Check()
	// Output:
}

func TestTwice(t *testing.T) {
	t.Run("second call runs nothing", func(t *testing.T) {})
}
`,
		"docs/other.md": "# A heading, with `code`\n\n## Twice\n\n## Twice\n\n<a id=\"here\"></a>\n",
		".hidden/x.go":  "not Go",
	}
	maps.Copy(all, files)
	fsys := fstest.MapFS{}
	for name, text := range all {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestChecks(t *testing.T) {
	const fence = "```"
	for name, c := range map[string]struct{ page, want string }{
		"cut": {page: fence + "go\nc := idem.Config{\n\tKeep: 1,\n}\nidem.New(c)\n" + fence},
		"cut with something left out": {
			page: fence + "go\nfunc Example() {\n\t// ...\n\tidem.New(c)\n}\n" + fence,
			want: "docs/page.md:1: the Go code is in no source file", // the source goes on after New
		},
		"cut in order":        {page: fence + "go\nc := idem.Config{\n\t// ...\n}\nidem.New(c)\n" + fence},
		"cut out of order":    {page: fence + "go\nidem.New(c)\n// ...\nc := idem.Config{\n" + fence, want: "in no source file"},
		"indented fence":      {page: "1. First:\n\n   " + fence + "go\n   idem.New(c)\n   " + fence},
		"not cut":             {page: fence + "go\nc := idem.Config{Keep: 2}\n" + fence, want: "in no source file"},
		"last line differs":   {page: fence + "go\nidem.New(c)\nidem.Old(c)\n" + fence, want: "in no source file"},
		"empty block":         {page: fence + "go\n" + fence, want: "in no source file"},
		"cut from a page":     {page: fence + "go\nnot Go\n" + fence, want: "in no source file"},
		"sketch of statement": {page: fence + "go sketch\nfor { again() }\n" + fence},
		"sketch of function":  {page: fence + "go sketch\nfunc f() {}\n" + fence},
		"sketch of file":      {page: fence + "go sketch\npackage main\n\nfunc main() {}\n" + fence},
		"sketch with a fault": {page: fence + "go sketch\nfor { again(\n" + fence, want: "does not parse"},
		"unknown mark":        {page: fence + "go skip\nx\n" + fence, want: `unknown mark "skip"`},
		"no language":         {page: fence + "\nx\n" + fence, want: "has no language"},
		"unclosed":            {page: "text\n\n" + fence + "go\nidem.New(c)\n", want: "docs/page.md:3: the block has no closing fence"},
		"another language":    {page: fence + "yaml\na: [not, go]\n" + fence},

		"link to a file":       {page: "[x](../idem/idem.go)"},
		"link to a folder":     {page: "[x](../idem)"},
		"link to a hidden one": {page: "[x](../.hidden/x.go)"},
		"link elsewhere":       {page: "[x](https://example.com/nothing#here), <mailto:a@example.com>"},
		"link in code":         {page: "`[x](nowhere.md)`\n\n" + fence + "text\n[x](nowhere.md)\n" + fence},
		"link to nothing":      {page: "[x](nowhere.md)", want: "there is no docs/nowhere.md"},
		"second link":          {page: "[x](other.md) and [y](nowhere.md)", want: "there is no docs/nowhere.md"},
		"link without target":  {page: "[x]()", want: "leads nowhere"},
		"link over two lines":  {page: "a [long\nlink](other.md)", want: "docs/page.md:2: the link begins on the line before"},
		"link out":             {page: "[x](../../other.md)", want: "leaves the repository"},
		"link to the root":     {page: "[x](/docs/other.md)", want: "leaves the repository"},
		"reference":            {page: "[x]: other.md"},
		"reference to nothing": {page: "text\n[x]: nowhere.md", want: "docs/page.md:2: the link to nowhere.md"},
		"image":                {page: "![x](nowhere.png)", want: "there is no docs/nowhere.png"},
		"anchor":               {page: "[x](other.md#a-heading-with-code) [y](other.md#twice-1) [z](other.md#here)"},
		"anchor in the page":   {page: "# Über-Title?\n\n[x](#über-title)"},
		"anchor to nothing":    {page: "[x](other.md#no-heading)", want: "leads to no heading of docs/other.md"},
		"anchor in code block": {page: fence + "sh\n# title\n" + fence + "\n[x](#title)", want: "leads to no heading"},
		"anchor in a source":   {page: "[x](../idem/idem.go#L3)", want: "lines move"},

		"test":                     {page: "`TestTwice` shows it"},
		"test, linked":             {page: "[TestTwice](../idem/example_test.go), [`TestTwice`](../idem)"},
		"subtest":                  {page: "`TestTwice/second_call_runs_nothing`"},
		"no test":                  {page: "`TestThrice`", want: "there is no TestThrice"},
		"no test, in prose":        {page: "see TestThrice.", want: "there is no TestThrice"},
		"no test, linked":          {page: "[TestTwice](../idem/idem.go)", want: "TestTwice is not in idem/idem.go"},
		"no subtest":               {page: "`TestTwice/third_call`", want: "no subtest third_call"},
		"a word that is no test":   {page: "Testing is work, and a Test is not; Testimony"},
		"proof":                    {page: "| promise | proof |\n|---|:--|\n| a | `TestTwice` |\n| b | [TestTwice](../idem) |"},
		"no proof":                 {page: "| promise | proof |\n|---|---|\n| a | `TestTwice` |\n| b | later |", want: "docs/page.md:4: the row names no test"},
		"no proof, second table":   {page: "| a | b |\n|---|---|\n| c | d |\n\n| a | test |\n|---|---|\n| b | |", want: "docs/page.md:7: the row names no test"},
		"name":                     {page: "`idem.Config.Keep`, `(*idem.Config).Check`, `idem.Config.Check`, `idem.Forever`, `fmt.Nothing`"},
		"no name":                  {page: "`idem.Conf`", want: "package idem has no Conf"},
		"no field":                 {page: "`idem.Config.Held`", want: "idem.Config has no Held"},
		"make":                     {page: "`make test TESTFLAGS=-v`\n\n" + fence + "sh\n$ make test\nmake CI=1 test\n" + fence},
		"make nothing":             {page: "`make everything`", want: "no target everything"},
		"make nothing, in a block": {page: fence + "sh\nmake test\nmake everything\n" + fence, want: "docs/page.md:3: the Makefile has no target"},
	} {
		t.Run(name, func(t *testing.T) {
			tree, err := load(checkout(map[string]string{"docs/page.md": c.page}))
			if err != nil {
				t.Fatal(err)
			}
			problems := tree.check()
			switch {
			case c.want == "" && len(problems) > 0:
				t.Errorf("problems = %q, want none", problems)
			case c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0], c.want)):
				t.Errorf("problems = %q, want one with %q", problems, c.want)
			}
		})
	}
}

func TestDecisionsAreNumbered(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"kept":            {files: map[string]string{"docs/adr/0001-x.md": "# 1. X", "docs/adr/0010-y.md": "# 10. Y"}},
		"number twice":    {files: map[string]string{"docs/adr/0001-x.md": "# 1. X", "docs/adr/0001-y.md": "# 1. Y"}, want: "docs/adr/0001-y.md: docs/adr/0001-x.md has"},
		"another's title": {files: map[string]string{"docs/adr/0002-x.md": "# 1. X"}, want: `must begin with "2. "`},
		"no number":       {files: map[string]string{"docs/adr/x.md": "# X"}, want: "is named by a number"},
	} {
		t.Run(name, func(t *testing.T) {
			tree, err := load(checkout(c.files))
			if err != nil {
				t.Fatal(err)
			}
			problems := tree.check()
			if c.want == "" && len(problems) > 0 || c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0], c.want)) {
				t.Errorf("problems = %q, want %q", problems, c.want)
			}
		})
	}
}

func TestWhichPagesAreChecked(t *testing.T) {
	const bad = "[x](nowhere.md)"
	for name, want := range map[string]int{
		"README.md": 1, "docs/x/y.md": 1, "idem/notes.md": 0, ".github/x.md": 0, "docs/testdata/x.md": 0,
	} {
		tree, err := load(checkout(map[string]string{name: bad}))
		if err != nil {
			t.Fatal(err)
		}
		if problems := tree.check(); len(problems) != want {
			t.Errorf("%s: problems = %q, want %d", name, problems, want)
		}
	}
}

func TestSourceThatDoesNotParseIsAnError(t *testing.T) {
	if _, err := load(checkout(map[string]string{"idem/bad.go": "package"})); err == nil {
		t.Error("want an error")
	}
}
