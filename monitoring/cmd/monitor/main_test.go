package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary stand in for the program, since chaos starts replicas of
// the program that it runs in.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		main()
	}
	os.Exit(m.Run())
}

// monitor runs the program in this process.
func monitor(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = run(ctx, args, streams{in: strings.NewReader(""), out: &out, err: &err})
	return status, out.String(), err.String()
}

// folder makes a folder with these files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const goodRules = `groups:
  - name: g
    rules:
      - alert: Down
        expr: up == 0
`

// A mistake is told in one line that says where it is and what to do, the status is 2, and
// nothing has been started: no database was made and no port is taken.
func TestMistakesEndWithStatus2(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const head = "listen: 127.0.0.1:0\ndatabase: monitor.db\nrules: rules.yml\n"
	for name, c := range map[string]struct {
		config, rules string
		want          []string
	}{
		"unknown field":              {config: head + "sink: []\n", want: []string{"monitor.yml:4:1: ", `no field "sink"`, "sinks"}},
		"bad duration":               {config: head + "interval: 15\n", want: []string{"monitor.yml:4:11: ", `interval: "15" is not a duration`, "1h30m"}},
		"unknown metric form":        {config: head, rules: strings.Replace(goodRules, "up == 0", "sum(up) == 0", 1), want: []string{"rules.yml:5:15: ", "expr: ", "allowed is"}},
		"database in no folder":      {config: strings.Replace(head, "monitor.db", "/no/such/folder/m.db", 1), want: []string{"monitor.yml: database: ", "/no/such/folder/m.db", "make it"}},
		"database that is a folder":  {config: strings.Replace(head, "monitor.db", ".", 1), want: []string{"monitor.yml: database: ", "is a directory; name a file in it"}},
		"database of something else": {config: strings.Replace(head, "monitor.db", "rules.yml", 1), want: []string{"monitor.yml: database: ", "rules.yml"}},
		"port in use":                {config: strings.Replace(head, "127.0.0.1:0", taken.Addr().String(), 1), want: []string{"monitor.yml: listen: ", "address already in use", "another"}},
		"URL without scheme":         {config: head + "sinks:\n  - {name: pager, webhook: pager.example/hook}\n", want: []string{"monitor.yml:5:28: ", `webhook: "pager.example/hook" must begin with http:// or https://`}},
		"secret that is none":        {config: head + "sinks:\n  - {name: pager, webhook: 'http://pager.example', secrets: [abc]}\n", want: []string{"monitor.yml: sink \"pager\": ", "ecret"}},
		"no rules in the files":      {config: head, rules: "groups: []\n", want: []string{"monitor.yml: rules: ", "no alerting rule"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.rules == "" {
				c.rules = goodRules
			}
			dir := folder(t, map[string]string{"monitor.yml": c.config, "rules.yml": c.rules})
			status, stdout, stderr := monitor(t.Context(), "serve", "--config", filepath.Join(dir, "monitor.yml"))
			if status != statusMistake || stdout != "" || strings.Count(stderr, "\n") != 1 {
				t.Errorf("status %d, printed %q and on standard error, where one line belongs:\n%s", status, stdout, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("%q is missing in:\n%s", want, stderr)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "monitor.db")); err == nil && !strings.Contains(name, "database") {
				t.Error("a database was made")
			}
		})
	}
}

func TestBadCommandLines(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{}, "expected one of"},
		{[]string{"serv"}, `unexpected argument serv`},
		{[]string{"serve", "--colour"}, "unknown flag --colour"},
		{[]string{"serve", "--log-level=loud"}, "--log-level"},
		{[]string{"serve", "--config=/no/such/file.yml"}, "/no/such/file.yml: cannot be read: no such file"},
		{[]string{"demo", "--duration=soon"}, "--duration"},
		{[]string{"demo", "--duration=1ms"}, "--duration=1ms is too short"},
		{[]string{"chaos", "--kills=0"}, "--kills=0: give at least 1"},
	} {
		t.Run(fmt.Sprint(c.args), func(t *testing.T) {
			status, _, stderr := monitor(t.Context(), c.args...)
			if status != statusMistake || !strings.Contains(stderr, c.want) {
				t.Errorf("status %d, printed:\n%s", status, stderr)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"version"}} {
		if status, stdout, stderr := monitor(t.Context(), args...); status != 0 || stdout == "" || stderr != "" {
			t.Errorf("%v: status %d, printed %q and %q", args, status, stdout, stderr)
		}
	}
}

func TestCheckStartsNothing(t *testing.T) {
	dir := folder(t, map[string]string{"monitor.yml": "database: monitor.db\nrules: rules.yml\n", "rules.yml": goodRules})
	status, stdout, stderr := monitor(t.Context(), "check", "--config", filepath.Join(dir, "monitor.yml"))
	if status != 0 || !strings.Contains(stdout, "is fine: 0 targets, 1 rules, 0 sinks") {
		t.Errorf("status %d, printed %q and %q", status, stdout, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "monitor.db")); err == nil {
		t.Error("a database was made")
	}
}
