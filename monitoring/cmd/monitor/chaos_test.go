package main

import (
	"encoding/json"
	"testing"

	"example.com/once/monitoring/cmd/internal/chaos"
)

// judged runs demo or chaos and returns the verdict.
func judged(t *testing.T, args ...string) (int, chaos.Verdict) {
	t.Helper()
	status, stdout, stderr := monitor(t.Context(), append(args, "--json")...)
	var v chaos.Verdict
	if err := json.Unmarshal([]byte(stdout), &v); err != nil {
		t.Fatalf("status %d, %v in %q; standard error:\n%s", status, err, stdout, stderr)
	}
	t.Logf("%v: status %d, %+v", args, status, v)
	if t.Failed() {
		t.Log(stderr)
	}
	return status, v
}

func TestDemoPasses(t *testing.T) {
	if status, v := judged(t, "demo", "--duration=8s"); status != 0 || !v.Pass() {
		t.Error("want PASS")
	}
}

// The same checker finds what goes wrong without the toolkit.
func TestNaiveDemoFails(t *testing.T) {
	if status, v := judged(t, "demo", "--naive", "--duration=6s"); status != statusFailed || v.Pass() || v.Doubled == 0 {
		t.Error("want FAIL with effects doubled")
	}
}

// The gate kills fifty, with: monitor chaos --kills 50.
func TestKilledReplicasLoseAndDoubleNothing(t *testing.T) {
	if status, v := judged(t, "chaos", "--kills=8"); status != 0 || !v.Pass() || v.Kills < 8 {
		t.Error("want PASS after 8 kills")
	}
}
