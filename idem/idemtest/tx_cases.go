package idemtest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"example.com/once/idem"
)

// txCases are about transactions. What a caller writes in its transaction is a record of
// another key here, so that the kit needs no table of its own.
func txCases[Tx any]() []kitCase {
	return append([]kitCase{
		{"S48 commit", "InTx commits if fn returns nil: what was written in it is visible together.", s48[Tx]},
		{"S49 rollback", "InTx rolls back if fn fails, and returns its error; nothing is left, and a new claim wins.", s49[Tx]},
		{"S49 panic", "InTx rolls back if fn panics or calls runtime.Goexit, and lets that go on.", s49Panic[Tx]},
		{"S51 repeated after commit", "A lost commit is settled by claiming with the same token: Done carries the token of who completed.", s51[Tx]},
		{"S52 two transactions", "Of two transactions that claim one key at most one gets it.", s52[Tx]},
		{"S54 stale holder in a transaction", "Completion by a stale holder gets ErrLeaseLost inside a transaction too, which can then roll back.", s54[Tx]},
		{"S55 complete twice in a transaction", "Complete: a repeat by the same owner returns the record that stands, also inside a transaction.", s55[Tx]},
		{"T1 own writes", "Inside a transaction the store sees what the transaction wrote.", t1[Tx]},
		{"T2 savepoint", "Savepoint undoes what a failing fn wrote, and only that, and returns its error.", t2[Tx]},
		{"T3 nested savepoints", "Savepoints nest.", t3[Tx]},
		{"T4 panic in a savepoint", "Savepoint undoes what was written if fn panics, and lets that go on.", t4[Tx]},
	}, guardTxCases[Tx]()...)
}

func txStore[Tx any](c *C) idem.TxStore[Tx] {
	s, ok := c.store.(idem.TxStore[Tx])
	if !ok {
		c.Fatalf("%T is no TxStore", c.store)
	}
	return s
}

// inTx runs fn in a transaction, which must be committed.
func inTx[Tx any](c *C, fn func(*C, Tx) error) {
	s := txStore[Tx](c)
	if err := s.InTx(c.ctx, func(tx Tx) error { return fn(c.with(s.With(tx)), tx) }); err != nil {
		c.Fatalf("InTx: %v", err)
	}
}

// with is the case on another store.
func (c *C) with(s idem.Store) *C {
	return &C{recorder: c.recorder, ctx: c.ctx, store: s, opt: c.opt}
}

// write does what a caller writes in its transaction.
func (c *C) write(effect idem.Key) { c.complete(c.acquire(effect), []byte("effect")) }

// written expects an effect to be there once.
func (c *C) written(effect idem.Key) { c.replays("the effect", effect, []byte("effect")) }

// fresh expects that nothing is known of key.
func (c *C) fresh(what string, key idem.Key) {
	rec := c.want(what, claimOf(key), idem.Acquired)
	if rec.Lease.Attempt != 1 {
		c.Fatalf("%s: attempt %d, want 1", what, rec.Lease.Attempt)
	}
}

var errRefused = errors.New("refused by the case")

func s48[Tx any](c *C) {
	inTx(c, func(c *C, _ Tx) error {
		c.write("effect")
		c.complete(c.acquire("k"), []byte("r"))
		return nil
	})
	c.written("effect")
	c.replays("the record", "k", []byte("r"))
}

func s49[Tx any](c *C) {
	s := txStore[Tx](c)
	err := s.InTx(c.ctx, func(tx Tx) error {
		in := c.with(s.With(tx))
		in.write("effect")
		in.complete(in.acquire("k"), []byte("r"))
		return errRefused
	})
	if !errors.Is(err, errRefused) {
		c.Errorf("InTx returned %v, want fn's error", err)
	}
	if errors.Is(err, idem.ErrUnknown) {
		c.Errorf("a rollback matches ErrUnknown: %v", err)
	}
	c.fresh("the effect", "effect")
	c.fresh("the record", "k")
}

