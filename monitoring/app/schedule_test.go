package app_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/idem"
	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// fetcher reads a target that says what its function says.
type fetcher func(ctx context.Context) (app.Observation, error)

func (f fetcher) Fetch(ctx context.Context) (app.Observation, error) { return f(ctx) }

func target(name string, f fetcher) app.Target {
	return app.Target{Name: name, Kind: "scrape", URL: "http://" + name, Labels: domain.LabelsOf("instance", name), Fetcher: f}
}

// fine is a target that answers at once and says nothing but that.
func fine(name string) app.Target {
	return target(name, func(context.Context) (app.Observation, error) { return app.Observation{}, nil })
}

// run walks for d of the bubble's time.
func run(t *testing.T, d time.Duration, monitors ...*app.Monitor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var wg sync.WaitGroup
	for _, m := range monitors {
		wg.Go(func() {
			if err := m.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func everySecond(from, to int) (out []time.Time) {
	for second := from; second <= to; second++ {
		out = append(out, slot(second))
	}
	return out
}

func TestRunWalksTheGrid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := newRepository()
		fast, slow := downRule(t, "Fast"), downRule(t, "Slow")
		slow.Interval, slow.Offset = 5*time.Second, 2*time.Second
		m := newMonitor(t, repo, app.Config{Rules: []*domain.Rule{fast, slow}, Targets: []app.Target{fine("a")}})
		time.Sleep(300 * time.Millisecond) // a start somewhere between two slots
		run(t, 10*time.Second, m)
		if got, want := repo.slots("test/Fast"), everySecond(1, 10); !slices.Equal(got, want) {
			t.Errorf("slots %v, want each second from the first after the start on", got)
		}
		if got, want := repo.slots("test/Slow"), []time.Time{slot(2), slot(7)}; !slices.Equal(got, want) {
			t.Errorf("slots %v, want %v", got, want)
		}
		if s := m.Stats(); s.Slots != 12 || s.Evaluated != 12 || s.Failures != 0 || s.Missed != 0 || !s.LastSlot.Equal(slot(10)) {
			t.Errorf("%+v", s)
		}
	})
}

func TestRunStopsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := target("a", func(ctx context.Context) (app.Observation, error) { <-ctx.Done(); return app.Observation{}, ctx.Err() })
		m := newMonitor(t, newRepository(), app.Config{Rules: []*domain.Rule{downRule(t, "Down")}, Targets: []app.Target{hangs}})
		run(t, 1500*time.Millisecond, m) // in the middle of a fetch
		if since := time.Since(slot(0)); since != 1500*time.Millisecond {
			t.Errorf("it took %v to stop", since-1500*time.Millisecond)
		}
	})
}

// TestGridsShareFetches: rules with several intervals see the same samples in a common slot, and a
// target is asked once.
func TestGridsShareFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		counter := target("a", func(context.Context) (app.Observation, error) {
			n := asked.Add(1)
			return app.Observation{Samples: []domain.Sample{{Labels: domain.LabelsOf(domain.MetricName, "n"), Value: float64(n)}}}, nil
		})
		repo := newRepository()
		rules := []*domain.Rule{downRule(t, "One"), downRule(t, "Two"), downRule(t, "Three")}
		for i, r := range rules {
			r.Interval, r.Condition = time.Duration(i+1)*time.Second, condition(t, "n > 1000")
		}
		m := newMonitor(t, repo, app.Config{Rules: rules, Targets: []app.Target{counter}})
		run(t, 60*time.Second+time.Millisecond, m)
		if n := asked.Load(); n != 60 {
			t.Errorf("asked %d times in 60 slots", n)
		}
		for _, r := range rules[1:] {
			for _, at := range repo.slots(r.ID) {
				got, want := repo.evaluation(r.ID, at).Input.Samples[0].Value, repo.evaluation(rules[0].ID, at).Input.Samples[0].Value
				if got != want {
					t.Errorf("%s at %v saw fetch %v, and another rule fetch %v", r.ID, at, got, want)
				}
			}
		}
	})
}

