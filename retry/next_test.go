package retry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"

	"example.com/once/retry"
)

func TestNextIsOneStepOfTheLoop(t *testing.T) {
	t.Parallel()
	p := &retry.Policy{MaxAttempts: 3, Backoff: retry.Constant(time.Second)}
	for _, c := range []struct {
		name    string
		policy  *retry.Policy
		attempt int
		err     error
		wait    time.Duration
		reason  error
	}{
		{"first", p, 1, errFlaky, time.Second, nil},
		{"second", p, 2, errFlaky, time.Second, nil},
		{"last", p, 3, errFlaky, 0, retry.ErrAttempts},
		{"beyond", p, 4, errFlaky, 0, retry.ErrAttempts},
		{"no limit", &retry.Policy{MaxAttempts: -1, Backoff: retry.Constant(time.Minute)}, 1_000_000, errFlaky, time.Minute, nil},
		{"permanent", p, 1, retry.Stop(errFlaky), 0, retry.ErrPermanent},
		{"permanent on the last", p, 3, retry.Stop(errFlaky), 0, retry.ErrPermanent},
		{"not idempotent", &retry.Policy{NonIdempotent: true}, 1, errFlaky, 0, retry.ErrNonIdempotent},
		{"not idempotent but safe", &retry.Policy{NonIdempotent: true, Backoff: retry.Constant(1)}, 1, retry.Safe(errFlaky), 1, nil},
		{"by its classifier", &retry.Policy{Classify: func(error) retry.Verdict { return retry.Verdict{Class: retry.Permanent} }}, 1, errFlaky, 0, retry.ErrPermanent},
		{"schedule ended", &retry.Policy{Backoff: func() retry.Schedule { return &backoff.StopBackOff{} }}, 1, errFlaky, 0, retry.ErrBackoff},
		{"odd numbers count as the first", p, -5, errFlaky, time.Second, nil},
	} {
		if wait, reason := c.policy.Next(c.attempt, c.err); wait != c.wait || !errors.Is(reason, c.reason) || (reason == nil) != (c.reason == nil) {
			t.Errorf("%s: %v, %v", c.name, wait, reason)
		}
	}
}

// A row can wait for a day, whatever a request may: nothing is capped, and budget, breaker and clock are not asked.
func TestNextTakesWhatOnlyTheDurableCan(t *testing.T) {
	t.Parallel()
	p := &retry.Policy{
		MaxRetryAfter: time.Second, MaxElapsed: 1, Budget: &retry.Budget{Burst: -1},
		Breaker: &recordingBreaker{refuse: errFlaky}, Backoff: retry.Constant(0),
		Observe: func(context.Context, retry.Event) { t.Error("observed") },
	}
	const day = 24 * time.Hour
	for range 100 {
		if wait, reason := p.Next(1, retry.After(errFlaky, day)); reason != nil || wait < day || wait > day*5/4 {
			t.Fatalf("%v, %v", wait, reason)
		}
	}
	overload := &retry.Policy{Backoff: retry.Constant(0), Classify: func(error) retry.Verdict { return retry.Verdict{Overload: true} }}
	if wait, reason := overload.Next(1, errFlaky); reason != nil || wait < time.Second {
		t.Errorf("%v, %v", wait, reason)
	}
	if wait, reason := (&retry.Policy{MaxAttempts: -1}).Next(1, retry.After(errFlaky, math.MaxInt64)); reason != nil || wait < 0 {
		t.Errorf("overflow: %v, %v", wait, reason)
	}
}

// The n-th wait is the n-th of the schedule.
func TestNextFollowsTheSchedule(t *testing.T) {
	t.Parallel()
	p := &retry.Policy{MaxAttempts: -1, Backoff: func() retry.Schedule { return &counting{} }}
	for _, n := range []int{1, 2, 3, 100, 1000, 5000} {
		if wait, _ := p.Next(n, errFlaky); wait != time.Duration(min(n, 1000)) {
			t.Errorf("wait after attempt %d is %d", n, wait)
		}
	}
	var none *retry.Policy
	if wait, reason := none.Next(1, errFlaky); reason != nil || wait > 50*time.Millisecond {
		t.Errorf("nil policy: %v, %v", wait, reason)
	}
	if _, reason := none.Next(3, errFlaky); !errors.Is(reason, retry.ErrAttempts) {
		t.Errorf("nil policy: %v", reason)
	}
}

