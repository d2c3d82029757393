package measure_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/benchmarks/measure"
)

// sleeper is an operation that takes d, in a bubble exactly.
func sleeper(name, bare string, d time.Duration) measure.Op {
	return measure.Op{Name: name, Bare: bare, Open: func(context.Context, int) (*measure.Job, error) {
		return &measure.Job{Call: func(ctx context.Context, _ int) error {
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}, nil
	}}
}

func group(ops ...measure.Op) []measure.Group {
	return []measure.Group{{Suite: "test", Backend: "clock", Durability: "none", Ops: ops}}
}

func mustRun(t *testing.T, groups []measure.Group, c measure.Config) measure.Outcome {
	t.Helper()
	o, err := measure.Run(t.Context(), groups, c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance*math.Abs(b) }

func TestRunComparesSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := mustRun(t, group(sleeper("bare", "", 2*time.Millisecond), sleeper("guarded", "bare", 5*time.Millisecond)),
			measure.Config{Callers: []int{1, 8}, Rounds: 7, Time: 10 * time.Second})
		if len(o.Results) != 4 || o.Missing != 0 {
			t.Fatalf("%d results, %d missing, want 4 and 0", len(o.Results), o.Missing)
		}
		for _, r := range o.Results {
			if len(r.Rounds) != 7 || r.Err != nil {
				t.Fatalf("%s: %d rounds, %v; want 7", r.ID(), len(r.Rounds), r.Err)
			}
			each := 2 * time.Millisecond
			if r.Op == "guarded" {
				each = 5 * time.Millisecond
			}
			// Latencies are kept to 1 %, those of one caller; throughput is that of all.
			if !near(r.P50.Seconds(), each.Seconds(), 0.01) || !near(r.P99.Seconds(), each.Seconds(), 0.01) {
				t.Errorf("%s: p50 %v, p99 %v, want %v", r.ID(), r.P50, r.P99, each)
			}
			if want := float64(r.Callers) / each.Seconds(); !near(r.PerSecond(), want, 0.001) {
				t.Errorf("%s: %v operations a second, want %v", r.ID(), r.PerSecond(), want)
			}
			if r.Op == "bare" {
				if r.Ratio != nil || r.Added != nil {
					t.Errorf("%s is compared with something", r.ID())
				}
				continue
			}
			if !near(r.Ratio.Median, 2.5, 0.001) || !near(r.Ratio.Low, 2.5, 0.001) || !near(r.Ratio.High, 2.5, 0.001) {
				t.Errorf("%s: ratio %+v, want 2.5 throughout", r.ID(), r.Ratio)
			}
			if r.Ratio.Confidence < 0.95 {
				t.Errorf("%s: confidence %v after 7 rounds, want at least 0.95", r.ID(), r.Ratio.Confidence)
			}
			if want := 0.003 / float64(r.Callers); !near(r.Added.Median, want, 0.001) {
				t.Errorf("%s: added %v s, want %v", r.ID(), r.Added.Median, want)
			}
		}
	})
}

// A disturbance that lasts longer than an operation's turn must not show in the ratio.
func TestRunPairsRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		slowing := func(name, bare string, d time.Duration) measure.Op {
			op := sleeper(name, bare, d)
			op.Open = func(context.Context, int) (*measure.Job, error) {
				return &measure.Job{Call: func(context.Context, int) error {
					for range 1 + int(time.Since(start)/time.Second) { // twice as slow after a second, and so on
						time.Sleep(d)
					}
					return nil
				}}, nil
			}
			return op
		}
		o := mustRun(t, group(slowing("bare", "", time.Millisecond), slowing("guarded", "bare", 2*time.Millisecond)),
			measure.Config{Callers: []int{1}, Rounds: 9, Time: 9 * time.Second})
		bare, guarded := o.Results[0], o.Results[1]
		first, last := bare.Rounds[0], bare.Rounds[len(bare.Rounds)-1]
		if float64(last.Elapsed)/float64(last.Ops) < 3*float64(first.Elapsed)/float64(first.Ops) {
			t.Fatal("the machine did not become slower; the test tests nothing")
		}
		if !near(guarded.Ratio.Median, 2, 0.15) {
			t.Errorf("ratio %v, want about 2", guarded.Ratio.Median)
		}
	})
}

func TestNoOperationIsAlwaysFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		tracked := func(name string) measure.Op {
			op := sleeper(name, "", time.Millisecond)
			open := op.Open
			op.Fresh = true // so that it is opened for each turn
			op.Open = func(ctx context.Context, callers int) (*measure.Job, error) {
				order = append(order, name)
				return open(ctx, callers)
			}
			return op
		}
		mustRun(t, group(tracked("a"), tracked("b"), tracked("c")), measure.Config{Callers: []int{1}, Rounds: 3, Time: time.Second})
		if got, want := strings.Join(order, ""), "abc"+"abc"+"bca"+"cab"; got != want { // the first to warm up
			t.Errorf("the order was %s, want %s", got, want)
		}
	})
}

func TestWarmingUpDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cold := true
		o := mustRun(t, group(measure.Op{Name: "op", Open: func(context.Context, int) (*measure.Job, error) {
			return &measure.Job{Call: func(context.Context, int) error {
				if cold {
					cold = false
					time.Sleep(200 * time.Millisecond)
				}
				time.Sleep(10 * time.Millisecond)
				return nil
			}}, nil
		}}), measure.Config{Callers: []int{1}, Rounds: 2, Time: time.Second})
		if r := o.Results[0]; !near(r.P99.Seconds(), 0.01, 0.01) || !near(r.PerOp(), 0.01, 0.001) {
			t.Errorf("p99 %v, %v s an operation; want 10 ms", r.P99, r.PerOp())
		}
	})
}

func TestFewRoundsGiveARangeInsteadOfAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := mustRun(t, group(sleeper("bare", "", time.Millisecond), sleeper("guarded", "bare", 2*time.Millisecond)),
			measure.Config{Callers: []int{1}, Rounds: 3, Time: time.Second})
		e := o.Results[1].Ratio
		if e.Confidence != 0 || math.IsInf(e.Low, 0) || math.IsInf(e.High, 0) {
			t.Errorf("%+v after 3 rounds, want finite bounds without a confidence", e)
		}
	})
}

// counted is an operation that counts how often it was opened, called, checked and closed.
type counted struct {
	opened, closed, called atomic.Int64
	checked                []int64
	lie                    int64 // added to the calls that Check expects
}

func (c *counted) op(name string, fresh bool) measure.Op {
	return measure.Op{Name: name, Fresh: fresh, Open: func(context.Context, int) (*measure.Job, error) {
		c.opened.Add(1)
		before := c.called.Load()
		return &measure.Job{
			Call: func(context.Context, int) error {
				c.called.Add(1)
				time.Sleep(time.Millisecond)
				return nil
			},
			Check: func(_ context.Context, calls int64) error {
				c.checked = append(c.checked, calls)
				if done := c.called.Load() - before; done != calls+c.lie {
					return fmt.Errorf("%d calls were made, %d counted", done, calls)
				}
				return nil
			},
			Close: func() error {
				c.closed.Add(1)
				return nil
			},
		}, nil
	}}
}

func TestEveryCallIsCountedAndChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			fresh bool
			opens int64
		}{{false, 1}, {true, 1 + 4}} { // once to warm up
			var c counted
			o := mustRun(t, group(c.op("op", test.fresh)), measure.Config{Callers: []int{3}, Rounds: 4, Time: time.Second})
			if err := o.Results[0].Err; err != nil {
				t.Errorf("fresh %v: %v", test.fresh, err)
			}
			if c.opened.Load() != test.opens || c.closed.Load() != test.opens || len(c.checked) != int(test.opens) {
				t.Errorf("fresh %v: opened %d, closed %d, checked %d times; want %d each",
					test.fresh, c.opened.Load(), c.closed.Load(), len(c.checked), test.opens)
			}
		}
	})
}

func TestAWrongCountIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := counted{lie: 1}
		var honest counted
		o := mustRun(t, group(c.op("liar", false), honest.op("honest", false)), measure.Config{Callers: []int{1}, Rounds: 2, Time: time.Second})
		if o.Results[0].Err == nil || c.closed.Load() != 1 {
			t.Errorf("error %v, closed %d times; want an error and 1", o.Results[0].Err, c.closed.Load())
		}
		if o.Results[1].Err != nil || len(o.Results[1].Rounds) != 2 {
			t.Errorf("another operation suffered: %v, %d rounds", o.Results[1].Err, len(o.Results[1].Rounds))
		}
	})
}

func TestAFailingOperationIsAResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		failing := func(name, bare string, open, call error) measure.Op {
			return measure.Op{Name: name, Bare: bare, Open: func(context.Context, int) (*measure.Job, error) {
				return &measure.Job{Call: func(context.Context, int) error { return call }}, open
			}}
		}
		o := mustRun(t, group(
			failing("opens", "", nil, broken),
			failing("does-not-open", "", broken, nil),
			sleeper("works", "opens", time.Millisecond),
			measure.Op{Name: "loops", Loop: func(*testing.B) error { return broken }},
			measure.Op{Name: "panics-out", Loop: func(b *testing.B) error { b.FailNow(); return nil }},
		), measure.Config{Callers: []int{2}, Rounds: 2, Time: time.Second})
		for _, r := range o.Results {
			if want := r.Op != "works"; (r.Err != nil) != want {
				t.Errorf("%s: error %v", r.Op, r.Err)
			}
			if r.Op != "works" && r.Op != "panics-out" && !errors.Is(r.Err, broken) {
				t.Errorf("%s: error %v, want the operation's", r.Op, r.Err)
			}
			if r.Ratio != nil {
				t.Errorf("%s is compared with a failure", r.Op)
			}
		}
		if len(o.Results) != 5 {
			t.Errorf("%d results, want 5", len(o.Results))
		}
	})
}

func TestAnInterruptedRunReturnsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var c counted
		groups := append(group(c.op("first", false)), group(sleeper("second", "", time.Millisecond))...)
		o, err := measure.Run(ctx, groups, measure.Config{
			Callers: []int{1}, Rounds: 5, Time: time.Second,
			Progress: func(p measure.Progress) {
				if p.Done == 1 {
					cancel()
				}
			},
		})
		if err != nil || len(o.Results) != 1 || o.Missing != 1 {
			t.Fatalf("%d results, %d missing, %v; want 1, 1 and no error", len(o.Results), o.Missing, err)
		}
		if r := o.Results[0]; r.Op != "first" || r.Err != nil || len(r.Rounds) != 5 {
			t.Errorf("%s has %d rounds and %v, want first with 5", r.Op, len(r.Rounds), r.Err)
		}
		if c.closed.Load() != 1 {
			t.Errorf("closed %d times, want 1", c.closed.Load())
		}
	})
}

func TestTheLimitEndsARunThatIsTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ops := []measure.Op{sleeper("bare", "", time.Second)}
		for i := range 20 {
			ops = append(ops, sleeper(fmt.Sprintf("slow-%d", i), "bare", 3*time.Second))
		}
		o := mustRun(t, group(ops...), measure.Config{Callers: []int{1}, Rounds: 2, Time: time.Second, Limit: 10 * time.Second})
		if took := time.Since(start); took > 11*time.Second {
			t.Errorf("the run took %v, want 10 s", took)
		}
		if o.Missing == 0 || o.Missing+len(o.Results) != len(ops) {
			t.Errorf("%d results and %d missing of %d operations", len(o.Results), o.Missing, len(ops))
		}
		for _, r := range o.Results {
			if r.Err != nil {
				t.Errorf("%s: %v; the end of the time is no failure", r.ID(), r.Err)
			}
		}
	})
}

func TestTheTimeIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ops []measure.Op
		for i := range 10 {
			op := sleeper(strconv.Itoa(i), "", time.Millisecond)
			open := op.Open
			op.Open = func(ctx context.Context, callers int) (*measure.Job, error) {
				time.Sleep(time.Second) // opening counts
				return open(ctx, callers)
			}
			ops = append(ops, op)
		}
		start := time.Now()
		o := mustRun(t, group(ops...), measure.Config{Callers: []int{1, 2}, Rounds: 5, Time: time.Minute})
		if took := time.Since(start); took < 45*time.Second || took > time.Minute {
			t.Errorf("the run took %v, want most of a minute", took)
		}
		if o.Missing != 0 {
			t.Errorf("%d missing", o.Missing)
		}
	})
}