// TestSlowFetchEndsWithItsSlot: the next slot does not wait for this one's fetch.
func TestSlowFetchEndsWithItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := target("a", func(ctx context.Context) (app.Observation, error) {
			<-ctx.Done()
			return app.Observation{}, context.Cause(ctx)
		})
		repo := newRepository()
		log := &targetLog{}
		m := newMonitor(t, repo, app.Config{Rules: []*domain.Rule{downRule(t, "Down")}, Targets: []app.Target{hangs, fine("b")}, TargetLog: log})
		run(t, 5500*time.Millisecond, m)
		if got, want := repo.slots("test/Down"), everySecond(1, 4); !slices.Equal(got, want) {
			t.Errorf("slots %v, want %v", got, want)
		}
		for _, s := range log.all() {
			if hanging := s.Target == "a"; s.Up == hanging || hanging && s.Problem != "the slot is over" {
				t.Errorf("%+v", s)
			}
		}
		// It is firing that the target is down, and the samples of the other one are there.
		e := repo.evaluation("test/Down", slot(1))
		if len(e.Transitions) != 1 || e.Transitions[0].Labels.Get("instance") != "a" || len(e.Input.Samples) != 2 || len(e.Input.Unknown) != 1 {
			t.Errorf("%+v", e)
		}
	})
}

// TestDatabaseAway: a database that is away for a while costs slots, or none, as configured. It
// never costs order, and nothing is evaluated twice.
func TestDatabaseAway(t *testing.T) {
	for _, c := range []struct {
		app.Config
		name string
		want func(slots []time.Time) bool
	}{
		{app.Config{}, "skip", func(slots []time.Time) bool {
			// When it comes back the newest slot is 13, and the ones before have been given up for
			// it. So is 13 if the next try would have come only after 14.
			return slices.Equal(slots, append(everySecond(1, 3), everySecond(13, 20)...)) ||
				slices.Equal(slots, append(everySecond(1, 3), everySecond(14, 20)...))
		}},
		{app.Config{Missed: app.CatchUp}, "catch up", func(slots []time.Time) bool {
			return slices.Equal(slots, everySecond(1, 20))
		}},
		{app.Config{Missed: app.CatchUp, Backlog: 3}, "catch up with a short memory", func(slots []time.Time) bool {
			// Slot 4 is in work all the time. Of the others the newest three are kept until the
			// try that succeeds, which is at most 5 seconds after the database is back.
			after := slots[min(4, len(slots)):]
			first := slices.IndexFunc(everySecond(11, 16), func(s time.Time) bool { return len(after) > 0 && s.Equal(after[0]) })
			return first >= 0 && slices.Equal(slots, append(everySecond(1, 4), everySecond(11+first, 20)...))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				repo := newRepository()
				c.Rules, c.Targets = []*domain.Rule{downRule(t, "Down")}, []app.Target{fine("a")}
				m := newMonitor(t, repo, c.Config)
				go func() {
					time.Sleep(3500 * time.Millisecond)
					repo.setAway(true)
					time.Sleep(10 * time.Second)
					repo.setAway(false)
				}()
				run(t, 20500*time.Millisecond, m)
				slots := repo.slots("test/Down")
				if !c.want(slots) {
					t.Errorf("slots %v", slots)
				}
				s := m.Stats()
				if int(s.Evaluated) != len(slots) || int(s.Missed) != 20-len(slots) || s.Slots != 20 || s.Failures == 0 || s.Skipped != 0 {
					t.Errorf("%+v; want %d evaluated and the others missed", s, len(slots))
				}
			})
		})
	}
}

// TestFailedRuleDoesNotHoldUpTheOthers: within the slot the others are evaluated, once.
func TestFailedRuleDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := newRepository()
		failures := 0
		sick := app.Key("test/Sick", slot(1))
		repo.beforeCommit = func(key idem.Key) error {
			if key == sick && failures < 3 {
				failures++
				return errAway
			}
			return nil
		}
		m := newMonitor(t, repo, app.Config{Rules: []*domain.Rule{downRule(t, "Sick"), downRule(t, "Well")}, Targets: []app.Target{fine("a")}})
		run(t, 2500*time.Millisecond, m)
		for _, rule := range []string{"test/Sick", "test/Well"} {
			if got, want := repo.slots(rule), everySecond(1, 2); !slices.Equal(got, want) {
				t.Errorf("%s: slots %v, want %v", rule, got, want)
			}
		}
		if s := m.Stats(); s.Failures != 3 || s.Evaluated != 4 || s.Suppressed != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestRestartRecordsWhatItMissed: the slots that nobody evaluated are recorded by the next
