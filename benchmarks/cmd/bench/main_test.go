package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/once/benchmarks/suite"
)

// result is what a run of the command left.
type result struct {
	status         int
	stdout, stderr string
}

func bench1(ctx context.Context, args ...string) result {
	var stdout, stderr bytes.Buffer
	status := run(ctx, args, &stdout, &stderr)
	return result{status, stdout.String(), stderr.String()}
}

func TestBadFlagsExitWith2AndSayWhatToDo(t *testing.T) {
	for _, test := range []struct {
		args []string
		want []string // in the one line
	}{
		{[]string{"--callers", "1,none"}, []string{"--callers", `"none"`, "1,8,64"}},
		{[]string{"--callers", "0"}, []string{"--callers", `"0"`}},
		{[]string{"--callers", ""}, []string{"--callers", `""`}},
		{[]string{"--rounds", "0"}, []string{"--rounds is 0", "1 to 100"}},
		{[]string{"--rounds", "many"}, []string{"many", "--help"}},
		{[]string{"--time", "1"}, []string{"time", "--help"}},
		{[]string{"--time", "10ms"}, []string{"--time is 10ms", "at least 1s"}},
		{[]string{"--run", "("}, []string{"--run", "missing closing )"}},
		{[]string{"--run", "no such thing"}, []string{`--run "no such thing" matches nothing`, "--list"}},
		{[]string{"--limits", "--run", "store"}, []string{"--limits", "--run"}},
		{[]string{"--limits", "--quick"}, []string{"--limits", "--quick"}},
		{[]string{"--no-such-flag"}, []string{"no-such-flag", "--help"}},
		{[]string{"store"}, []string{`unexpected argument "store"`, "--run"}},
		{[]string{"--dir", "/no/such/folder"}, []string{"--dir", "/no/such/folder", "choose"}},
	} {
		r := bench1(t.Context(), test.args...)
		if r.status != exitUsage {
			t.Errorf("%v: exit status %d, want %d", test.args, r.status, exitUsage)
		}
		if r.stdout != "" || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%v: stdout %q, stderr %q; want one line on stderr", test.args, r.stdout, r.stderr)
		}
		for _, want := range test.want {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("%v: %q lacks %q", test.args, r.stderr, want)
			}
		}
	}
}

func TestHelpAndList(t *testing.T) {
	if r := bench1(t.Context(), "--help"); r.status != 0 || !strings.Contains(r.stderr, "--quick") && !strings.Contains(r.stderr, "-quick") {
		t.Errorf("--help: %+v", r)
	}
	r := bench1(t.Context(), "--list", "--run", "^tx/.*JoinTx", "--callers", "2")
	if r.status != 0 || !strings.Contains(r.stdout, "tx/sqlite-ncruces/full/JoinTx/callers=2\n") || strings.Contains(r.stdout, "DoTx") {
		t.Errorf("--list: %+v", r)
	}
}

// quick measures as little as can be: two retry loops and a store.
func quick(more ...string) []string {
	return append([]string{"--time", "1s", "--rounds", "2", "--callers", "1", "--run", `^retry/succeeds/none/Do/|^store/memory/none/replay/`}, more...)
}

func TestResultsGoToStdoutAndProgressToStderr(t *testing.T) {
	r := bench1(t.Context(), quick()...)
	if r.status != 0 {
		t.Fatalf("exit status %d: %s", r.status, r.stderr)
	}
	for _, want := range []string{"suite ", "raw-read ", "replay ", "hand-written-loop ", "Do ", "x bare", "2 rounds"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("stdout lacks %q:\n%s", want, r.stdout)
		}
	}
	if !strings.Contains(r.stderr, "bench: 0 of 4 done, now store on memory (none), callers=1\n") {
		t.Errorf("stderr is %q", r.stderr)
	}
}

func TestOutLeavesTheFilesAndJSONIsJSON(t *testing.T) {
	out := filepath.Join(t.TempDir(), "new", "report")
	r := bench1(t.Context(), quick("--json", "--out", out)...)
	if r.status != 0 || !json.Valid([]byte(r.stdout)) {
		t.Errorf("exit status %d, stdout %q", r.status, r.stdout)
	}
	for name, want := range map[string]string{"results.txt": "BenchmarkStore/backend=memory/", "report.html": "</html>"} {
		data, err := os.ReadFile(filepath.Join(out, name))
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s: %v, lacks %q", name, err, want)
		}
	}
	blocked := filepath.Join(out, "results.txt")
	if r := bench1(t.Context(), quick("--out", blocked)...); r.status != exitFailed || !strings.Contains(r.stderr, "--out") || !strings.Contains(r.stdout, "raw-read") {
		t.Errorf("--out to a file: %+v; want the table and then the error", r)
	}
}

// interrupter ends ctx when it is told of the second block.
type interrupter struct {
	bytes.Buffer

	cancel context.CancelFunc
}

func (i *interrupter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "bench: 2 of 4 done") {
		i.cancel()
	}
	return i.Buffer.Write(p)
}

func TestAnInterruptPrintsWhatWasMeasured(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	var stdout bytes.Buffer
	stderr := &interrupter{cancel: cancel}
	status := run(ctx, quick("--dir", dir), &stdout, stderr)
	if status != exitInterrupted {
		t.Errorf("exit status %d, want %d", status, exitInterrupted)
	}
	got := stdout.String()
	if !strings.Contains(got, "replay ") || strings.Contains(got, "hand-written-loop") || !strings.Contains(got, "interrupted: 2 operations were not measured") {
		t.Errorf("stdout is\n%s", got)
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

func TestLimitsMeasuresEveryLimitAndNothingElse(t *testing.T) {
	list := bench1(t.Context(), "--limits", "--list")
	for id := range strings.Lines(list.stdout) {
		if !strings.HasPrefix(id, "retry/") && !strings.HasPrefix(id, "client/") {
			t.Errorf("--list has %q", id)
		}
	}
	r := bench1(t.Context(), "--limits", "--time", "1s", "--rounds", "2")
	if r.status != 0 {
		t.Fatalf("exit status %d: %s", r.status, r.stderr)
	}
	for _, l := range suite.Limits() {
		if !strings.Contains(r.stdout, "\n"+l.What+" ") {
			t.Errorf("stdout lacks %q:\n%s", l.What, r.stdout)
		}
	}
	if r := bench1(t.Context(), quick()...); strings.Contains(r.stdout, "at most") {
		t.Errorf("limits of what was not measured:\n%s", r.stdout)
	}
}
