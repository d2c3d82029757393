package docscheck

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// tree is what the checks know of a checkout.
type tree struct {
	files    map[string]bool            // paths of all files and folders
	pages    []page                     // the Markdown files to check
	anchors  map[string][]string        // of every Markdown file
	sources  []source                   // Go files
	tests    map[string][]string        // name of a test function → files that declare it
	subtests map[string]bool            // string literals of test files, as the testing package writes them
	members  map[string]map[string]bool // package name → exported names, with fields and methods as T.F
	targets  map[string]bool            // of the Makefile; nil if there is none
}

// source is a Go file as lines without indentation, blank lines left out.
type source struct {
	path  string
	lines []string
}

const markdown = ".md"

// load reads a checkout. Of hidden folders and testdata it takes note, but reads nothing.
func load(fsys fs.FS) (*tree, error) {
	t := &tree{
		files: map[string]bool{}, anchors: map[string][]string{}, tests: map[string][]string{},
		subtests: map[string]bool{}, members: map[string]map[string]bool{},
	}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		t.files[name] = true
		if d.IsDir() {
			if d.Name() == ".git" || d.Name() == ".bin" {
				return fs.SkipDir
			}
			return nil
		}
		if aside(path.Dir(name)) {
			return nil
		}
		data, err := read(fsys, name)
		if err != nil || data == nil {
			return err
		}
		return t.add(name, string(data))
	})
	if err != nil {
		return nil, fmt.Errorf("docscheck: %w", err)
	}
	return t, nil
}

// aside says whether a folder, or one above it, is hidden or holds test data.
func aside(dir string) bool {
	return slices.ContainsFunc(strings.Split(dir, "/"), func(d string) bool {
		return d == "testdata" || len(d) > 1 && d[0] == '.'
	})
}

// read returns the content of the files that matter, and nil for others.
func read(fsys fs.FS, name string) ([]byte, error) {
	switch path.Ext(name) {
	case ".go", markdown:
	default:
		if name != "Makefile" {
			return nil, nil
		}
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return append([]byte{}, data...), nil // not nil, even if it is empty
}

func (t *tree) add(name, text string) error {
	switch path.Ext(name) {
	case markdown:
		p := parsePage(name, text)
		t.anchors[name] = p.anchors
		if checked(name) {
			t.pages = append(t.pages, p)
		}
	case ".go":
		return t.addSource(name, text)
	default:
		t.targets = map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^([A-Za-z][\w-]*):`).FindAllStringSubmatch(text, -1) {
			t.targets[m[1]] = true
		}
	}
	return nil
}

// checked says which Markdown files are held to the rules: those at the top and those
// below docs.
func checked(name string) bool {
	return !strings.Contains(name, "/") || strings.HasPrefix(name, "docs/")
}

func (t *tree) addSource(name, text string) error {
	t.sources = append(t.sources, source{name, flat(text)})
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	if strings.HasSuffix(name, "_test.go") {
		t.addTests(name, file)
		return nil
	}
	if file.Name.Name != "main" {
		t.addMembers(file)
	}
	return nil
}

// testName is how the testing package knows its functions.
var testName = regexp.MustCompile(`^(Test|Example|Benchmark|Fuzz)(_|[A-Z]|$)`)

func (t *tree) addTests(name string, file *ast.File) {
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && testName.MatchString(f.Name.Name) {
			t.tests[f.Name.Name] = append(t.tests[f.Name.Name], name)
		}
	}
	t.addLiterals(file)
}

// addLiterals notes what may be the name of a subtest.
func (t *tree) addLiterals(file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && len(text) < 200 {
				t.subtests[strings.ReplaceAll(text, " ", "_")] = true
			}
		}
		return true
	})
}

// addMembers notes what a package exports. Conformance kits name their cases in code that is
// not in test files.
func (t *tree) addMembers(file *ast.File) {
	t.addLiterals(file)
	names := t.members[file.Name.Name]
	if names == nil {
		names = map[string]bool{}
		t.members[file.Name.Name] = names
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				names[d.Name.Name] = true
			} else {
				names[receiver(d.Recv.List[0].Type)+"."+d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.ValueSpec:
					for _, n := range s.Names {
						names[n.Name] = true
					}
				case *ast.TypeSpec:
					names[s.Name.Name] = true
					for _, n := range inside(s.Type) {
						names[s.Name.Name+"."+n] = true
					}
				}
			}
		}
	}
}

// receiver is the name of the type that a method belongs to.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// inside names the fields of a struct, or the methods of an interface.
func inside(e ast.Expr) []string {
	var list *ast.FieldList
	switch e := e.(type) {
	case *ast.StructType:
		list = e.Fields
	case *ast.InterfaceType:
		list = e.Methods
	default:
		return nil
	}
	var names []string
	for _, f := range list.List {
		for _, n := range f.Names {
			names = append(names, n.Name)
		}
	}
	return names
}

// flat is text as lines without indentation, blank lines left out.
func flat(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// holds says whether the source has the lines in a row, from line from on, and where it goes
// on after them.
func (s source) holds(lines []string, from int) (next int, ok bool) {
	for i := from; i+len(lines) <= len(s.lines); i++ {
		if slices.Equal(s.lines[i:i+len(lines)], lines) {
			return i + len(lines), true
		}
	}
	return 0, false
}