// evaluation, whoever makes it.
func TestRestartRecordsWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := newRepository()
		rules := []*domain.Rule{downRule(t, "Down")}
		run(t, 2500*time.Millisecond, newMonitor(t, repo, app.Config{Replica: "a", Rules: rules}))
		time.Sleep(10 * time.Second)
		run(t, 2*time.Second, newMonitor(t, repo, app.Config{Replica: "b", Rules: rules}))
		want := app.MissedRun{First: slot(3), Last: slot(12), Count: 10}
		if got := repo.evaluation("test/Down", slot(13)).Missed; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		if got := repo.evaluation("test/Down", slot(14)).Missed; got.Count != 0 {
			t.Errorf("the slot after it: %+v", got)
		}
	})
}

// TestTwoMonitors: of two replicas one commits each slot and the other one is told, whichever is
// first; when one of them stops, the other goes on without a gap.
func TestTwoMonitors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := newRepository()
		rules := []*domain.Rule{downRule(t, "Down"), downRule(t, "Other")}
		replica := func(name string, delay time.Duration) *app.Monitor {
			late := target("db", func(context.Context) (app.Observation, error) {
				time.Sleep(delay)
				if second := time.Now().Second(); second >= 10 && second < 20 {
					return app.Observation{}, errors.New("connection refused")
				}
				return app.Observation{}, nil
			})
			return newMonitor(t, repo, app.Config{Replica: name, Rules: rules, Targets: []app.Target{late}})
		}
		a, b := replica("a", 10*time.Millisecond), replica("b", 20*time.Millisecond)
		var wg sync.WaitGroup
		wg.Go(func() { run(t, 15500*time.Millisecond, a) }) // a is first in every slot, until it stops
		wg.Go(func() { run(t, 30500*time.Millisecond, b) })
		wg.Wait()
		for _, r := range rules {
			if got, want := repo.slots(r.ID), everySecond(1, 30); !slices.Equal(got, want) {
				t.Errorf("%s: slots %v, want every second", r.ID, got)
			}
		}
		sa, sb := a.Stats(), b.Stats()
		if sa.Evaluated != 30 || sa.Suppressed != 0 || sb.Evaluated != 30 || sb.Suppressed != 30 || sa.Missed+sb.Missed+sa.Failures+sb.Failures != 0 {
			t.Errorf("a %+v\nb %+v", sa, sb)
		}
		if n := len(repo.messages()); n != 4 {
			t.Errorf("%d messages, want firing and resolved of both rules", n)
		}
		if sa.Messages != 2 || sb.Messages != 2 {
			t.Errorf("a wrote %d messages and b %d; want the firing ones from a and the resolved ones from b", sa.Messages, sb.Messages)
		}
	})
}

// targetLog keeps statuses in memory.
type targetLog struct {
	err error

	mu       sync.Mutex
	statuses []app.TargetStatus
}

func (l *targetLog) RecordTargets(_ context.Context, s []app.TargetStatus) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses = append(l.statuses, s...)
	return l.err
}

func (l *targetLog) all() []app.TargetStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.statuses)
}

// TestTargetLogIsNotVital: the walk goes on without it.
func TestTargetLogIsNotVital(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo, log := newRepository(), &targetLog{err: errAway}
		m := newMonitor(t, repo, app.Config{Rules: []*domain.Rule{downRule(t, "Down")}, Targets: []app.Target{fine("a")}, TargetLog: log})
		run(t, 3500*time.Millisecond, m)
		if len(repo.slots("test/Down")) != 3 || len(log.all()) != 3 {
			t.Errorf("%d slots, %d statuses", len(repo.slots("test/Down")), len(log.all()))
		}
	})
}
