package idemtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/idem"
)

// Option changes how the kit runs.
type Option func(*options)

type options struct {
	virtual   bool
	lease     time.Duration
	margin    time.Duration
	timeout   time.Duration
	maxResult int
	writes    func(context.Context, idem.Store) (int64, error)
	skip      map[string]string
}

// Virtual runs every case in a testing/synctest bubble. It is for stores that live in this
// process, block only on channels, timers and short critical sections, and start no
// goroutine that outlives their cleanup.
func Virtual() Option { return func(o *options) { o.virtual = true } }

// Lease sets the length of a lease that a case waits for. Longer is slower and less often
// repeated. The default is 300ms.
func Lease(d time.Duration) Option { return func(o *options) { o.lease = d } }

// Margin sets how much later than asked for the store may judge that a lease or a retention
// is over. The default is 50ms.
func Margin(d time.Duration) Option { return func(o *options) { o.margin = d } }

// Timeout bounds one case. The default is a minute.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// MaxResult says that the store takes results of n bytes and refuses longer ones with
// [idem.ErrTooLarge]. Without it the store must take 1 MiB, and refusal is not tested.
func MaxResult(n int) Option { return func(o *options) { o.maxResult = n } }

// Writes counts what a store has written so far, in whatever unit. Without it nobody checks
// that a replay writes nothing.
func Writes(count func(context.Context, idem.Store) (int64, error)) Option {
	return func(o *options) { o.writes = count }
}

// Skip leaves out the cases of a number, such as "S33". The reason is shown.
func Skip(number, reason string) Option {
	return func(o *options) { o.skip[number] = reason }
}

func newOptions(opts []Option) options {
	o := options{
		lease:   300 * time.Millisecond,
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

// Run checks the stores that open makes, each with no keys in it.
func Run(t *testing.T, open func(testing.TB) idem.Store, opts ...Option) {
	t.Helper()
	runAll(t, storeCases(), open, newOptions(opts))
}

// RunTx checks what the stores that open makes promise inside transactions. Run has the
// rest.
func RunTx[Tx any](t *testing.T, open func(testing.TB) idem.TxStore[Tx], opts ...Option) {
	t.Helper()
	runAll(t, txCases[Tx](), func(tb testing.TB) idem.Store { return open(tb) }, newOptions(opts))
}

// kitCase is one behaviour.
type kitCase struct {
	name   string // a number, then words
	clause string // what the contract says
	run    func(*C)
}

func (k kitCase) number() string {
	n, _, _ := strings.Cut(k.name, " ")
	return n
}

func runAll(t *testing.T, cases []kitCase, open func(testing.TB) idem.Store, o options) {
	t.Helper()
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			if reason, ok := o.skip[k.number()]; ok {
				t.Skip(reason)
			}
			body := func(t *testing.T) {
				report(t, k, execute(t.Context(), k, open(t), o))
			}
			if o.virtual {
				synctest.Test(t, body)
			} else {
				body(t)
			}
		})
	}
}

func report(t *testing.T, k kitCase, r *recorder) {
	t.Helper()
	failures, skipped := r.result()
	for _, f := range failures {
		t.Errorf("%s\nclause: %s", f, k.clause)
	}
	if skipped != "" && len(failures) == 0 {
		t.Skip(skipped)
	}
}

// execute runs a case on a goroutine of its own, so that one which hangs or panics is a
// failure like any other.
func execute(ctx context.Context, k kitCase, s idem.Store, o options) *recorder {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	r := &recorder{}
	c := &C{recorder: r, ctx: ctx, store: s, opt: o}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.Errorf("panic: %v", p)
			}
		}()
		k.run(c)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		select { // a store that honours its context lets the case end
		case <-done:
		case <-time.After(5 * time.Second):
		}
		r.Errorf("not finished after %v", o.timeout)
	}
	return r
}

// stateError is what a case says of an unexpected answer.
func stateError(what string, got idem.Record, want idem.State) string {
	return fmt.Sprintf("%s: %v (attempt %d, fence %d), want %v", what, got.State, got.Lease.Attempt, got.Lease.Fence, want)
}
