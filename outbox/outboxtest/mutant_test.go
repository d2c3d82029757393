package outboxtest

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/outbox"
)

// mutant is a store in memory that breaks the contract in one way. A nil function leaves a
// method right.
type mutant struct {
	*Memory

	asked   atomic.Int32 // for leases
	lease   func(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error)
	release func(ctx context.Context, owner string, held []outbox.Lease) error
	fetch   func(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error)
	ack     func(ctx context.Context, refs []outbox.Ref) error
	park    func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error
	due     func(ctx context.Context, held []outbox.Lease, limit int) ([]outbox.Row, error)
	settle  func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error
	redrive func(ctx context.Context, f outbox.Filter) (int64, error)
	skip    func(ctx context.Context, f outbox.Filter) (int64, error)
	stats   func(outbox.Stats) outbox.Stats
	listen  func(ctx context.Context, wake func()) error
	write   func(tx *MemoryTx, m outbox.Message) outbox.Message
	undo    func(tx *MemoryTx) error
}

func (m *mutant) Lease(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
	if m.lease != nil {
		return m.lease(ctx, r)
	}
	return m.Memory.Lease(ctx, r)
}

func (m *mutant) Release(ctx context.Context, owner string, held []outbox.Lease) error {
	if m.release != nil {
		return m.release(ctx, owner, held)
	}
	return m.Memory.Release(ctx, owner, held)
}

func (m *mutant) Fetch(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
	if m.fetch != nil {
		return m.fetch(ctx, r)
	}
	return m.Memory.Fetch(ctx, r)
}

func (m *mutant) Ack(ctx context.Context, refs []outbox.Ref) error {
	if m.ack != nil {
		return m.ack(ctx, refs)
	}
	return m.Memory.Ack(ctx, refs)
}

func (m *mutant) Park(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
	if m.park != nil {
		return m.park(ctx, l, items)
	}
	return m.Memory.Park(ctx, l, items)
}

func (m *mutant) Due(ctx context.Context, held []outbox.Lease, limit int) ([]outbox.Row, error) {
	if m.due != nil {
		return m.due(ctx, held, limit)
	}
	return m.Memory.Due(ctx, held, limit)
}

func (m *mutant) Settle(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
	if m.settle != nil {
		return m.settle(ctx, l, items)
	}
	return m.Memory.Settle(ctx, l, items)
}

func (m *mutant) Redrive(ctx context.Context, f outbox.Filter) (int64, error) {
	if m.redrive != nil {
		return m.redrive(ctx, f)
	}
	return m.Memory.Redrive(ctx, f)
}

func (m *mutant) Skip(ctx context.Context, f outbox.Filter) (int64, error) {
	if m.skip != nil {
		return m.skip(ctx, f)
	}
	return m.Memory.Skip(ctx, f)
}

func (m *mutant) Stats(ctx context.Context) (outbox.Stats, error) {
	s, err := m.Memory.Stats(ctx)
	if m.stats != nil {
		s = m.stats(s)
	}
	return s, err
}

func (m *mutant) Listen(ctx context.Context, wake func()) error {
	if m.listen != nil {
		return m.listen(ctx, wake)
	}
	return m.Memory.Listen(ctx, wake)
}

// mutantTx lets a mutant change what is written.
type mutantTx struct {
	*MemoryTx

	m *mutant
}

func (tx mutantTx) Write(ctx context.Context, messages ...outbox.Message) error {
	if tx.m.write != nil {
		messages = slices.Clone(messages)
		for i := range messages {
			messages[i] = tx.m.write(tx.MemoryTx, messages[i])
		}
	}
	return tx.MemoryTx.Write(ctx, messages...)
}

func (tx mutantTx) Rollback() error {
	if tx.m.undo != nil {
		return tx.m.undo(tx.MemoryTx)
	}
	return tx.MemoryTx.Rollback()
}

// in runs f on the tables.
func (m *mutant) in(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// current is the lease of l's shard as it stands.
func (m *mutant) current(l outbox.Lease) outbox.Lease {
	m.in(func() {
		if sh := m.shards[l.Shard]; sh != nil {
			if sh.owner == "" {
				sh.owner = "nobody"
			}
			l.Epoch = sh.epoch
		}
	})
	return l
}

// eachRow calls f with every parked message.
func (m *mutant) eachParked(f func(sh *memoryShard, row *memoryRow)) {
	m.in(func() {
		for _, sh := range m.shards {
			for _, row := range sh.parked {
				f(sh, row)
			}
		}
	})
}

// each changes one outcome after the other.
func each(items []outbox.Outcome, f func(*outbox.Outcome)) []outbox.Outcome {
	items = slices.Clone(items)
	for i := range items {
		f(&items[i])
	}
	return items
}

// mutants are broken stores by what is wrong with them.
func mutants() map[string]func(*mutant) {
	all := map[string]func(*mutant){}
	for _, group := range []map[string]func(*mutant){leaseMutants(), readMutants(), parkMutants(), otherMutants()} {
		maps.Copy(all, group)
	}
	return all
}

// caught runs the cases against a broken store and returns those that failed.
func caught(t *testing.T, breaks func(*mutant)) (by []string) {
	t.Helper()
	o := newOptions([]Option{Virtual()})
	o.timeout = 10 * time.Minute // a mutant may hold everything up for ever
	for _, k := range storeCases() {
		synctest.Test(t, func(t *testing.T) {
			m := &mutant{Memory: &Memory{}}
			breaks(m)
			failures, _ := execute(t.Context(), o, func(r *recorder, ctx context.Context) {
				k.run(&C{recorder: r, ctx: ctx, opt: o, Backend: Backend{
					Store: m,
					Begin: func(context.Context) (Tx, error) { return mutantTx{m.Begin(), m}, nil },
				}})
			}).result()
			if len(failures) > 0 {
				by = append(by, k.number())
			}
		})
	}
	return by
}

func TestNoMutantIsRight(t *testing.T) {
	if by := caught(t, func(*mutant) {}); len(by) > 0 {
		t.Errorf("a right store fails %v", by)
	}
}

// Every mutant fails a case, and every case fails a mutant.
func TestEveryMutantFails(t *testing.T) {
	useful := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(mutants())) {
		t.Run(name, func(t *testing.T) {
			by := caught(t, mutants()[name])
			named := false
			for _, n := range by {
				useful[n] = true
				named = named || n[0] != 'R' // relays at work catch much, but say little
			}
			if !named {
				t.Errorf("the kit passes it, but for %v", by)
			}
			t.Log("caught by", by)
		})
	}
	for _, k := range storeCases() {
		if !useful[k.number()] {
			t.Errorf("no mutant fails %s", k.name)
		}
	}
}

func TestACaseThatPanicsOrHangsFails(t *testing.T) {
	for name, run := range map[string]func(*recorder, context.Context){
		"panics": func(*recorder, context.Context) { panic("boom") },
		"hangs":  func(_ *recorder, ctx context.Context) { <-ctx.Done() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if failures, _ := execute(t.Context(), newOptions([]Option{Virtual()}), run).result(); len(failures) == 0 {
					t.Error("it passes")
				}
			})
		})
	}
}
