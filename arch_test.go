package once_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The house rules, as data. The checks are in archcheck_test.go, and archcheck_proof_test.go shows
// that each of them can fail.

// requirements are all that the root module may need, tests included.
func requirements() []string {
	return []string{
		"github.com/cenkalti/backoff/v4",
		"github.com/dunglas/httpsfv",
		"github.com/google/uuid",
		"github.com/sony/gobreaker/v2",
	}
}

// arrows say which packages of ours each package of the root module may import. A package without
// a row fails, so that a new one gets its place in the map before it gets users.
func arrows() map[string][]string {
	return map[string][]string{
		"":                      nil,
		"retry":                 nil,
		"idem":                  nil,
		"idem/idemtest":         {"idem", "idem/internal/model"},
		"idem/internal/model":   {"idem"},
		"idem/idemsql":          {"idem"},
		"outbox":                {"retry"},
		"outbox/outboxtest":     {"outbox", "retry"},
		"outbox/outboxsql":      {"outbox"},
		"outbox/outboxhttp":     {"outbox", "retry"},
		"httpmw":                {"idem", "retry"},
		"httpmw/httpmwtest":     nil,
		"internal/docscheck":    nil,
		"internal/testservices": nil,
	}
}

// kits are packages that exist for tests. They may import testing; nothing that runs in production
// may import them.
func kits() []string {
	return []string{
		"idem/idemtest",
		"outbox/outboxtest",
		"httpmw/httpmwtest",
		"internal/testservices",
		"internal/faultproxy",
	}
}

// testModules are nested modules that nobody depends on and that measure or test the others; they
// may use the kits and the root's internal packages in code that is not in a test file.
func testModules() []string { return []string{"benchmarks", "internal/integration"} }

// layers of the monitoring module, inside out. A package may import its own layer's prefix only as
// far as the second field says, and every layer before it.
func layers() []layer {
	return []layer{
		{prefix: "domain", siblings: true},
		{prefix: "app", siblings: true},
		{prefix: "yamldoc"},
		{prefix: "infra"}, // one technology each: they do not know each other
		{prefix: "web"},
		{prefix: "cmd", siblings: true},
	}
}

func TestArrowsBetweenPackages(t *testing.T) {
	w := loadWorkspace(t)
	complain(t, checkArrows(w, arrows()))
}

func TestMonitoringLayers(t *testing.T) {
	w := loadWorkspace(t)
	complain(t, checkLayers(w, "monitoring", layers()))
}

func TestNestedModulesUseNoInternalsOfTheRoot(t *testing.T) {
	w := loadWorkspace(t)
	complain(t, checkInternals(w, testModules()))
}

func TestNoTestCodeInProduction(t *testing.T) {
	w := loadWorkspace(t)
	complain(t, checkTestCode(w, kits(), testModules()))
}

func TestRootRequiresFourModules(t *testing.T) {
	goMod := run(t, "go", "mod", "edit", "-json")
	problems, err := checkRequirements(goMod, requirements())
	if err != nil {
		t.Fatal(err)
	}
	complain(t, problems)

	// What is really built, tests included, with the workspace out of the way.
	out := run(t, "go", "list", "-deps", "-test", "-f", "{{with .Module}}{{.Path}}{{end}}", "./...")
	allowed := append(requirements(), loadWorkspace(t).root)
	for line := range strings.Lines(string(out)) {
		if m := strings.TrimSpace(line); m != "" && !slices.Contains(allowed, m) {
			t.Errorf("the root module builds or tests with %s; only the standard library and %v may be used", m, requirements())
		}
	}
}

func TestNoInitAndNoMutableGlobals(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		complain(t, checkState(fset, file))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func complain(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

// loadWorkspace lists the packages of every module in go.work.
func loadWorkspace(t *testing.T) workspace {
	t.Helper()
	if _, err := os.Stat("go.work"); err != nil {
		t.Skip("the root module is alone, without its workspace")
	}
	// go list reads the sources in a process of its own, which the test cache does not see. Opening
	// them here makes a cached result stale when they change.
	touch(t)
	w := workspace{root: strings.TrimSpace(string(run(t, "go", "list", "-m")))}
	if modules := inWorkspace(t, "go", "list", "-m"); bytes.Count(modules, []byte("\n")) < 2 {
		t.Fatalf("the workspace has only %s", modules)
	}
	dec := json.NewDecoder(bytes.NewReader(inWorkspace(t, "go", "list", "-json=ImportPath,Name,Dir,Module,Imports,Deps", "work")))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return w
		} else if err != nil {
			t.Fatal(err)
		}
		w.pkgs = append(w.pkgs, p)
	}
}

func touch(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return filepath.SkipDir
		}
		if name := d.Name(); strings.HasSuffix(name, ".go") || name == "go.mod" || name == "go.work" {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			return f.Close()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a command in the root module, outside the workspace.
func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	return output(t, cmd)
}

// inWorkspace runs a command in the workspace, whatever the environment says.
func inWorkspace(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "GOWORK=") })
	return output(t, cmd)
}

func output(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, stderr.Bytes())
	}
	return out
}
