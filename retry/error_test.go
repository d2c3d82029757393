package retry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"example.com/once/retry"
)

func TestErrorKeepsTheFirstAndTheLatest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// retry-go: all errors of a finite loop, none of an endless one.
		for _, limit := range []int{20, -1} {
			n := 0
			ctx, cancel := context.WithCancel(t.Context())
			err := retry.Do(ctx, &retry.Policy{MaxAttempts: limit}, func(context.Context) error {
				if n++; n == 20 {
					cancel()
				}
				return fmt.Errorf("failure %d", n)
			})
			cancel()
			e, ok := errors.AsType[*retry.Error](err)
			if !ok || e.Attempts != 20 || len(e.Errs) != 8 {
				t.Fatalf("%v", err)
			}
			for i, want := range []int{1, 14, 15, 16, 17, 18, 19, 20} {
				if got := e.Errs[i].Error(); got != fmt.Sprintf("failure %d", want) {
					t.Errorf("Errs[%d] is %q", i, got)
				}
			}
			if all := e.Unwrap(); all[0] != e.Reason || all[1] != e.Errs[7] || all[8] != e.Errs[0] { //nolint:errorlint // identity is the point
				t.Errorf("unwraps to %v", all)
			}
		}
	})
}

func TestErrorNamesTheLocalCauseFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		op, _ := failing(always, errFlaky)
		err := retry.Do(t.Context(), nil, op)
		if got, want := err.Error(), "retry: all attempts failed after 3 attempts: flaky"; got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		p := &retry.Policy{Budget: &retry.Budget{Burst: -1}}
		if got := retry.Do(t.Context(), p, op).Error(); !strings.HasPrefix(got, "retry: budget exhausted locally after 1 attempt: ") {
			t.Errorf("got  %q", got)
		}
	})
	var none *retry.Error
	if none.Error() == "" || none.Unwrap() != nil || none.Timeout() {
		t.Error("a nil *Error is not harmless")
	}
}

// retry-go's AttemptsForError panics on one.
func TestUncomparableErrorsAreHandled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		op, _ := failing(always, uncomparable{"a", "b"})
		err := retry.Do(t.Context(), nil, op)
		if e, ok := errors.AsType[uncomparable](err); !ok || len(e) != 2 {
			t.Errorf("%v", err)
		}
		if err := retry.Do(t.Context(), nil, func(context.Context) error {
			return retry.Stop(uncomparable{"c"})
		}); err.Error() != "c" {
			t.Errorf("%v", err)
		}
	})
}

type uncomparable []string

func (u uncomparable) Error() string { return strings.Join(u, ",") }