type counting struct{ n time.Duration }

func (c *counting) NextBackOff() time.Duration { c.n++; return c.n }

func TestObserverHearsOfFailuresOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var events []string
		observe := func(_ context.Context, e retry.Event) {
			events = append(events, fmt.Sprintf("%s/%d %v %v %v %v", e.Policy, e.Attempt, e.Err, e.Verdict.Class, e.Wait, e.Reason))
		}
		check := func(name string, p *retry.Policy, op func(context.Context) error, want ...string) {
			t.Helper()
			events = nil
			p.Name, p.Observe, p.Backoff = "p", observe, retry.Constant(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_ = retry.Do(ctx, p, op)
			if !slices.Equal(events, want) {
				t.Errorf("%s\ngot  %q\nwant %q", name, events, want)
			}
		}
		ok, _ := failing(0, nil)
		check("success", &retry.Policy{}, ok)
		twice, _ := failing(2, errFlaky)
		check("in the end", &retry.Policy{}, twice, "p/1 flaky undecided 1s <nil>", "p/2 flaky undecided 1s <nil>")
		never, _ := failing(always, retry.Safe(errFlaky))
		check("never", &retry.Policy{MaxAttempts: 2}, never, "p/1 flaky no-effect 1s <nil>", "p/2 flaky no-effect 0s retry: all attempts failed")
		stop, _ := failing(always, retry.Stop(errFlaky))
		check("permanent", &retry.Policy{}, stop, "p/1 flaky permanent 0s retry: repeating cannot help")
		late, _ := failing(always, retry.After(errFlaky, 2*time.Minute))
		check("hand-back", &retry.Policy{MaxRetryAfter: time.Hour}, late, "p/1 flaky undecided 0s retry: the wait would pass the deadline")
		check("refused before the first", &retry.Policy{Breaker: &recordingBreaker{refuse: errFlaky}}, ok,
			"p/0 flaky undecided 0s retry: refused locally by the breaker: flaky")
		once := &recordingBreaker{}
		flaky := func(context.Context) error { once.refuse = errors.New("open"); return errFlaky }
		check("refused between two", &retry.Policy{Breaker: once}, flaky,
			"p/1 flaky undecided 1s <nil>", "p/1 flaky undecided 0s retry: refused locally by the breaker: open")
	})
}

func TestLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		if retry.Log(nil) != nil {
			t.Error("a nil logger makes noise")
		}
		var out bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		op, _ := failing(always, errFlaky)
		_ = retry.Do(t.Context(), &retry.Policy{Name: "db", MaxAttempts: 2, Backoff: retry.Constant(time.Second), Observe: retry.Log(logger)}, op)
		want := `level=INFO msg="retry: attempt failed" policy=db attempt=1 class=undecided error=flaky wait=1s
level=WARN msg="retry: gave up" policy=db attempt=2 class=undecided error=flaky reason="retry: all attempts failed"
`
		if out.String() != want {
			t.Errorf("got\n%s", out.String())
		}
		out.Reset()
		quiet := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError}))
		_ = retry.Do(t.Context(), &retry.Policy{Observe: retry.Log(quiet)}, op)
		if out.Len() != 0 {
			t.Errorf("logged %s", out.String())
		}
	})
}

func TestClassNames(t *testing.T) {
	t.Parallel()
	var names []string
	for c := range retry.NoEffect + 2 {
		names = append(names, c.String())
	}
	if got := strings.Join(names, " "); got != "undecided permanent ambiguous no-effect unknown" {
		t.Error(got)
	}
}
