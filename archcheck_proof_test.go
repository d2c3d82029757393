package once_test

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// A check that cannot fail proves nothing. Each of these shows a check one tree that keeps the rule
// and some that break it.

// pk makes a package of the module m, "" being the root module.
func pk(module, path string, imports ...string) pkg {
	p := pkg{ImportPath: strings.TrimSuffix("m/"+path, "/"), Imports: imports, Deps: imports}
	p.Module.Path = strings.TrimSuffix("m/"+module, "/")
	return p
}

// wantProblem fails unless problems is one text that contains want; an empty want stands for none.
func wantProblem(t *testing.T, problems []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(problems) > 0:
		t.Errorf("problems = %q, want none", problems)
	case want != "" && (len(problems) != 1 || !strings.Contains(problems[0], want)):
		t.Errorf("problems = %q, want one with %q", problems, want)
	}
}

func TestCheckArrows(t *testing.T) {
	table := map[string][]string{"retry": nil, "idem": nil, "httpmw": {"idem", "retry"}}
	for name, c := range map[string]struct {
		p    pkg
		want string
	}{
		"kept":              {p: pk("", "httpmw", "m/idem", "m/retry", "net/http")},
		"another module's":  {p: pk("nested", "nested/x", "m/idem")},
		"similar prefix":    {p: pk("", "retry", "more/idem")},
		"broken":            {p: pk("", "idem", "m/retry"), want: "idem imports retry"},
		"to the root":       {p: pk("", "retry", "m"), want: "retry imports "},
		"to something new":  {p: pk("", "retry", "m/internal/util"), want: "retry imports internal/util"},
		"package not known": {p: pk("", "util"), want: `"util" has no row`},
	} {
		t.Run(name, func(t *testing.T) {
			wantProblem(t, checkArrows(workspace{root: "m", pkgs: []pkg{c.p}}, table), c.want)
		})
	}
}

func TestCheckLayers(t *testing.T) {
	order := []layer{{prefix: "domain", siblings: true}, {prefix: "app"}, {prefix: "infra"}, {prefix: "cmd"}}
	for name, c := range map[string]struct {
		p    pkg
		want string
	}{
		"kept":                 {p: pk("mon", "mon/infra/sql", "m/mon/app", "m/mon/domain", "m/idem")},
		"wiring":               {p: pk("mon", "mon/cmd/monitor", "m/mon/infra/sql", "m/mon/infra/http")},
		"siblings":             {p: pk("mon", "mon/domain/rule", "m/mon/domain/sample")},
		"another module":       {p: pk("", "x", "m/mon/infra/sql")},
		"domain knows app":     {p: pk("mon", "mon/domain", "m/mon/app"), want: "domain must not know app"},
		"app knows infra":      {p: pk("mon", "mon/app", "m/mon/infra/sql"), want: "app must not know infra"},
		"infra knows infra":    {p: pk("mon", "mon/infra/sql", "m/mon/infra/http"), want: "do not know each other"},
		"infra knows wiring":   {p: pk("mon", "mon/infra/sql", "m/mon/cmd/monitor"), want: "infra must not know cmd"},
		"outside of the plan":  {p: pk("mon", "mon/util"), want: "in none of the layers"},
		"at the module's root": {p: pk("mon", "mon"), want: "in none of the layers"},
	} {
		t.Run(name, func(t *testing.T) {
			wantProblem(t, checkLayers(workspace{root: "m", pkgs: []pkg{c.p}}, "mon", order), c.want)
		})
	}
}

func TestCheckInternals(t *testing.T) {
	for name, c := range map[string]struct {
		p    pkg
		want string
	}{
		"kept":          {p: pk("nested", "nested/x", "m/idem", "m/nested/internal/y")},
		"root's own":    {p: pk("", "idem", "m/internal/y")},
		"test module":   {p: pk("bench", "bench", "m/internal/testservices")},
		"broken":        {p: pk("nested", "nested/x", "m/internal/y"), want: "m/nested/x, of a nested module, imports m/internal/y"},
		"internal root": {p: pk("nested", "nested", "m/internal"), want: "imports m/internal"},
	} {
		t.Run(name, func(t *testing.T) {
			wantProblem(t, checkInternals(workspace{root: "m", pkgs: []pkg{c.p}}, []string{"bench"}), c.want)
		})
	}
}

