package idemsql

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// expanded returns the statements of the engine by name.
func expanded(t testing.TB, name string) map[string]string {
	t.Helper()
	e := sqlite()
	tab, err := e.parseTable(name)
	if err != nil {
		t.Fatal(err)
	}
	e = e.expand(tab)
	all := map[string]string{}
	for v, i := reflect.ValueOf(*e), 0; i < v.NumField(); i++ {
		if f := v.Field(i); f.Kind() == reflect.String {
			all[v.Type().Field(i).Name] = f.String()
		}
	}
	delete(all, "name")
	delete(all, "now")
	return all
}

// Drivers send a statement again after a lost acknowledgement, above all one without
// arguments. Whatever changes rows has some, and compares what it has read.
func TestEveryStatementThatChangesRowsHasABindParameter(t *testing.T) {
	changes := regexp.MustCompile(`^(INSERT|UPDATE|DELETE)\b`)
	n := 0
	for name, s := range expanded(t, "") {
		if strings.ContainsAny(s, "{}%;") {
			t.Errorf("%s is not expanded, or formatted, or more than one: %s", name, s)
		}
		if !changes.MatchString(s) {
			continue
		}
		n++
		if !strings.Contains(s, "?") {
			t.Errorf("%s has no bind parameter: %s", name, s)
		}
	}
	if n < 10 {
		t.Errorf("%d statements change rows; the test does not see them", n)
	}
}

func TestTableNames(t *testing.T) {
	for name, want := range map[string]string{
		"":                      `"once_idem"`,
		"keys":                  `"keys"`,
		"_":                     `"_"`,
		"Keys_2":                `"Keys_2"`,
		"main.keys":             `"main"."keys"`,
		strings.Repeat("k", 58): `"` + strings.Repeat("k", 58) + `"`,
	} {
		tab, err := sqlite().parseTable(name)
		if err != nil || tab.qualified != want {
			t.Errorf("%q: %s, %v; want %s", name, tab.qualified, err, want)
		}
	}
	for _, name := range []string{
		" ", "a b", "1a", "a-b", "a;DROP TABLE x", `a"`, `"a"`, "a'", "a\x00", "é", "a.b.c", ".a", "a.", ".", "a\n", "[a]", "`a`",
		"sqlite_master", "SQLite_x", "main.sqlite_x", strings.Repeat("k", 59), strings.Repeat("s", 59) + ".k",
	} {
		_, err := Schema(SQLite, name)
		if err == nil || !strings.HasPrefix(err.Error(), "idemsql: table name ") {
			t.Errorf("%q: %v; want an error that names it", name, err)
		}
	}
}

func FuzzTableName(f *testing.F) {
	for _, s := range []string{"", "keys", "main.keys", `a"; DROP TABLE x; --`, "a\x00b", "sqlite_x"} {
		f.Add(s)
	}
	safe := regexp.MustCompile(`^("[A-Za-z_][A-Za-z0-9_]{0,57}"\.)?"[A-Za-z_][A-Za-z0-9_]{0,57}"$`)
	f.Fuzz(func(t *testing.T, name string) {
		tab, err := sqlite().parseTable(name)
		if err != nil {
			return
		}
		if !safe.MatchString(tab.qualified) || !strings.HasSuffix(tab.qualified, tab.bare) {
			t.Fatalf("%q becomes %s and %s", name, tab.qualified, tab.bare)
		}
		if !strings.HasSuffix(tab.index, `_keep"`) || strings.Count(tab.index, `"`) != strings.Count(tab.qualified, `"`) {
			t.Fatalf("%q has index %s", name, tab.index)
		}
	})
}

func TestSchemaIsTextForOneTable(t *testing.T) {
	s, err := Schema(SQLite, "app.keys")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`CREATE TABLE IF NOT EXISTS "app"."keys"`, `CREATE INDEX IF NOT EXISTS "app"."keys_keep" ON "keys"`, "ON CONFLICT (idem_key) DO NOTHING"} {
		if !strings.Contains(s, want) {
			t.Errorf("%q is missing in\n%s", want, s)
		}
	}
	if strings.ContainsAny(s, "{}") || !strings.HasSuffix(s, ";\n") {
		t.Errorf("not ready to run:\n%s", s)
	}
	if _, err := Schema(0, ""); err == nil || !strings.Contains(err.Error(), "idemsql.SQLite") {
		t.Errorf("no dialect: %v; want an error that says which there are", err)
	}
}
