package idemtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"example.com/once/idem"
	"example.com/once/idem/internal/model"
)

func historyCases() []kitCase {
	return []kitCase{
		{"S63 random histories", "Any sequence of operations has the outcome that the contract says, as a simple model of it shows.", s63},
	}
}

// history applies the same operations to the store and to a model of the contract.
type history struct {
	c      *C
	rng    *rand.Rand
	model  *model.Store
	tokens []uuid.UUID
	held   []holding // every lease ever granted, in order
	steps  []string
}

// holding is one lease as both know it: they agree on all but the fence.
type holding struct{ store, model idem.Lease }

func s63(c *C) {
	histories, length := 50, 60
	if !c.opt.virtual {
		histories, length = 10, 40
	}
	for i := range histories {
		seed := rand.Uint64()
		h := &history{
			c:      c,
			rng:    rand.New(rand.NewPCG(seed, uint64(i))),
			model:  model.New(model.None),
			tokens: []uuid.UUID{newToken(), newToken(), newToken()},
		}
		for range length {
			if !h.step(i) {
				for _, s := range h.steps {
					c.Errorf("%s", s)
				}
				c.Fatalf("history %d, seed %d", i, seed)
			}
		}
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// step does one operation on both and says whether they agreed.
func (h *history) step(i int) bool {
	r := h.rng
	if len(h.held) == 0 || r.IntN(2) == 0 {
		return h.claim(idem.Claim{
			Key:         idem.Key(fmt.Sprintf("h%d-%d", i, r.IntN(2))),
			Token:       pick(r, h.tokens...),
			Fingerprint: pick(r, nil, nil, []byte("f"), []byte("g")),
			Lease:       pick(r, time.Hour, 2*time.Hour),
			Keep:        4 * time.Hour,
			NoTakeover:  r.IntN(3) == 0,
		})
	}
	if h.c.opt.virtual && r.IntN(5) == 0 {
		d := pick(r, time.Minute, time.Hour, 3*time.Hour, 5*time.Hour)
		h.notef("wait %v", d)
		h.c.sleep(d)
		return true
	}
	// Mostly a recent one, which may still hold.
	hold := h.held[max(0, len(h.held)-1-r.IntN(3))]
	switch r.IntN(3) {
	case 0:
		return h.renew(hold, pick(r, nil, &idem.Progress{Seq: int64(r.IntN(4)), Data: []byte{byte(r.IntN(256))}}))
	case 1:
		return h.complete(hold, pick(r, nil, []byte{}, []byte("r"), []byte("s")))
	default:
		return h.release(hold, pick(r, idem.DispositionRetry, idem.DispositionRetry, idem.DispositionForget, idem.DispositionHold))
	}
}

func (h *history) notef(format string, args ...any) {
	h.steps = append(h.steps, fmt.Sprintf(format, args...))
}

func (h *history) claim(cl idem.Claim) bool {
	got, err := h.c.store.Claim(h.c.ctx, cl)
	want, wantErr := h.model.Claim(h.c.ctx, cl)
	h.notef("claim %q token %.4s fingerprint %q no takeover %v: %v %v, want %v %v",
		cl.Key, cl.Token, cl.Fingerprint, cl.NoTakeover, got.State, err, want.State, wantErr)
	if err != nil || wantErr != nil || !h.same(got, want) {
		return false
	}
	if got.State == idem.Acquired {
		for _, old := range h.held {
			if old.store.Key == cl.Key && (old.store.Fence == got.Lease.Fence) != (old.model.Fence == want.Lease.Fence) {
				h.notef("the fence should have grown, or not")
				return false
			}
			if old.store.Key == cl.Key && old.store.Fence > got.Lease.Fence {
				h.notef("the fence went back")
				return false
			}
		}
		h.held = append(h.held, holding{got.Lease, want.Lease})
	}
	return true
}

func (h *history) renew(l holding, p *idem.Progress) bool {
	err := h.c.store.Renew(h.c.ctx, l.store, time.Hour, p)
	want := h.model.Renew(h.c.ctx, l.model, time.Hour, p)
	h.notef("renew %q attempt %d token %.4s progress %v: %v, want %v", l.store.Key, l.store.Attempt, l.store.Token, p, err, want)
	return sameError(err, want)
}

func (h *history) complete(l holding, result []byte) bool {
	got, err := h.c.store.Complete(h.c.ctx, l.store, result, 4*time.Hour)
	want, wantErr := h.model.Complete(h.c.ctx, l.model, result, 4*time.Hour)
	h.notef("complete %q attempt %d token %.4s with %s: %v %v, want %v %v",
		l.store.Key, l.store.Attempt, l.store.Token, show(result), got.State, err, want.State, wantErr)
	return sameError(err, wantErr) && (want.State != idem.Done || h.same(got, want))
}

func (h *history) release(l holding, d idem.Disposition) bool {
	err := h.c.store.Release(h.c.ctx, l.store, d)
	want := h.model.Release(h.c.ctx, l.model, d)
	h.notef("release %q attempt %d token %.4s as %d: %v, want %v", l.store.Key, l.store.Attempt, l.store.Token, d, err, want)
	// A repeated release of what is gone may say either.
	return sameError(err, want) || want != nil && err == nil && h.gone(l)
}

// gone says whether the model has no record of the key any more.
func (h *history) gone(l holding) bool {
	rec, err := h.model.Get(h.c.ctx, l.model.Key)
	return err == nil && rec.State == 0
}

func sameError(got, want error) bool { return (got == nil) == (want == nil) }

func (h *history) same(got, want idem.Record) bool {
	ok := got.State == want.State && got.Lease.Attempt == want.Lease.Attempt && got.Lease.Token == want.Lease.Token &&
		bytes.Equal(got.Fingerprint, want.Fingerprint) &&
		bytes.Equal(got.Result, want.Result) && (got.Result == nil) == (want.Result == nil) &&
		got.Progress.Seq == want.Progress.Seq && bytes.Equal(got.Progress.Data, want.Progress.Data)
	if !ok {
		h.notef("got  %+v", got)
		h.notef("want %+v", want)
	}
	return ok
}
