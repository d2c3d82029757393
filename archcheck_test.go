package once_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// workspace is what go list says of every module in go.work.
type workspace struct {
	root string // path of the root module
	pkgs []pkg
}

// pkg is one package; imports and dependencies are those of its non-test files.
type pkg struct {
	ImportPath string
	Name       string
	Module     struct{ Path string }
	Imports    []string // direct
	Deps       []string // all
}

// rel is path without the prefix of module; ok is false if it lies elsewhere.
func rel(module, path string) (string, bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

// inside reports whether path is prefix or below it.
func inside(prefix, path string) bool {
	_, ok := rel(prefix, path)
	return ok
}

// checkArrows compares the imports of the root module's packages with the table.
func checkArrows(w workspace, table map[string][]string) (problems []string) {
	for _, p := range w.pkgs {
		if p.Module.Path != w.root {
			continue
		}
		from, _ := rel(w.root, p.ImportPath)
		allowed, known := table[from]
		if !known {
			problems = append(problems, fmt.Sprintf("package %q has no row in arrows(): say what it may import", from))
			continue
		}
		for _, imp := range p.Imports {
			if to, ours := rel(w.root, imp); ours && !slices.Contains(allowed, to) {
				problems = append(problems, fmt.Sprintf("%s imports %s; it may import %v of ours", from, to, allowed))
			}
		}
	}
	return problems
}

// layer is a folder of the monitoring module.
type layer struct {
	prefix   string
	siblings bool // packages of the layer may import each other
}

// checkLayers checks that module's packages import inwards only.
func checkLayers(w workspace, module string, order []layer) (problems []string) {
	module = w.root + "/" + module
	rank := func(path string) int {
		return slices.IndexFunc(order, func(l layer) bool { return inside(l.prefix, path) })
	}
	for _, p := range w.pkgs {
		from, ours := rel(module, p.ImportPath)
		if !ours {
			continue
		}
		r := rank(from)
		if r < 0 {
			problems = append(problems, fmt.Sprintf("%s/%s is in none of the layers of layers()", module, from))
			continue
		}
		for _, imp := range p.Imports {
			to, ours := rel(module, imp)
			if !ours {
				continue
			}
			switch s := rank(to); {
			case s > r:
				problems = append(problems, fmt.Sprintf("%s imports %s: %s must not know %s", from, to, order[r].prefix, order[s].prefix))
			case s == r && !order[r].siblings:
				problems = append(problems, fmt.Sprintf("%s imports %s: packages of %s do not know each other", from, to, order[r].prefix))
			}
		}
	}
	return problems
}

// checkInternals checks that nested modules can be upgraded apart from the root: their run-time
// code imports nothing of its internal folder.
func checkInternals(w workspace, exempt []string) (problems []string) {
	for _, p := range w.pkgs {
		if p.Module.Path == w.root || exempted(w, p, exempt) {
			continue
		}
		for _, imp := range p.Imports {
			if inside(w.root+"/internal", imp) {
				problems = append(problems, fmt.Sprintf("%s, of a nested module, imports %s", p.ImportPath, imp))
			}
		}
	}
	return problems
}

// checkTestCode checks that no run-time package imports the testing package or pulls in a kit. What
// other people's modules import for themselves is theirs to answer for.
func checkTestCode(w workspace, kits, exempt []string) (problems []string) {
	isKit := func(path string) bool {
		to, ours := rel(w.root, path)
		return ours && slices.ContainsFunc(kits, func(k string) bool { return inside(k, to) })
	}
	for _, p := range w.pkgs {
		if isKit(p.ImportPath) || exempted(w, p, exempt) {
			continue
		}
		for _, imp := range p.Imports {
			if inside("testing", imp) || imp == "net/http/httptest" {
				problems = append(problems, fmt.Sprintf("%s imports %s outside its tests", p.ImportPath, imp))
			}
		}
		for _, dep := range p.Deps {
			if isKit(dep) {
				problems = append(problems, fmt.Sprintf("%s depends on %s outside its tests", p.ImportPath, dep))
			}
		}
	}
	return problems
}

func exempted(w workspace, p pkg, modules []string) bool {
	return slices.ContainsFunc(modules, func(m string) bool { return p.Module.Path == w.root+"/"+m })
}

// checkRequirements checks go.mod, as go mod edit -json prints it.
func checkRequirements(goMod []byte, want []string) (problems []string, err error) {
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Replace, Exclude, Tool []json.RawMessage
	}
	if err := json.Unmarshal(goMod, &mod); err != nil {
		return nil, fmt.Errorf("go mod edit -json: %w", err)
	}
	for _, r := range mod.Require {
		if !slices.Contains(want, r.Path) {
			problems = append(problems, fmt.Sprintf("go.mod requires %s; only %v may be", r.Path, want))
		} else if r.Indirect {
			problems = append(problems, fmt.Sprintf("go.mod requires %s indirectly: nothing uses it", r.Path))
		}
	}
	if len(mod.Require) < len(want) {
		problems = append(problems, fmt.Sprintf("go.mod requires %d modules, want %v", len(mod.Require), want))
	}
	if n := len(mod.Replace) + len(mod.Exclude) + len(mod.Tool); n > 0 {
		problems = append(problems, "go.mod has replace, exclude or tool lines; a library's users do not see the first two, and tools raise requirements")
	}
	return problems, nil
}

