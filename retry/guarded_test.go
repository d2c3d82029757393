package retry_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"example.com/once/retry"
)

// permits is a breaker that counts what it hands out and what comes back.
type permits struct {
	out      int
	outcomes []error
}

func (p *permits) Allow() (func(error), error) {
	p.out++
	return func(outcome error) { p.outcomes = append(p.outcomes, outcome) }, nil
}

// An attempt that does not return gives its permit back as a failure, whichever way it is made.
func TestPermitComesBackFromAttemptsThatDoNotReturn(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit} {
		for form, call := range map[string]func(*retry.Policy, func()){
			"Do": func(p *retry.Policy, leave func()) {
				_ = retry.Do(t.Context(), p, func(context.Context) error { leave(); return nil })
			},
			"DoValue": func(p *retry.Policy, leave func()) {
				_, _ = retry.DoValue(t.Context(), p, func(context.Context) (int, error) { leave(); return 0, nil })
			},
		} {
			for kind, p := range map[string]retry.Policy{
				"bare": {}, "with a time-out": {AttemptTimeout: time.Hour}, "with a budget": {Budget: &retry.Budget{}},
			} {
				b := &permits{}
				p.Breaker = b
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { _ = recover() }()
					call(&p, leave)
				}()
				<-done
				if b.out != 1 || len(b.outcomes) != 1 || b.outcomes[0] == nil {
					t.Errorf("%s in %s, %s: %d permits went out, and back came %v", name, form, kind, b.out, b.outcomes)
				}
			}
		}
	}
}
