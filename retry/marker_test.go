package retry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"

	"example.com/once/retry"
)

func TestMarkersOfNilAreNil(t *testing.T) {
	t.Parallel()
	if retry.Stop(nil) != nil || retry.Safe(nil) != nil || retry.After(nil, time.Second) != nil {
		t.Error("a marker made a failure of nil")
	}
}

func TestMarkersKeepTextAndIdentity(t *testing.T) {
	t.Parallel()
	for _, err := range []error{retry.Stop(errFlaky), retry.Safe(errFlaky), retry.After(errFlaky, 1)} {
		if err.Error() != "flaky" || !errors.Is(err, errFlaky) {
			t.Errorf("%v", err)
		}
	}
}

func TestOutermostMarkerHasTheLastWord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want retry.Verdict
	}{
		{retry.Stop(retry.Safe(errFlaky)), retry.Verdict{Class: retry.Permanent}},
		{retry.Safe(retry.Stop(errFlaky)), retry.Verdict{Class: retry.NoEffect}},
		{retry.After(retry.Stop(errFlaky), time.Second), retry.Verdict{Class: retry.Ambiguous, After: time.Second}},
		{retry.After(retry.Safe(errFlaky), time.Second), retry.Verdict{Class: retry.NoEffect, After: time.Second}},
		{retry.Safe(retry.After(errFlaky, time.Second)), retry.Verdict{Class: retry.NoEffect, After: time.Second}},
		{retry.After(errFlaky, -time.Second), retry.Verdict{}},
		{fmt.Errorf("a: %w", retry.Stop(fmt.Errorf("b: %w", retry.Safe(errFlaky)))), retry.Verdict{Class: retry.Permanent}},
		{errors.Join(errFlaky, retry.Stop(errFlaky)), retry.Verdict{Class: retry.Permanent}},
		{errors.Join(errFlaky, retry.Safe(errFlaky)), retry.Verdict{Class: retry.Ambiguous}},
		{errors.Join(retry.Safe(errFlaky), nil, retry.Safe(errFlaky)), retry.Verdict{Class: retry.NoEffect}},
		{backoff.Permanent(errFlaky), retry.Verdict{Class: retry.Permanent}},
		{fmt.Errorf("a: %w", backoff.Permanent(errFlaky)), retry.Verdict{Class: retry.Permanent}},
	} {
		if got := retry.Classify(c.err); got != c.want {
			t.Errorf("%#v: %+v, want %+v", c.err, got, c.want)
		}
	}
}

// The policy's own classifier never sees a marker on top, and cannot overrule one.
func TestMarkersOverruleTheClassifier(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var saw error
		p := &retry.Policy{MaxAttempts: 2, Classify: func(err error) retry.Verdict {
			saw = err
			return retry.Verdict{Class: retry.NoEffect, After: -time.Hour}
		}}
		for _, err := range []error{
			retry.Stop(errFlaky), backoff.Permanent(errFlaky), fmt.Errorf("a: %w", retry.Stop(errFlaky)),
			fmt.Errorf("a: %w", backoff.Permanent(errFlaky)), errors.Join(errFlaky, retry.Stop(errFlaky)),
		} {
			op, calls := failing(always, err)
			got := retry.Do(t.Context(), p, op)
			if *calls != 1 || !errors.Is(got, errFlaky) || got.Error() != err.Error() {
				t.Errorf("%v: %d calls, %v", err, *calls, got)
			}
		}
		op, _ := failing(always, retry.Stop(errFlaky))
		_ = retry.Do(t.Context(), p, op)
		if saw != errFlaky { //nolint:errorlint // identity is the point
			t.Errorf("the classifier saw %#v", saw)
		}
		p = &retry.Policy{NonIdempotent: true, Classify: func(error) retry.Verdict { return retry.Verdict{Class: retry.Permanent} }}
		op, calls := failing(2, fmt.Errorf("a: %w", retry.Safe(errFlaky)))
		if err := retry.Do(t.Context(), p, op); err != nil || *calls != 3 {
			t.Errorf("%d calls, %v", *calls, err)
		}
	})
}

// backoff#174: what stopped an inner loop stopped the outer one too.
func TestMarkersAreConsumedByTheLoopThatSeesThem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, err := range []error{
			retry.Stop(errFlaky), fmt.Errorf("a: %w", retry.Stop(errFlaky)),
			backoff.Permanent(errFlaky), fmt.Errorf("a: %w", backoff.Permanent(errFlaky)),
			errors.Join(retry.Stop(errFlaky), errFlaky),
		} {
			op, calls := failing(2, err)
			if got := retry.Do(t.Context(), nil, func(ctx context.Context) error {
				inner := retry.Do(ctx, nil, op)
				if inner != nil {
					return fmt.Errorf("outer: %w", inner)
				}
				return nil
			}); got != nil || *calls != 3 {
				t.Errorf("%v: %d calls, %v", err, *calls, got)
			}
		}
	})
}

// Also inside of the errors that an *Error keeps.
func TestGivenUpErrorsCarryNoMarkers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		op, _ := failing(always, fmt.Errorf("a: %w", retry.After(errFlaky, time.Second)))
		err := retry.Do(t.Context(), nil, op)
		for _, kept := range gaveUp(t, err, retry.ErrAttempts, 3).Errs {
			if v := retry.Classify(kept); v != (retry.Verdict{}) {
				t.Errorf("%v still says %+v", kept, v)
			}
		}
	})
}

// backoff 7.0.1: a typed nil marker panicked.
func TestEmptyPermanentErrorIsAFailureAndDoesNotPanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, err := range []error{(*backoff.PermanentError)(nil), &backoff.PermanentError{}} {
			op, calls := failing(2, err)
			inner := func(ctx context.Context) error { return retry.Do(ctx, nil, op) }
			if got := inner(t.Context()); got == nil || *calls != 1 {
				t.Errorf("%d calls, %#v", *calls, got)
			}
			if err := retry.Do(t.Context(), nil, inner); err != nil || *calls != 3 {
				t.Errorf("an outer loop was stopped after %d calls: %#v", *calls, err)
			}
		}
	})
}
