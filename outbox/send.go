package outbox

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// PanicError is the error of an attempt at which the publisher panicked, or ended its
// goroutine. It spends an attempt like any other failure.
type PanicError struct {
	Value any // as recovered; nil after runtime.Goexit
	Stack []byte
}

func (e *PanicError) Error() string {
	if e.Value == nil {
		return "outbox: publisher ended its goroutine"
	}
	return fmt.Sprintf("outbox: publisher panicked: %v", e.Value)
}

// Unwrap returns the value if the publisher panicked with an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

func newPanicError(v any) *PanicError {
	return &PanicError{Value: v, Stack: debug.Stack()}
}

// errStuck marks a call that did not return after its context had ended.
var errStuck = errors.New("outbox: publisher did not return after its context had ended")

// send hands batch to p and returns one error a message. It returns at most grace after
// ctx ended, whatever p does: a call still running then is abandoned, every error
// matches errStuck, and returned is called once the call does come back.
func send(ctx context.Context, p Publisher, batch []Delivery, grace time.Duration, returned func()) []error {
	type answer struct {
		errs []error
		err  error // all of them
	}
	answers := make(chan answer, 1)
	n := len(batch)
	go func() {
		var a answer
		normal := false
		defer func() {
			if !normal {
				a.err = newPanicError(recover())
			}
			answers <- a
		}()
		errs := make([]error, n)
		p.Publish(ctx, batch, errs)
		a.errs = slices.Clone(errs) // whatever p does with errs afterwards
		normal = true
	}()
	take := func(a answer) []error {
		if a.err == nil {
			return a.errs
		}
		return slices.Repeat([]error{a.err}, n)
	}
	select {
	case a := <-answers:
		return take(a)
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case a := <-answers:
		return take(a)
	case <-timer.C:
	}
	go func() {
		<-answers
		returned()
	}()
	return slices.Repeat([]error{errStuck}, n)
}
