package integration_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
	"example.com/once/outbox/outboxtest"
)

// TestOutboxDoesWhatTheModelDoes runs random histories against the store and against the
// store in memory and compares every answer. Waits are over at once or never.
func TestOutboxDoesWhatTheModelDoes(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		seeds := uint64(20)
		if testing.Short() || raceDetector() {
			seeds = 3
		}
		for seed := range seeds {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				h := history{
					t:     t,
					rnd:   rand.New(rand.NewPCG(seed, 1)),
					sql:   openOutbox(t, d, "", outboxsql.Config{Shards: 2, Relaxed: true}),
					model: &outboxtest.Memory{Shards: 2},
				}
				exec(t, h.sql.db, "PRAGMA synchronous = OFF")
				h.sql.db.SetMaxOpenConns(1)
				for lane := range uint8(2) { // the model makes lanes when they are written to, not when they are leased
					h.write(lane)
				}
				h.lease("a")
				for h.step = range 400 {
					h.next()
					if t.Failed() {
						return
					}
				}
			})
		}
	})
}

type history struct {
	t      *testing.T
	rnd    *rand.Rand
	sql    *outboxDB
	model  *outboxtest.Memory
	step   int
	seq    int64
	leases []outbox.Lease // current and past ones
}

func (h *history) next() {
	switch n := h.rnd.IntN(100); {
	case n < 30:
		h.write(uint8(h.rnd.IntN(2)))
	case n < 40:
		h.lease(pick(h.rnd, "a", "b"))
	case n < 44:
		h.release()
	case n < 60:
		h.park()
	case n < 64:
		h.ack()
	case n < 85:
		h.settle()
	case n < 92:
		h.resolve()
	default:
		h.compare()
	}
}

func (h *history) errorf(format string, args ...any) {
	h.t.Helper()
	h.t.Errorf("step %d: "+format, append([]any{h.step}, args...)...)
}

// same compares the errors of both.
func (h *history) same(op string, got, want error) {
	h.t.Helper()
	if errors.Is(got, outbox.ErrLeaseLost) != errors.Is(want, outbox.ErrLeaseLost) || (got == nil) != (want == nil) {
		h.errorf("%s: got %v, want %v", op, got, want)
	}
}

func (h *history) write(lane uint8) {
	m := outbox.Message{ID: uuid.New(), Topic: "t", Lane: lane, Payload: []byte(strconv.Itoa(h.step))}
	if n := h.rnd.IntN(4); n > 0 {
		m.Key = fmt.Sprint("k", n)
	}
	if h.rnd.IntN(8) == 0 {
		m.NotBefore = time.Now().Add(time.Hour)
	}
	h.sql.write(h.t, m)
	if err := h.model.Write(h.t.Context(), m); err != nil {
		h.t.Fatal(err)
	}
	h.seq++
}

func (h *history) lease(owner string) {
	r := outbox.LeaseRequest{Owner: owner, TTL: time.Hour}
	if h.rnd.IntN(5) == 0 {
		r.Skip = []uint8{uint8(h.rnd.IntN(2))}
	}
	got, err := h.sql.Lease(h.t.Context(), r)
	want, werr := h.model.Lease(h.t.Context(), r)
	h.same("lease", err, werr)
	if !slices.Equal(got, want) {
		h.errorf("lease %+v:\n got %+v,\nwant %+v", r, got, want)
	}
	h.leases = append(h.leases, got...)
}

func (h *history) someLease() outbox.Lease {
	if len(h.leases) == 0 {
		return outbox.Lease{Shard: h.rnd.IntN(5), Epoch: int64(h.rnd.IntN(2))}
	}
	// Rather a late one.
	return h.leases[max(h.rnd.IntN(len(h.leases)), h.rnd.IntN(len(h.leases)))]
}

func (h *history) release() {
	held := []outbox.Lease{h.someLease(), h.someLease()}
	if h.rnd.IntN(4) == 0 {
		held = nil
	}
	owner := pick(h.rnd, "a", "b")
	h.same("release", h.sql.Release(h.t.Context(), owner, held), h.model.Release(h.t.Context(), owner, held))
}

// outcomes are for messages of a shard, and now and then for others.
func (h *history) outcomes(rows []outbox.Row, fates ...outbox.Fate) []outbox.Outcome {
	var items []outbox.Outcome
	for _, row := range rows {
		if h.rnd.IntN(3) == 0 {
			continue
		}
		o := outbox.Outcome{Seq: row.Seq, Fate: pick(h.rnd, fates...), Attempts: h.rnd.IntN(5), Err: pick(h.rnd, "", "e1", "e2")}
		if h.rnd.IntN(4) == 0 {
			o.Wait = time.Hour
		}
		if h.rnd.IntN(20) == 0 {
			o.Seq = 1 + h.rnd.Int64N(h.seq)
		}
		if !slices.ContainsFunc(items, func(p outbox.Outcome) bool { return p.Seq == o.Seq }) {
			items = append(items, o)
		}
	}
	return items
}

func (h *history) fetch(l outbox.Lease, limit int) []outbox.Row {
	r := outbox.FetchRequest{From: []outbox.Cursor{{Lease: l, After: h.rnd.Int64N(h.seq+1) / 2}}, Limit: limit, Bytes: 1 + h.rnd.IntN(20)}
	got, err := h.sql.Fetch(h.t.Context(), r)
	want, werr := h.model.Fetch(h.t.Context(), r)
	h.same("fetch", err, werr)
	if got.More != want.More || !slices.EqualFunc(got.Rows, want.Rows, sameRow) {
		h.errorf("fetch %+v:\n got %+v,\nwant %+v", r, got, want)
	}
	return got.Rows
}

