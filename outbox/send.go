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

// send hands batch to p. It returns one error a message, or err if the call did not end as
// it should: a *PanicError, or errStuck if it was still running at grace after the end of
// ctx. Such a call is abandoned, and returned is called once it does come back.
func send(ctx context.Context, p Publisher, batch []Delivery, grace time.Duration, returned func()) (errs []error, err error) {
	type answer struct {
		errs []error
		err  error
	}
	answers := make(chan answer, 1)
	n := len(batch)
	go func() {
		var a answer
		ended := false
		defer func() {
			if !ended {
				a.err = newPanicError(recover())
			}
			answers <- a
		}()
		errs := make([]error, n)
		p.Publish(ctx, batch, errs)
		a.errs = slices.Clone(errs) // whatever p does with errs afterwards
		ended = true
	}()
	select {
	case a := <-answers:
		return a.errs, a.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case a := <-answers:
		return a.errs, a.err
	case <-timer.C:
	}
	go func() {
		<-answers
		returned()
	}()
	return nil, errStuck
}
