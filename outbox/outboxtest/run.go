package outboxtest

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/outbox"
)

// Backend is a store under test, without messages, and the way to write to it.
type Backend struct {
	Store outbox.Store
	// Begin starts a writing transaction of the database that Store reads.
	Begin func(context.Context) (Tx, error)
}

// Tx is a writing transaction. The kit ends every one that it begins. Write returns an
// error that matches [outbox.ErrMessage] for a message that cannot be written.
type Tx interface {
	Write(ctx context.Context, messages ...outbox.Message) error
	Commit() error
	Rollback() error
}

// Option changes how a kit runs.
type Option func(*options)

type options struct {
	virtual   bool
	oneWriter bool
	wait      time.Duration
	margin    time.Duration
	timeout   time.Duration
	skip      map[string]string
}

// Virtual runs every case in a testing/synctest bubble. It is for stores and destinations
// that live in this process, block only on channels, timers and short critical sections, and
// start no goroutine that outlives their cleanup.
func Virtual() Option { return func(o *options) { o.virtual = true } }

// OneWriter says that the database has one writing transaction at a time, so that a second
// one, and every write of the store, waits for it. Cases that need two are left out.
func OneWriter() Option { return func(o *options) { o.oneWriter = true } }

// Wait sets how long leases and waits are that a case waits for. The default is 300ms.
func Wait(d time.Duration) Option { return func(o *options) { o.wait = d } }

// Margin sets how much later than asked for the store may judge that a time is over. The
// default is 50ms.
func Margin(d time.Duration) Option { return func(o *options) { o.margin = d } }

// Timeout bounds one case. The default is a minute.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// Skip leaves out the cases of a number, such as "L4". The reason is shown.
func Skip(number, reason string) Option {
	return func(o *options) { o.skip[number] = reason }
}

func newOptions(opts []Option) options {
	o := options{
		wait:    300 * time.Millisecond,
		margin:  50 * time.Millisecond,
		timeout: time.Minute,
		skip:    map[string]string{},
	}
	for _, set := range opts {
		set(&o)
	}
	if o.virtual {
		o.timeout = max(o.timeout, 10*365*24*time.Hour) // nothing but a deadlock uses it up
	}
	return o
}

// RunStore checks the stores that open makes, each without messages, leases and relays.
func RunStore(t *testing.T, open func(testing.TB) Backend, opts ...Option) {
	t.Helper()
	runAll(t, storeCases(), newOptions(opts), func(tb testing.TB) func(*recorder, context.Context, options, func(*C)) {
		tb.Helper()
		b := open(tb)
		return func(r *recorder, ctx context.Context, o options, run func(*C)) {
			run(&C{recorder: r, ctx: ctx, Backend: b, opt: o})
		}
	})
}

// kitCase is one behaviour. T is what a case works with.
type kitCase[T any] struct {
	name   string // a number, then words
	clause string // what the contract says
	run    func(T)
}

func (k kitCase[T]) number() string {
	n, _, _ := strings.Cut(k.name, " ")
	return n
}

// runAll runs cases, each with what open makes for it: a function that hands a case its T.
func runAll[T any](t *testing.T, cases []kitCase[T], o options, open func(testing.TB) func(*recorder, context.Context, options, func(T))) {
	t.Helper()
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			if reason, ok := o.skip[k.number()]; ok {
				t.Skip(reason)
			}
			body := func(t *testing.T) {
				t.Helper()
				with := open(t)
				failures, skipped := execute(t.Context(), o, func(r *recorder, ctx context.Context) { with(r, ctx, o, k.run) }).result()
				for _, f := range failures {
					t.Errorf("%s\nclause: %s", f, k.clause)
				}
				if skipped != "" && len(failures) == 0 {
					t.Skip(skipped)
				}
			}
			if o.virtual {
				synctest.Test(t, body)
			} else {
				body(t)
			}
		})
	}
}

// execute runs a case on a goroutine of its own, so that one which hangs or panics is a
// failure like any other.
func execute(ctx context.Context, o options, run func(*recorder, context.Context)) *recorder {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.Errorf("panic: %v", p)
			}
		}()
		run(r, ctx)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		select { // what honours its context lets the case end
		case <-done:
		case <-time.After(5 * time.Second):
		}
		r.Errorf("not finished after %v", o.timeout)
	}
	return r
}