func s49Panic[Tx any](c *C) {
	s := txStore[Tx](c)
	for name, leave := range map[string]func(){
		"panic":  func() { panic(errRefused) },
		"goexit": func() { runtime.Goexit() },
	} {
		var wg sync.WaitGroup
		var passed any
		returned := false
		wg.Go(func() {
			defer func() { passed = recover() }()
			_ = s.InTx(c.ctx, func(tx Tx) error {
				c.with(s.With(tx)).write(idem.Key(name))
				leave()
				return nil
			})
			returned = true
		})
		wg.Wait()
		if returned || name == "panic" && passed == nil {
			c.Errorf("InTx returned from a %s", name)
		}
		c.fresh("the effect after a "+name, idem.Key(name))
	}
}

func s51[Tx any](c *C) {
	cl := claimOf("k")
	inTx(c, func(c *C, _ Tx) error {
		c.complete(c.want("claim", cl, idem.Acquired).Lease, []byte("r"))
		return nil
	})
	rec := c.want("the same claim after the commit", cl, idem.Done)
	if rec.Lease.Token != cl.Token || string(rec.Result) != "r" {
		c.Errorf("token %v, result %q; want the claimer's own", rec.Lease.Token, rec.Result)
	}
	if rec := c.want("another claim", claimOf("k"), idem.Done); rec.Lease.Token != cl.Token {
		c.Errorf("token %v, want that of who completed", rec.Lease.Token)
	}
}

func s52[Tx any](c *C) {
	s := txStore[Tx](c)
	for _, commit := range []bool{true, false} {
		key := idem.Key(fmt.Sprintf("commit %v", commit))
		claimed := make(chan struct{})
		var wg sync.WaitGroup
		var first, second error
		var late idem.Record
		wg.Go(func() {
			var once sync.Once
			defer once.Do(func() { close(claimed) })
			first = s.InTx(c.ctx, func(tx Tx) error {
				st := s.With(tx)
				rec, err := st.Claim(c.ctx, claimOf(key))
				if err != nil || rec.State != idem.Acquired {
					return fmt.Errorf("claim: %v, %w", rec.State, err)
				}
				once.Do(func() { close(claimed) })
				c.linger()
				if _, err := st.Complete(c.ctx, rec.Lease, []byte("r"), longKeep); err != nil || commit {
					return err
				}
				return errRefused
			})
		})
		wg.Go(func() {
			<-claimed
			second = s.InTx(c.ctx, func(tx Tx) (err error) {
				late, err = s.With(tx).Claim(c.ctx, claimOf(key))
				return errors.Join(err, errRefused)
			})
		})
		wg.Wait()
		if commit && first != nil || !commit && !errors.Is(first, errRefused) {
			c.Fatalf("first transaction: %v", first)
		}
		// The second may be blocked until the first is over, or refused: in flight, a lock
		// timeout, a serialization failure.
		if late.State == idem.Acquired && (commit || !errors.Is(second, errRefused)) {
			c.Errorf("commit %v: the second transaction got the key too (%v)", commit, second)
		}
		if late.State == idem.Done && !commit {
			c.Errorf("the second transaction saw what was rolled back")
		}
		if commit {
			c.replays("after both", key, []byte("r"))
		} else {
			c.fresh("after both", key)
		}
	}
}

// linger gives others time to run into what the case holds.
func (c *C) linger() { c.sleep(c.opt.margin) }

func s54[Tx any](c *C) {
	s := txStore[Tx](c)
	stale, now := c.takenOver("k")
	err := s.InTx(c.ctx, func(tx Tx) error {
		in := c.with(s.With(tx))
		in.write("effect")
		_, err := in.store.Complete(c.ctx, stale, []byte("stale"), longKeep)
		return err
	})
	c.lost("completion by a stale holder in a transaction", err)
	c.fresh("the effect", "effect")
	inTx(c, func(c *C, _ Tx) error {
		c.write("effect 2")
		c.complete(now, []byte("r"))
		return nil
	})
	c.written("effect 2")
	c.replays("after the new holder's transaction", "k", []byte("r"))
}

