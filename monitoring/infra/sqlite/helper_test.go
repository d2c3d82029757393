package sqlite

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// at returns the slot so many seconds after a fixed instant.
func at(seconds int) time.Time {
	return time.Date(2026, time.March, 1, 12, 0, seconds, 0, time.UTC)
}

func open(tb testing.TB, path string) *DB {
	tb.Helper()
	d, err := Open(tb.Context(), Config{Path: path, BusyTimeout: 20 * time.Second})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := d.Close(); err != nil {
			tb.Error(err)
		}
	})
	return d
}

func openNew(tb testing.TB) *DB {
	tb.Helper()
	return open(tb, filepath.Join(tb.TempDir(), "monitor.db"))
}

func parse(tb testing.TB, expr string) domain.Condition {
	tb.Helper()
	c, err := domain.ParseCondition(expr)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// rule fires at once for each target that is down.
func rule(tb testing.TB, name string) *domain.Rule {
	tb.Helper()
	return &domain.Rule{
		ID: domain.RuleID("test", name), Group: "test", Name: name,
		Condition: parse(tb, "up == 0"), Interval: time.Second,
	}
}

func monitor(tb testing.TB, d *DB, replica string, rules ...*domain.Rule) *app.Monitor {
	tb.Helper()
	m, err := app.New(d, app.Config{
		Replica: replica, Rules: rules,
		Sinks: []app.Sink{{Name: "pager", Lane: 1}, {Name: "chat", Lane: 2}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// snap is what two targets said; a is up or not, b is always up.
func snap(slot time.Time, aUp bool) app.Snapshot {
	value := map[bool]float64{true: 1}[aUp]
	return app.Snapshot{Slot: slot, Samples: []domain.Sample{
		{Labels: domain.LabelsOf(domain.MetricName, "up", "instance", "a"), Value: value, At: slot},
		{Labels: domain.LabelsOf(domain.MetricName, "up", "instance", "b"), Value: 1, At: slot},
	}}
}

func evaluate(tb testing.TB, m *app.Monitor, r *domain.Rule, s app.Snapshot) app.Outcome {
	tb.Helper()
	out, _, err := m.EvaluateSlot(tb.Context(), r, s)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func count(tb testing.TB, d *DB, query string, args ...any) int {
	tb.Helper()
	var n int
	if err := d.read.QueryRowContext(tb.Context(), query, args...).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

func execute(tb testing.TB, d *DB, statement string, args ...any) {
	tb.Helper()
	if _, err := d.write.ExecContext(context.WithoutCancel(tb.Context()), statement, args...); err != nil {
		tb.Fatal(err)
	}
}
