package idemtest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"example.com/once/idem"
)

func guardTxCases[Tx any]() []kitCase {
	return []kitCase{
		{"T5 DoTx", "DoTx commits effect and record together; a later call replays.", t5[Tx]},
		{"T6 DoTx that fails", "If fn fails, effect, attempt and fingerprint are rolled back.", t6[Tx]},
		{"T7 Final in a transaction", "Final undoes what fn wrote and records the error.", t7[Tx]},
		{"T8 JoinTx", "JoinTx counts if the caller commits, and not if it does not.", t8[Tx]},
		{"T9 JoinTx that fails", "JoinTx whose fn fails leaves neither effect nor claim, even if the caller commits.", t9[Tx]},
		{"T10 parallel DoTx", "Of parallel calls of DoTx for one key one has an effect, and all get its result.", t10[Tx]},
		{"T11 DoTx against a lease", "DoTx does not run while a claim outside transactions holds the key.", t11[Tx]},
		{"T12 calls inside DoTx", "A call on the same store inside a transaction is refused; joining it is not.", t12[Tx]},
	}
}

func txGuard[Tx any](c *C, config idem.Config) *idem.TxGuard[Tx] {
	g, err := idem.NewTx(txStore[Tx](c), config)
	if err != nil {
		c.Fatalf("NewTx: %v", err)
	}
	return g
}

// effectOf is a function for DoTx that writes effect and returns result or err.
func effectOf[Tx any](c *C, effect idem.Key, result string, err error) func(context.Context, Tx) (string, error) {
	s := txStore[Tx](c)
	return func(_ context.Context, tx Tx) (string, error) {
		c.with(s.With(tx)).write(effect)
		return result, err
	}
}

func t5[Tx any](c *C) {
	g := txGuard[Tx](c, idem.Config{})
	for i := range 3 {
		var info idem.Info
		got, err := idem.DoTx(c.ctx, g, "k", effectOf[Tx](c, "effect", "r", nil), idem.Report(&info))
		if err != nil || got != "r" || info.Replayed != (i > 0) || info.Attempt != 1 {
			c.Fatalf("call %d: %q, %v, %+v", i, got, err, info)
		}
	}
	c.written("effect")
}

func t6[Tx any](c *C) {
	g := txGuard[Tx](c, idem.Config{})
	_, err := idem.DoTx(c.ctx, g, "k", effectOf[Tx](c, "effect", "", errRefused), idem.WithFingerprint([]byte("mine")))
	if !errors.Is(err, errRefused) {
		c.Fatalf("DoTx: %v, want fn's error", err)
	}
	var info idem.Info
	got, err := idem.DoTx(c.ctx, g, "k", effectOf[Tx](c, "effect", "r", nil), idem.WithFingerprint([]byte("yours")), idem.Report(&info))
	if err != nil || got != "r" || info.Attempt != 1 {
		c.Fatalf("the call after it: %q, %v, %+v; want a first attempt", got, err, info)
	}
	c.written("effect")
}

func t7[Tx any](c *C) {
	g := txGuard[Tx](c, idem.Config{})
	_, err := idem.DoTx(c.ctx, g, "k", effectOf[Tx](c, "effect", "", idem.Final(errRefused)))
	if !errors.Is(err, errRefused) {
		c.Fatalf("DoTx: %v, want fn's error", err)
	}
	_, err = idem.DoTx(c.ctx, g, "k", effectOf[Tx](c, "effect", "r", nil))
	if !errors.Is(err, idem.ErrRecorded) || err.Error() != errRefused.Error() {
		c.Fatalf("the call after it: %v, want the recorded error", err)
	}
	c.fresh("what a Final function wrote", "effect")
}

// join runs JoinTx in a transaction that writes another effect, and ends it with end.
func join[Tx any](c *C, g *idem.TxGuard[Tx], key, effect idem.Key, fnErr, end error) (got string, err error) {
	s := txStore[Tx](c)
	txErr := s.InTx(c.ctx, func(tx Tx) error {
		c.with(s.With(tx)).write("caller's " + effect)
		got, err = idem.JoinTx(c.ctx, g, tx, key, func(ctx context.Context) (string, error) {
			return effectOf[Tx](c, effect, "r", fnErr)(ctx, tx)
		})
		return end
	})
	if !errors.Is(txErr, end) {
		c.Fatalf("InTx: %v, want %v", txErr, end)
	}
	return got, err
}

