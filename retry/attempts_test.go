package retry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/once/retry"
)

func TestRangeFormIsDo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for fails, want := range []int{1, 2, 3, 3} {
			var err error
			var numbers []int
			for n, ctx := range (&retry.Policy{}).Attempts(t.Context(), &err) {
				numbers = append(numbers, n)
				if err != nil {
					t.Errorf("attempt %d begins with %v", n, err)
				}
				if retry.Attempt(ctx) != n {
					t.Errorf("attempt %d is told %d", n, retry.Attempt(ctx))
				}
				if n <= fails {
					err = errFlaky
				}
			}
			if len(numbers) != want || numbers[len(numbers)-1] != want {
				t.Errorf("%d failures: attempts %v", fails, numbers)
			}
			if fails < 3 {
				if err != nil {
					t.Errorf("%d failures: %v", fails, err)
				}
			} else {
				gaveUp(t, err, retry.ErrAttempts, 3)
			}
		}
	})
}

func TestRangeFormWithEveryPolicyFeature(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := &recordingBreaker{}
		p := &retry.Policy{AttemptTimeout: time.Second, MaxElapsed: time.Hour, Breaker: b, Budget: &retry.Budget{Ratio: -1, PerSecond: -1}}
		var err error
		for n, ctx := range p.Attempts(t.Context(), &err) {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("no deadline")
			}
			if n < 3 {
				err = errFlaky
			}
		}
		if err != nil || b.String() != "[flaky flaky <nil>]" || p.Budget.Tokens() != 98 {
			t.Errorf("%v, breaker %v, %v tokens", err, b, p.Budget.Tokens())
		}
	})
}

// recordingBreaker lets everything through and notes the outcomes.
type recordingBreaker struct {
	asked, open int
	outcomes    []error
	refuse      error
}

func (b *recordingBreaker) Allow() (func(error), error) {
	if b.asked++; b.refuse != nil {
		return nil, b.refuse
	}
	b.open++
	return func(err error) { b.open--; b.outcomes = append(b.outcomes, err) }, nil
}

func (b *recordingBreaker) String() string { return fmt.Sprint(b.outcomes) }

func TestRangeFormEndsByBreakReturnAndPanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, plain := range []bool{true, false} {
			policy := func() (*retry.Policy, *recordingBreaker) {
				b := &recordingBreaker{}
				p := &retry.Policy{Budget: &retry.Budget{Ratio: -1, PerSecond: -1}}
				if !plain {
					p.Breaker = b
				}
				return p, b
			}
			check := func(what string, p *retry.Policy, b *recordingBreaker, tokens float64, outcomes string) {
				t.Helper()
				if p.Budget.Tokens() != tokens || b.open != 0 || !plain && b.String() != outcomes {
					t.Errorf("%s: %v tokens, %d permits out, outcomes %v", what, p.Budget.Tokens(), b.open, b)
				}
			}
			p, b := policy()
			var err error
			for n := range p.Attempts(t.Context(), &err) {
				if n == 2 {
					break // a success, since err is nil
				}
				err = errFlaky
			}
			if err != nil {
				t.Errorf("after break: %v", err)
			}
			check("break", p, b, 99, "[flaky <nil>]")

			p, b = policy()
			for range p.Attempts(t.Context(), &err) {
				err = errFlaky
				break
			}
			if err != errFlaky { //nolint:errorlint // it must be left alone
				t.Errorf("after break with an error: %v", err)
			}
			check("break with an error", p, b, 100, "[flaky]")

			p, b = policy()
			deferred := 0
			got := func() (n int) {
				for n := range p.Attempts(t.Context(), &err) {
					defer func() { deferred++ }()
					if n == 3 {
						return n
					}
					err = errFlaky
				}
				return 0
			}()
			if got != 3 || deferred != 3 {
				t.Errorf("returned %d, %d deferred calls", got, deferred)
			}
			check("return", p, b, 98, "[flaky flaky <nil>]")

			p, b = policy()
			func() {
				defer func() {
					if recover() != "boom" {
						t.Error("the panic did not pass")
					}
				}()
				for n := range p.Attempts(t.Context(), &err) {
					if n == 2 {
						panic("boom")
					}
					err = errFlaky
				}
			}()
			check("panic", p, b, 100, "[flaky retry: the attempt did not return]")
		}
	})
}

// An iterator may be ranged over again, and starts anew.
func TestRangeFormCanBeUsedTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		err := errors.New("left over")
		seq := (&retry.Policy{}).Attempts(t.Context(), &err)
		for range 2 {
			calls := 0
			for range seq {
				calls++
				err = errFlaky
			}
			gaveUp(t, err, retry.ErrAttempts, 3)
			if calls != 3 {
				t.Errorf("%d calls", calls)
			}
		}
	})
}

func TestRangeFormOfANilPolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var p *retry.Policy
		var err error
		calls := 0
		for range p.Attempts(t.Context(), &err) {
			calls++
			err = errFlaky
		}
		if gaveUp(t, err, retry.ErrAttempts, 3); calls != 3 {
			t.Errorf("%d calls", calls)
		}
	})
}

// What success costs, in every form: nothing.
func TestSuccessAllocatesNothing(t *testing.T) {
	ctx := t.Context()
	p := &retry.Policy{Budget: new(retry.Budget)}
	var err error
	for name, f := range map[string]func(){
		"Do":      func() { _ = retry.Do(ctx, p, work) },
		"Do, nil": func() { _ = retry.Do(ctx, nil, work) },
		"DoValue": func() { _, _ = retry.DoValue(ctx, p, workValue) },
		"Attempts": func() {
			for _, ctx := range p.Attempts(ctx, &err) {
				err = work(ctx)
			}
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	_ = retry.Do(ctx, p, func(attempt context.Context) error {
		if attempt != ctx {
			t.Error("the first attempt's context is another one")
		}
		return nil
	})
}