func TestCheckTestCode(t *testing.T) {
	for name, c := range map[string]struct {
		p    pkg
		want string
	}{
		"kept":         {p: pk("", "idem", "net/http")},
		"the kit":      {p: pk("", "idem/idemtest", "testing", "m/idem")},
		"test module":  {p: pk("bench", "bench", "testing", "m/idem/idemtest")},
		"testing":      {p: pk("", "idem", "testing"), want: "m/idem imports testing"},
		"synctest":     {p: pk("", "idem", "testing/synctest"), want: "testing/synctest"},
		"httptest":     {p: pk("mon", "mon/cmd", "net/http/httptest"), want: "net/http/httptest"},
		"kit":          {p: pk("mon", "mon/cmd", "m/idem/idemtest"), want: "m/idem/idemtest"},
		"similar name": {p: pk("", "idem", "testingtime")},
	} {
		t.Run(name, func(t *testing.T) {
			wantProblem(t, checkTestCode(workspace{root: "m", pkgs: []pkg{c.p}}, []string{"idem/idemtest"}, []string{"bench"}), c.want)
		})
	}
}

func TestCheckRequirements(t *testing.T) {
	for name, c := range map[string]struct{ goMod, want string }{
		"kept":        {goMod: `{"Require":[{"Path":"a"},{"Path":"b"}]}`},
		"one more":    {goMod: `{"Require":[{"Path":"a"},{"Path":"b"},{"Path":"c","Indirect":true}]}`, want: "requires c"},
		"one missing": {goMod: `{"Require":[{"Path":"a"}]}`, want: "requires 1 modules"},
		"indirect":    {goMod: `{"Require":[{"Path":"a"},{"Path":"b","Indirect":true}]}`, want: "requires b indirectly"},
		"replaced":    {goMod: `{"Require":[{"Path":"a"},{"Path":"b"}],"Replace":[{"Old":{"Path":"a"}}]}`, want: "replace"},
		"tool":        {goMod: `{"Require":[{"Path":"a"},{"Path":"b"}],"Tool":[{"Path":"x"}]}`, want: "tool"},
	} {
		t.Run(name, func(t *testing.T) {
			problems, err := checkRequirements([]byte(c.goMod), []string{"a", "b"})
			if err != nil {
				t.Fatal(err)
			}
			wantProblem(t, problems, c.want)
		})
	}
}

func TestCheckState(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"sentinels":          {src: `package p; import "errors"; var ( ErrA = errors.New("a"); errB = errors.New("b") )`},
		"alias of sentinel":  {src: `package p; import "context"; var ErrGone = context.ErrGone`},
		"sentinel of a type": {src: `package p; var ErrA error = goneError{}`},
		"filled struct":      {src: `package p; var ErrA error = goneError{n: 1}`, want: "variable ErrA"},
		"assertions":         {src: `package p; var _ error = T{}`},
		"embedded":           {src: "package p\nimport \"embed\"\n//go:embed x\nvar files embed.FS\n//go:embed y\nvar text string"},
		"embedded in group":  {src: "package p\nimport \"embed\"\nvar (\n//go:embed x\nfiles embed.FS\n)"},
		"compiled":           {src: `package p; var re = regexp.MustCompile("a"); var page = template.Must(template.New("x").Parse(""))`},
		"constants":          {src: `package p; const A = 1; func f() { var x = 1; _ = x }`},
		"method init":        {src: `package p; func (T) init() {}`},
		"embed import":       {src: `package p; import _ "embed"`},
		"driver in command":  {src: `package main; import _ "driver"`},
		"init":               {src: `package p; func init() {}`, want: "init function"},
		"map":                {src: `package p; var m = map[string]int{}`, want: "variable m"},
		"zero value":         {src: `package p; var once sync.Once`, want: "variable once"},
		"second of a pair":   {src: `package p; import "errors"; var ErrA, n = errors.New("a"), 1`, want: "variable n"},
		"error by a call":    {src: `package p; var ErrA = makeError()`, want: "variable ErrA"},
		"function value":     {src: `package p; var now = time.Now`, want: "variable now"},
		"in a group":         {src: `package p; var ( _ error = T{}; cache []int )`, want: "variable cache"},
		"embedded bytes":     {src: "package p\nimport _ \"embed\"\n//go:embed x\nvar b []byte", want: "variable b"},
		"FS not embedded":    {src: `package p; var files embed.FS`, want: "variable files"},
		"driver in library":  {src: `package p; import _ "driver"`, want: "side effects"},
	} {
		t.Run(name, func(t *testing.T) {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, "p.go", c.src, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			wantProblem(t, checkState(fset, file), c.want)
		})
	}
}
