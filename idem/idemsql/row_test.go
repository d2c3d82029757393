package idemsql

import (
	"errors"
	"math"
	"testing"
	"time"

	"example.com/once/idem"
)

// FuzzRow shows that no row, whoever wrote it, is more than refused, and that what is not
// refused makes sense.
func FuzzRow(f *testing.F) {
	f.Add(0, make([]byte, 16), int64(1), 1, int64(1000), int64(1000), int64(0), []byte("r"))
	f.Add(3, make([]byte, 16), int64(1), 1, int64(-5), int64(math.MaxInt64), int64(-3), []byte(nil))
	f.Add(4, make([]byte, 16), int64(math.MaxInt64), math.MaxInt, int64(math.MinInt64), int64(math.MinInt64), int64(math.MinInt64), []byte{})
	f.Add(5, []byte("short"), int64(0), 0, int64(0), int64(0), int64(0), []byte(nil))
	f.Add(-1, []byte(nil), int64(-1), -1, int64(1), int64(1), int64(1), []byte(nil))
	f.Fuzz(func(t *testing.T, p int, token []byte, fence int64, attempt int, lease, keep, age int64, result []byte) {
		r := &row{phase: phase(p), token: token, fence: fence, attempt: attempt, lease: lease, keep: keep, age: age, result: result, tick: 1000}
		if err := r.check(); err != nil {
			if !errors.Is(err, errDamaged) {
				t.Fatal(err)
			}
			return
		}
		if !r.live() {
			return
		}
		state := r.state()
		rec := r.record("k", state)
		if rec.State != state || rec.Lease.Key != "k" || rec.Lease.Fence <= 0 || rec.Lease.Attempt <= 0 || rec.Age < 0 || rec.Left < 0 {
			t.Fatalf("%+v becomes %+v", r, rec)
		}
		if (state == idem.InFlight || state == idem.Done) && rec.Left == 0 {
			t.Fatalf("%v has no time left", state)
		}
		if state != idem.Done && rec.Result != nil || r.phase == doneBare && rec.Result != nil || r.phase == done && rec.Result == nil {
			t.Fatalf("phase %d, result %q", r.phase, rec.Result)
		}
		s := records{e: sqlite()}
		c := idem.Claim{Key: "k", Lease: time.Second, Keep: time.Hour}
		for _, c.NoTakeover = range []bool{false, true} {
			got, statement := s.decide(r, c)
			if (got == idem.Acquired) != (statement != "") {
				t.Fatalf("%v with statement %q", got, statement)
			}
			if r.live() && state == idem.Done && got != idem.Done {
				t.Fatalf("a key that is done is %v to a claim", got)
			}
		}
	})
}

func TestTimesAreNeverShortenedNorOverflow(t *testing.T) {
	for d, want := range map[time.Duration]int64{
		0: 0, 1: 1, 999: 1, time.Microsecond: 1, time.Microsecond + 1: 2, time.Second: 1e6, -1: 0, -time.Second: -1e6,
		math.MaxInt64: math.MaxInt64/1000 + 1, math.MinInt64: math.MinInt64 / 1000,
	} {
		if got := ceil(d); got != want {
			t.Errorf("ceil(%d) = %d, want %d", d, got, want)
		}
	}
	for n, want := range map[int64]time.Duration{0: 0, 1: 1000, math.MaxInt64: math.MaxInt64 / 1000 * 1000, math.MaxInt64/1000 + 1: math.MaxInt64 / 1000 * 1000} {
		if got := micros(n); got != want {
			t.Errorf("micros(%d) = %d, want %d", n, got, want)
		}
	}
}

type methodCodeError struct{ code int }

func (e *methodCodeError) Error() string { return "method" }
func (e *methodCodeError) Code() int     { return e.code }

type namedCode uint16

type otherMethodCodeError struct{ code namedCode }

func (e *otherMethodCodeError) Error() string   { return "named" }
func (e *otherMethodCodeError) Code() namedCode { return e.code }

type fieldCodeError struct{ Code int }

func (e fieldCodeError) Error() string { return "field" }

type textCodeError struct{ Code string }

func (e textCodeError) Error() string { return "text" }

func TestResultCodesAreFoundInAnyDriversErrors(t *testing.T) {
	const extended = 5 | 2<<8 // SQLITE_BUSY_SNAPSHOT
	wrap := func(err error) error { return errors.Join(errors.New("x"), &unchangedError{err}) }
	for name, c := range map[string]struct {
		err  error
		want failure
	}{
		"method":       {&methodCodeError{5}, failureBusy},
		"extended":     {&methodCodeError{extended}, failureBusy},
		"named type":   {&otherMethodCodeError{6}, failureBusy},
		"field":        {fieldCodeError{18}, failureTooLarge},
		"pointer":      {&fieldCodeError{19}, failureRefused},
		"read-only":    {&fieldCodeError{8}, failureRefused},
		"wrapped":      {wrap(&methodCodeError{5}), failureBusy},
		"disk full":    {&methodCodeError{13}, failureOther},
		"text":         {textCodeError{"5"}, failureOther},
		"no code":      {errors.New("x"), failureOther},
		"nil, wrapped": {&unchangedError{}, failureOther},
	} {
		if got := sqliteFailure(c.err); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	e := sqlite()
	sure, ok := errors.AsType[interface {
		error
		NoEffect() bool
	}](e.failed("x", &methodCodeError{5}))
	if !ok || !sure.NoEffect() {
		t.Error("a lock that was not to be had does not say that nothing changed")
	}
	if !errors.Is(e.failed("x", &methodCodeError{18}), idem.ErrTooLarge) {
		t.Error("too large does not match ErrTooLarge")
	}
	if err := e.failed("x", nil); err != nil {
		t.Error(err)
	}
}