func s55[Tx any](c *C) {
	inTx(c, func(c *C, _ Tx) error {
		l := c.acquire("k")
		c.complete(l, []byte("first"))
		if rec := c.complete(l, []byte("second")); string(rec.Result) != "first" {
			c.Errorf("the repeat returned %q, want what stands", rec.Result)
		}
		return nil
	})
	c.replays("after the commit", "k", []byte("first"))
}

func t1[Tx any](c *C) {
	inTx(c, func(c *C, _ Tx) error {
		cl := claimOf("k")
		cl.Fingerprint = []byte("mine")
		l := c.want("claim", cl, idem.Acquired).Lease
		c.want("another claim", claimOf("k"), idem.InFlight)
		other := claimOf("k")
		other.Fingerprint = []byte("yours")
		c.mismatch("another fingerprint", other)
		c.complete(l, []byte("r"))
		c.replays("when done", "k", []byte("r"))
		l = c.acquire("forgotten")
		c.release(l, idem.DispositionForget)
		c.acquire("forgotten")
		return nil
	})
	c.replays("after the commit", "k", []byte("r"))
}

// savepoint runs fn in a savepoint of the transaction that c's store is in.
func (c *C) savepoint(fn func(context.Context) error) error {
	sp, ok := c.store.(idem.Savepointer)
	if !ok {
		c.Fatalf("%T, which With returned, is no Savepointer", c.store)
	}
	return sp.Savepoint(c.ctx, fn)
}

func t2[Tx any](c *C) {
	inTx(c, func(c *C, _ Tx) error {
		c.write("before")
		if err := c.savepoint(func(context.Context) error { c.write("kept"); return nil }); err != nil {
			c.Errorf("Savepoint: %v", err)
		}
		err := c.savepoint(func(context.Context) error { c.write("undone"); return errRefused })
		if !errors.Is(err, errRefused) {
			c.Errorf("Savepoint returned %v, want fn's error", err)
		}
		c.write("after")
		return nil
	})
	c.written("before")
	c.written("kept")
	c.written("after")
	c.fresh("what was undone", "undone")
}

func t3[Tx any](c *C) {
	inTx(c, func(c *C, _ Tx) error {
		err := c.savepoint(func(context.Context) error {
			c.write("outer")
			if err := c.savepoint(func(context.Context) error { c.write("inner undone"); return errRefused }); !errors.Is(err, errRefused) {
				c.Errorf("inner Savepoint returned %v", err)
			}
			return c.savepoint(func(context.Context) error { c.write("inner kept"); return nil })
		})
		if err != nil {
			c.Errorf("outer Savepoint: %v", err)
		}
		err = c.savepoint(func(context.Context) error {
			c.write("outer undone")
			if err := c.savepoint(func(context.Context) error { c.write("inner of undone"); return nil }); err != nil {
				c.Errorf("inner Savepoint: %v", err)
			}
			return errRefused
		})
		if !errors.Is(err, errRefused) {
			c.Errorf("outer Savepoint returned %v", err)
		}
		return nil
	})
	c.written("outer")
	c.written("inner kept")
	c.fresh("the inner one that failed", "inner undone")
	c.fresh("the outer one that failed", "outer undone")
	c.fresh("its inner one", "inner of undone")
}

func t4[Tx any](c *C) {
	inTx(c, func(c *C, _ Tx) error {
		func() {
			defer func() {
				if recover() == nil {
					c.Errorf("Savepoint returned from a panic")
				}
			}()
			_ = c.savepoint(func(context.Context) error { c.write("undone"); panic(errRefused) })
		}()
		c.write("after")
		return nil
	})
	c.written("after")
	c.fresh("what was undone", "undone")
}
