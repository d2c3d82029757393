package httpmw_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
	"example.com/once/retry"

	"github.com/google/uuid"
)

// memTx stands in for a database whose transactions conflict: what Memory holds is undone by
// deleting it. The real ones are tested in internal/integration.
type memTx struct {
	*idem.Memory

	conflicts int
	begin     func(context.Context) error
}

func (s *memTx) InTx(ctx context.Context, fn func(int) error) error {
	if s.begin != nil {
		if err := s.begin(ctx); err != nil {
			return err
		}
	}
	if err := fn(1); err != nil {
		return err
	}
	if s.conflicts--; s.conflicts >= 0 {
		list, err := s.List(ctx, idem.Query{})
		for _, rec := range list {
			_ = s.Delete(ctx, rec.Lease.Key)
		}
		if err == nil {
			err = retry.Safe(errCut)
		}
		return err
	}
	return nil
}

func (s *memTx) With(int) idem.Store { return memTxStore{s.Memory} }

type memTxStore struct{ *idem.Memory }

func (memTxStore) Savepoint(ctx context.Context, fn func(context.Context) error) error {
	return fn(ctx)
}

func txMiddleware(t *testing.T, s *memTx, c httpmw.IdempotencyConfig) *httpmw.Idempotency {
	t.Helper()
	g, err := idem.NewTx(s, idem.Config{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := httpmw.NewTxIdempotency(g, httpmw.SharedScope, c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRepeatedTransactionShowsNothingOfItsEarlierRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		var events eventLog
		h := txMiddleware(t, &memTx{Memory: &idem.Memory{}, conflicts: 2}, httpmw.IdempotencyConfig{Observe: events.add}).
			Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if runs++; runs < 3 {
					w.Header().Set("X-Early", "1")
					httpmw.SetOutcome(r.Context(), httpmw.Record)
				}
				if tx, ok := httpmw.TxFrom[int](r.Context()); tx != 1 || !ok {
					t.Error("no transaction")
				}
				if _, ok := httpmw.TxFrom[string](r.Context()); ok {
					t.Error("a transaction of another type")
				}
				w.WriteHeader(201)
				_, _ = w.Write([]byte("done"))
			}))
		w := newPlainWriter()
		h.ServeHTTP(w, newPost("k", "x"))
		if w.status != 201 || w.body.String() != "done" || w.header.Get("X-Early") != "" || runs != 3 {
			t.Errorf("got %d %q %v after %d runs", w.status, w.body.String(), w.header, runs)
		}
		if len(events.list) != 1 || events.list[0].Result != httpmw.ResultFirst {
			t.Errorf("events %+v", events.list)
		}
	})
}

// What an earlier run decided is not decided for the next one.
func TestRepeatedTransactionDecidesAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		var events eventLog
		h := txMiddleware(t, &memTx{Memory: &idem.Memory{}, conflicts: 1}, httpmw.IdempotencyConfig{Observe: events.add}).
			Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if runs++; runs == 1 {
					httpmw.SetOutcome(r.Context(), httpmw.Record)
				}
				w.WriteHeader(500)
			}))
		h.ServeHTTP(newPlainWriter(), newPost("k", "x"))
		if runs != 2 || events.list[0].Result != httpmw.ResultReleased {
			t.Errorf("%d runs, event %q", runs, events.list[0].Result)
		}
	})
}

// Between two runs somebody else may have taken the key.
func TestRepeatedTransactionThatFindsTheKeyTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memTx{Memory: &idem.Memory{}, conflicts: 1}
		var key idem.Key
		store.begin = func(ctx context.Context) error {
			if key == "" {
				return nil
			}
			_, err := store.Claim(ctx, idem.Claim{Key: key, Token: uuid.New(), Lease: time.Hour})
			return err
		}
		h := txMiddleware(t, store, httpmw.IdempotencyConfig{}).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			run, _ := idem.Current(r.Context())
			key = run.Key
		}))
		w := newPlainWriter()
		h.ServeHTTP(w, newPost("k", "x"))
		if w.status != 409 {
			t.Errorf("got %d %s", w.status, w.body.String())
		}
	})
}

// The time that a handler has without a client is one for all its runs, and each claim has a StoreTimeout of its own.
func TestRepeatedTransactionKeepsItsTimes(t *testing.T) {
	t.Run("Linger", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, leave := context.WithCancel(t.Context())
			start := time.Now()
			runs := 0
			h := txMiddleware(t, &memTx{Memory: &idem.Memory{}, conflicts: 2}, httpmw.IdempotencyConfig{}).
				Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					leave()
					switch runs++; runs {
					case 1:
						time.Sleep(40 * time.Second)
					case 2:
						<-r.Context().Done()
						if d := time.Since(start); d < time.Minute || d > 61*time.Second {
							t.Errorf("stopped after %v", d)
						}
					case 3:
						if r.Context().Err() == nil {
							t.Error("the third run has time again")
						}
					}
				}))
			h.ServeHTTP(newPlainWriter(), newPost("k", "x").WithContext(ctx))
			if runs != 3 {
				t.Errorf("%d runs", runs)
			}
		})
	})
	t.Run("StoreTimeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			begins := 0
			store := &memTx{Memory: &idem.Memory{}, conflicts: 1}
			store.begin = func(ctx context.Context) error {
				if begins++; begins == 1 {
					time.Sleep(4 * time.Second)
					return nil
				}
				<-ctx.Done()
				return context.Cause(ctx)
			}
			h := txMiddleware(t, store, httpmw.IdempotencyConfig{}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				time.Sleep(time.Hour)
			}))
			start := time.Now()
			w := newPlainWriter()
			h.ServeHTTP(w, newPost("k", "x"))
			if d := time.Since(start) - time.Hour; w.status != 503 || d < 9*time.Second || d > 10*time.Second {
				t.Errorf("got %d after an hour and %v", w.status, d)
			}
		})
	})
}

func TestTxConfigurationMistakes(t *testing.T) {
	if _, err := httpmw.NewTxIdempotency[int](nil, httpmw.SharedScope, httpmw.IdempotencyConfig{}); err == nil {
		t.Error("took no TxGuard")
	}
	g, err := idem.NewTx(&memTx{Memory: &idem.Memory{}}, idem.Config{})
	if err != nil {
		t.Fatal(err)
	}
	open := httpmw.IdempotencyConfig{UnsafeFailOpen: func(*http.Request) bool { return true }}
	if _, err := httpmw.NewTxIdempotency(g, httpmw.SharedScope, open); err == nil {
		t.Error("took UnsafeFailOpen")
	}
	if _, err := httpmw.NewTxIdempotency(g, nil, httpmw.IdempotencyConfig{}); err == nil {
		t.Error("took no Scope")
	}
}