// checkState finds what makes a package behave differently from one import to the next. A file may
// have neither an init function nor an import for its side effects (embed and, in a command, drivers
// excepted), and of package-level variables only those that nothing can change:
//
//   - sentinel errors, made by errors.New or of an empty struct type, and aliases of a sentinel
//     of another package;
//   - compile-time assertions, named _;
//   - files embedded as embed.FS or string;
//   - compiled constants whose types cannot be changed in use: regexp.MustCompile,
//     template.Must, strings.NewReplacer.
//
// A table is a function with a switch, or one that returns a fresh value.
func checkState(fset *token.FileSet, file *ast.File) (problems []string) {
	complain := func(n ast.Node, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s: ", fset.Position(n.Pos()))+fmt.Sprintf(format, args...))
	}
	for _, imp := range file.Imports {
		if imp.Name != nil && imp.Name.Name == "_" && imp.Path.Value != `"embed"` && file.Name.Name != "main" {
			complain(imp, "import of %s for its side effects", imp.Path.Value)
		}
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				complain(d, "init function")
			}
		case *ast.GenDecl:
			if d.Tok != token.VAR {
				continue
			}
			for _, spec := range d.Specs {
				v, ok := spec.(*ast.ValueSpec)
				if !ok {
					continue
				}
				embedded := isEmbed(d.Doc) || isEmbed(v.Doc)
				for i, name := range v.Names {
					fixed := name.Name == "_" || embedded && unchangeableEmbed(v.Type) || i < len(v.Values) && constant(v.Values[i])
					if !fixed {
						complain(name, "package variable %s can change; make it a constant or a function", name.Name)
					}
				}
			}
		}
	}
	return problems
}

func isEmbed(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

func unchangeableEmbed(typ ast.Expr) bool {
	name := exprName(typ)
	return name == "embed.FS" || name == "string"
}

// constant reports whether e makes a value that cannot be changed in use.
func constant(e ast.Expr) bool {
	if lit, ok := e.(*ast.CompositeLit); ok {
		return strings.HasSuffix(exprName(lit.Type), "Error") && len(lit.Elts) == 0
	}
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return strings.HasPrefix(exprSelector(e), "Err") // an alias of another package's sentinel
	}
	return slices.Contains([]string{"errors.New", "regexp.MustCompile", "template.Must", "strings.NewReplacer"}, exprName(call.Fun))
}

// exprName is e as written, for a name or a package's name.
func exprName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok {
			return x.Name + "." + e.Sel.Name
		}
	}
	return ""
}

// exprSelector is the name after the dot.
func exprSelector(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		return s.Sel.Name
	}
	return ""
}