func TestALoopIsMeasured(t *testing.T) {
	var ops int
	o := mustRun(t, group(
		measure.Op{Name: "loop", Loop: func(b *testing.B) error {
			var keep [][]byte
			for b.Loop() {
				keep = append(keep[:0], make([]byte, 1024))
				ops++
			}
			return nil
		}},
	), measure.Config{Callers: []int{1}, Rounds: 2, Time: time.Second, Limit: time.Minute})
	r := o.Results[0]
	var counted int64
	for _, round := range r.Rounds {
		counted += round.Ops
	}
	if r.Err != nil || len(r.Rounds) != 2 || counted == 0 || counted > int64(ops) || r.PerSecond() <= 0 {
		t.Errorf("%d rounds, %d of %d operations, %v", len(r.Rounds), counted, ops, r.Err)
	}
	if math.Round(r.BytesPerOp()) != 1024 || math.Round(r.AllocsPerOp()) != 1 {
		t.Errorf("%v bytes and %v allocations for each operation, want 1024 and 1", r.BytesPerOp(), r.AllocsPerOp())
	}
	if r.P50 != 0 {
		t.Errorf("a loop has the latency %v", r.P50)
	}
}

func TestAllocationsAreCounted(t *testing.T) {
	o := mustRun(t, group(
		measure.Op{Name: "two", Open: func(_ context.Context, callers int) (*measure.Job, error) {
			keep := make([][2]*[512]byte, callers)
			return &measure.Job{Call: func(_ context.Context, caller int) error {
				keep[caller] = [2]*[512]byte{new([512]byte), new([512]byte)}
				return nil
			}}, nil
		}},
	), measure.Config{Callers: []int{1, 4}, Rounds: 3, Time: time.Second, Limit: time.Minute})
	for _, r := range o.Results {
		if math.Round(r.AllocsPerOp()) != 2 || !near(r.BytesPerOp(), 1024, 0.05) {
			t.Errorf("%s: %v allocations of %v bytes, want 2 and 1024", r.ID(), r.AllocsPerOp(), r.BytesPerOp())
		}
	}
}

func TestSelectionTakesWhatIsComparedWithAlong(t *testing.T) {
	groups := group(sleeper("bare", "", 1), sleeper("other", "", 1), sleeper("guarded", "bare", 1))
	groups = append(groups, measure.Group{Suite: "alone", Backend: "b", Durability: "d", Callers: []int{1}, Ops: []measure.Op{sleeper("x", "", 1)}})
	for _, test := range []struct{ run, want string }{
		{`/guarded/callers=8`, "test/clock/none/bare/callers=8 test/clock/none/guarded/callers=8"},
		{`/other/.*=1$`, "test/clock/none/other/callers=1"},
		{`^alone`, "alone/b/d/x/callers=1"},
		{`nothing`, ""},
	} {
		got := strings.Join(measure.IDs(groups, []int{1, 8}, regexp.MustCompile(test.run).MatchString), " ")
		if got != test.want {
			t.Errorf("%s selects %q, want %q", test.run, got, test.want)
		}
	}
}

func TestBadConfigsNameTheField(t *testing.T) {
	good := measure.Config{Callers: []int{1}, Rounds: 1, Time: time.Second}
	for field, spoil := range map[string]func(*measure.Config){
		"Config.Callers is empty": func(c *measure.Config) { c.Callers = nil },
		"Config.Callers has 0":    func(c *measure.Config) { c.Callers = []int{1, 0} },
		"Config.Rounds is 0":      func(c *measure.Config) { c.Rounds = 0 },
		"Config.Time is 0s":       func(c *measure.Config) { c.Time = 0 },
		"Config.Limit is 1ms":     func(c *measure.Config) { c.Limit = time.Millisecond },
	} {
		c := good
		c.Callers = slices.Clone(c.Callers)
		spoil(&c)
		if _, err := measure.Run(t.Context(), nil, c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error %v, want one that says %q", err, field)
		}
	}
}
