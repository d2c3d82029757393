package docscheck_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

// What docs/guarantees.md says cannot be promised, seen to happen: so the pages stay true.

// A receiver whose memory is shorter than its sender's patience has the effect twice.
func TestReceiverThatForgetsTooSoonHasTheEffectTwice(t *testing.T) {
	for _, c := range []struct {
		keep    time.Duration
		effects int
	}{{48 * time.Hour, 1}, {time.Hour, 2}} {
		synctest.Test(t, func(t *testing.T) {
			guard, err := idem.New(&idem.Memory{}, idem.Config{Keep: c.keep})
			if err != nil {
				t.Fatal(err)
			}
			once, err := httpmw.NewIdempotency(guard, httpmw.SharedScope, httpmw.IdempotencyConfig{})
			if err != nil {
				t.Fatal(err)
			}
			effects := 0
			receiver := once.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { effects++ }))
			for range 2 { // the first answer is lost, and the sender comes back on its schedule
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("alert"))
				r.Header.Set(httpmw.HeaderKey, "id-of-the-message")
				receiver.ServeHTTP(httptest.NewRecorder(), r)
				time.Sleep(10 * time.Hour)
			}
			if effects != c.effects {
				t.Errorf("kept for %v: %d effects, want %d", c.keep, effects, c.effects)
			}
		})
	}
}

// A holder that is paused past its lease goes on when it wakes: what it does outside of the
// store is done twice, unless the resource compares fences. What is recorded is one outcome.
func TestPausedHolderActsTwiceUnlessTheResourceComparesFences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &idem.Memory{}
		var guards [2]*idem.Guard
		for i := range guards {
			// The renewals of a paused process do not arrive.
			var err error
			if guards[i], err = idem.New(deaf{store}, idem.Config{Lease: 30 * time.Second}); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		var f file
		var unfenced []string
		write := func(text string) func(context.Context) (string, error) {
			return func(ctx context.Context) (string, error) {
				if text == "first" {
					time.Sleep(time.Minute) // paused: it does not look at its context
				}
				attempt, _ := idem.Current(ctx)
				mu.Lock()
				defer mu.Unlock()
				unfenced = append(unfenced, text)
				_ = f.write(attempt.Fence, text)
				return text, nil
			}
		}
		first := make(chan string)
		go func() {
			outcome, err := idem.DoValue(t.Context(), guards[0], "k", write("first"))
			if err != nil {
				t.Error(err)
			}
			first <- outcome
		}()
		time.Sleep(31 * time.Second)
		second, err := idem.DoValue(t.Context(), guards[1], "k", write("second"))
		if err != nil || second != "second" {
			t.Errorf("the one that takes over: %q, %v", second, err)
		}
		if outcome := <-first; outcome != second {
			t.Errorf("the callers got %q and %q, want one outcome", outcome, second)
		}
		if len(unfenced) != 2 || f.text != "second" {
			t.Errorf("without a fence %q was written, with one %q", unfenced, f.text)
		}
	})
}

// deaf is a store that renewals do not reach.
type deaf struct{ idem.Store }

func (deaf) Renew(ctx context.Context, _ idem.Lease, _ time.Duration, _ *idem.Progress) error {
	<-ctx.Done()
	return ctx.Err()
}