func t8[Tx any](c *C) {
	g := txGuard[Tx](c, idem.Config{})
	if got, err := join(c, g, "k", "rolled back", nil, errRefused); err != nil || got != "r" {
		c.Fatalf("JoinTx: %q, %v", got, err)
	}
	c.fresh("the effect", "rolled back")
	if got, err := join(c, g, "k", "committed", nil, nil); err != nil || got != "r" {
		c.Fatalf("JoinTx after a rollback: %q, %v", got, err)
	}
	if got, err := join(c, g, "k", "replayed", nil, nil); err != nil || got != "r" {
		c.Fatalf("JoinTx after a commit: %q, %v", got, err)
	}
	c.written("committed")
	c.fresh("the effect of a replay", "replayed")
}

func t9[Tx any](c *C) {
	g := txGuard[Tx](c, idem.Config{})
	if _, err := join(c, g, "k", "effect", errRefused, nil); !errors.Is(err, errRefused) {
		c.Fatalf("JoinTx: %v, want fn's error", err)
	}
	c.written("caller's effect")
	c.fresh("the effect", "effect")
	c.fresh("the key", "k")
	if _, err := join(c, g, "final", "final effect", idem.Final(errRefused), nil); !errors.Is(err, errRefused) {
		c.Fatalf("JoinTx: %v, want fn's error", err)
	}
	c.written("caller's final effect")
	c.fresh("what a Final function wrote", "final effect")
	if _, err := join(c, g, "final", "never", nil, nil); !errors.Is(err, idem.ErrRecorded) {
		c.Errorf("JoinTx after a recorded error: %v, want ErrRecorded", err)
	}
}

func t10[Tx any](c *C) {
	const callers, tries = 8, 50
	g := txGuard[Tx](c, idem.Config{Wait: c.opt.timeout})
	s := txStore[Tx](c)
	var runs atomic.Int64
	results, errs := make([]int64, callers), make([]error, callers)
	race(callers, func(i int) {
		for range tries { // a database may refuse one of two transactions, which is right
			results[i], errs[i] = idem.DoTx(c.ctx, g, "k", func(_ context.Context, tx Tx) (int64, error) {
				n := runs.Add(1)
				st := s.With(tx)
				rec, err := st.Claim(c.ctx, claimOf(idem.Key(fmt.Sprintf("effect %d", n))))
				if err != nil {
					return 0, err
				}
				_, err = st.Complete(c.ctx, rec.Lease, []byte("effect"), longKeep)
				return n, err
			})
			if errs[i] == nil {
				return
			}
			pause(c.ctx, time.Duration(i+1)*time.Millisecond)
		}
	})
	for i := range callers {
		if errs[i] != nil || results[i] != results[0] {
			c.Fatalf("caller %d got %d, %v; caller 0 got %d", i, results[i], errs[i], results[0])
		}
	}
	for n := range runs.Load() {
		effect := idem.Key(fmt.Sprintf("effect %d", n+1))
		if n+1 == results[0] {
			c.written(effect)
		} else {
			c.fresh("the effect of a run that was not committed", effect)
		}
	}
}

func t11[Tx any](c *C) {
	g := txGuard[Tx](c, idem.Config{})
	l := c.acquire("k")
	_, err := idem.DoTx(c.ctx, g, "k", effectOf[Tx](c, "effect", "r", nil))
	if !errors.Is(err, idem.ErrInFlight) {
		c.Fatalf("DoTx of a key in flight: %v, want ErrInFlight", err)
	}
	c.release(l, idem.DispositionRetry)
	var info idem.Info
	got, err := idem.DoTx(c.ctx, g, "k", effectOf[Tx](c, "effect", "r", nil), idem.Report(&info))
	if err != nil || got != "r" || info.Attempt != 2 || info.Fence <= l.Fence {
		c.Fatalf("DoTx of a released key: %q, %v, %+v; want attempt 2 and a higher fence than %d", got, err, info, l.Fence)
	}
	c.written("effect")
}

func t12[Tx any](c *C) {
	g := txGuard[Tx](c, idem.Config{})
	_, err := idem.DoTx(c.ctx, g, "outer", func(ctx context.Context, tx Tx) (string, error) {
		if err := idem.Do(ctx, g.Guard, "other", func(context.Context) error { return nil }); !errors.Is(err, idem.ErrNested) {
			c.Errorf("Do inside DoTx: %v, want ErrNested", err)
		}
		if _, err := idem.DoTx(ctx, g, "other", effectOf[Tx](c, "effect", "r", nil)); !errors.Is(err, idem.ErrNested) {
			c.Errorf("DoTx inside DoTx: %v, want ErrNested", err)
		}
		return idem.JoinTx(ctx, g, tx, "inner", func(ctx context.Context) (string, error) {
			return effectOf[Tx](c, "inner effect", "r", nil)(ctx, tx)
		})
	})
	if err != nil {
		c.Fatalf("JoinTx inside DoTx: %v", err)
	}
	c.written("inner effect")
	c.want("the inner key", claimOf("inner"), idem.Done)
	c.want("the outer key", claimOf("outer"), idem.Done)
}
