package idem_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/idem"
)

func TestCurrentAndSubKey(t *testing.T) {
	if a, ok := idem.Current(t.Context()); ok {
		t.Errorf("outside a run: %+v", a)
	}
	g := newGuard(t, &idem.Memory{}, idem.Config{})
	type ownKey struct{}
	ctx := context.WithValue(t.Context(), ownKey{}, "own")
	err := idem.Do(ctx, g, "k", func(ctx context.Context) error {
		child, cancel := context.WithCancel(context.WithValue(ctx, ownKey{}, "shadowed"))
		defer cancel()
		for _, ctx := range []context.Context{ctx, child, context.WithoutCancel(child)} {
			if a, ok := idem.Current(ctx); !ok || a.Key != "k" || a.Number != 1 || a.Fence <= 0 {
				t.Errorf("inside: %+v, %v", a, ok)
			}
		}
		if ctx.Value(ownKey{}) != "own" {
			t.Error("the caller's values are hidden")
		}
		return idem.Do(ctx, g, "inner", func(ctx context.Context) error {
			if a, _ := idem.Current(ctx); a.Key != "inner" {
				t.Errorf("innermost: %+v", a)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, k := range []idem.Key{"k", "k1", "l", "1:k"} {
		for _, name := range []string{"", "charge", "1charge", "refund", "k"} {
			sub := idem.Attempt{Key: k, Number: 3, Fence: 9}.SubKey(name)
			if sub != (idem.Attempt{Key: k}).SubKey(name) {
				t.Errorf("%q, %q: it depends on the attempt", k, name)
			}
			if len(sub) != 36 || sub[14] != '5' {
				t.Errorf("%q: not a version 5 UUID", sub)
			}
			if other, ok := seen[sub]; ok {
				t.Errorf("%q and %q share a sub-key", other, fmt.Sprint(k, name))
			}
			seen[sub] = fmt.Sprint(k, name)
		}
	}
	// Sub-keys outlive releases: a service downstream remembers them.
	if got := (idem.Attempt{Key: "k"}).SubKey("charge"); got != "0143f759-ab7c-537c-aba4-c251154c7f78" {
		t.Errorf("the sub-key has changed: %s", got)
	}
}

func TestNestedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &idem.Memory{}
		g, same, other := newGuard(t, m, idem.Config{Wait: time.Hour}), newGuard(t, m, idem.Config{Wait: time.Hour}), newGuard(t, &idem.Memory{}, idem.Config{})
		start := time.Now()
		after := make(chan context.Context, 1)
		err := idem.Do(t.Context(), g, "k", func(ctx context.Context) error {
			want(t, "the same key", run2(ctx, g, "k"), idem.ErrNested)
			want(t, "the same key, another guard over the store", run2(ctx, same, "k"), idem.ErrNested)
			err := idem.Do(ctx, g, "inner", func(ctx context.Context) error {
				want(t, "the outer key, two levels deep", run2(ctx, g, "k"), idem.ErrNested)
				return nil
			})
			after <- context.WithoutCancel(ctx)
			return errors.Join(err, run2(ctx, other, "k"))
		})
		if err != nil || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		// What a run has started in the background may outlive it.
		if err := run2(<-after, g, "k"); err != nil {
			t.Errorf("with the context of a run that is over: %v", err)
		}
	})
}

func run2(ctx context.Context, g *idem.Guard, k idem.Key) error {
	return idem.Do(ctx, g, k, func(context.Context) error { return nil })
}