func sameRow(a, b outbox.Row) bool {
	return a.ID == b.ID && a.Seq == b.Seq && a.Shard == b.Shard && a.Lane == b.Lane && a.Key == b.Key &&
		a.Attempt == b.Attempt && a.Behind == b.Behind && a.Err == nil && string(a.Payload) == string(b.Payload)
}

func (h *history) park() {
	l := h.someLease()
	items := h.outcomes(h.fetch(l, 1+h.rnd.IntN(5)), outbox.Again, outbox.Behind, outbox.Dead, outbox.Block)
	for range 1 + h.rnd.IntN(2) {
		if len(items) > 0 {
			h.same("park", h.sql.Park(h.t.Context(), l, items), h.model.Park(h.t.Context(), l, items))
		}
	}
}

func (h *history) ack() {
	var refs []outbox.Ref
	for range 3 {
		refs = append(refs, outbox.Ref{Shard: h.rnd.IntN(4), Seq: 1 + h.rnd.Int64N(h.seq+1)})
	}
	h.same("ack", h.sql.Ack(h.t.Context(), refs), h.model.Ack(h.t.Context(), refs))
}

// due compares what is due, and returns some of it.
func (h *history) due(held []outbox.Lease) []outbox.Row {
	bySeq := func(a, b outbox.Row) int { return cmp.Compare(a.Seq, b.Seq) }
	want, werr := h.model.Due(h.t.Context(), held, 1000)
	got, err := h.sql.Due(h.t.Context(), held, 1000)
	h.same("due", err, werr)
	h.inOrder(got, want)
	slices.SortFunc(got, bySeq)
	slices.SortFunc(want, bySeq)
	if !slices.EqualFunc(got, want, sameRow) {
		h.errorf("due:\n got %+v,\nwant %+v", got, want)
	}
	limit := 1 + h.rnd.IntN(6)
	some, err := h.sql.Due(h.t.Context(), held, limit)
	if err != nil || len(some) != min(limit, len(want)) {
		h.errorf("due: %d messages of %d and %d, %v", len(some), limit, len(want), err)
	}
	h.inOrder(some, want)
	return some
}

// inOrder checks that the messages of each key are the first ones of those in all.
func (h *history) inOrder(rows, all []outbox.Row) {
	h.t.Helper()
	next := map[[2]any][]int64{}
	for _, row := range all {
		k := [2]any{row.Shard, row.OrderKey()}
		next[k] = append(next[k], row.Seq)
	}
	for _, row := range rows {
		k := [2]any{row.Shard, row.OrderKey()}
		if row.OrderKey() == "" {
			continue
		}
		if len(next[k]) == 0 || next[k][0] != row.Seq {
			h.errorf("due: %d of key %v comes too early: %v", row.Seq, k, next[k])
			return
		}
		next[k] = next[k][1:]
	}
}

func (h *history) settle() {
	l := h.someLease()
	items := h.outcomes(h.due([]outbox.Lease{l}), outbox.Published, outbox.Published, outbox.Again, outbox.Dead, outbox.Block)
	for range 1 + h.rnd.IntN(2) {
		if len(items) > 0 {
			h.same("settle", h.sql.Settle(h.t.Context(), l, items), h.model.Settle(h.t.Context(), l, items))
		}
	}
}

func (h *history) filter() outbox.Filter {
	f := outbox.Filter{Limit: h.rnd.IntN(4), Key: pick(h.rnd, "", "k1", "k2"), Topic: pick(h.rnd, "", "t", "none")}
	if h.rnd.IntN(2) == 0 {
		lane := uint8(h.rnd.IntN(2))
		f.Lane = &lane
	}
	return f
}

func (h *history) resolve() {
	f := h.filter()
	do := [2]func(context.Context, outbox.Filter) (int64, error){h.sql.Redrive, h.model.Redrive}
	if h.rnd.IntN(2) == 0 {
		do = [2]func(context.Context, outbox.Filter) (int64, error){h.sql.Skip, h.model.Skip}
	}
	got, err := do[0](h.t.Context(), f)
	want, werr := do[1](h.t.Context(), f)
	h.same("resolve", err, werr)
	if got != want {
		h.errorf("resolve %+v: got %d, want %d", f, got, want)
	}
}

func (h *history) compare() {
	got, err := h.sql.Stats(h.t.Context())
	want, werr := h.model.Stats(h.t.Context())
	h.same("stats", err, werr)
	if off := got.Oldest - want.Oldest; off < -time.Second || off > time.Second || got.Oldest < 0 {
		h.errorf("oldest: got %v, want %v", got.Oldest, want.Oldest)
	}
	got.Oldest, want.Oldest = 0, 0
	if got != want {
		h.errorf("stats: got %+v, want %+v", got, want)
	}
	letters := func(i outbox.Inspector, f outbox.Filter) (all []string) {
		for l, err := range i.Dead(h.t.Context(), f) {
			all = append(all, fmt.Sprint(l.Shard, l.Seq, l.ID, l.Attempt, l.Err, l.Blocks, err, time.Since(l.DiedAt) < time.Minute))
		}
		return all
	}
	f := h.filter()
	if got, want := letters(h.sql, f), letters(h.model, f); !slices.Equal(got, want) {
		h.errorf("dead %+v:\n got %v,\nwant %v", f, got, want)
	}
}

func pick[T any](rnd *rand.Rand, from ...T) T { return from[rnd.IntN(len(from))] }
