package idem_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"example.com/once/idem"
)

// events records hooks as text.
type events struct {
	mu  sync.Mutex
	all []string
}

func (e *events) hooks() idem.Hooks {
	note := func(format string, args ...any) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all = append(e.all, fmt.Sprintf(format, args...))
	}
	return idem.Hooks{
		Replayed: func(_ context.Context, k idem.Key) { note("replayed %s", k) },
		Refused:  func(_ context.Context, k idem.Key, err error) { note("refused %s: %v", k, err) },
		Started: func(ctx context.Context, a idem.Attempt) {
			if c, ok := idem.Current(ctx); !ok || c != a {
				note("the context does not know the attempt")
			}
			note("started %s %d", a.Key, a.Number)
		},
		Finished: func(ctx context.Context, a idem.Attempt, err error) {
			if ctx.Err() != nil {
				note("the context has ended")
			}
			note("finished %s %d: %v", a.Key, a.Number, err)
		},
	}
}

func (e *events) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(e.all, want) {
		t.Errorf("hooks told\n\t%s\nwant\n\t%s", strings.Join(e.all, "\n\t"), strings.Join(want, "\n\t"))
	}
	e.all = nil
}

func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		s := &faulty{inner: &idem.Memory{}}
		g := newGuard(t, s, idem.Config{Hooks: e.hooks()})
		ctx, cancel := context.WithCancel(t.Context())
		_ = idem.Do(ctx, g, "k", func(context.Context) error {
			_ = run(t, g, "k")
			cancel()
			return errBroken
		})
		e.want(t, "started k 1", "refused k: idem: key is in flight", "finished k 1: broken")
		_ = run(t, g, "k", idem.WithFingerprint([]byte("f")))
		_ = run(t, g, "k")
		e.want(t, "started k 2", "finished k 2: <nil>", "replayed k")
		_ = run(t, g, "k", idem.WithFingerprint([]byte("g")))
		e.want(t, "refused k: idem: key is bound to another request")
		_ = idem.Do(t.Context(), g, "f", failing(idem.Final(errBroken)))
		_ = run(t, g, "f")
		e.want(t, "started f 1", "finished f 1: <nil>", "replayed f")
		s.claim = before(always)
		_ = run(t, g, "k")
		e.want(t, "refused k: idem: claim: connection lost")
	})
}
