package outboxtest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"example.com/once/outbox"
)

func parkMutants() map[string]func(*mutant) {
	return map[string]func(*mutant){
		"Park is not fenced": func(m *mutant) {
			m.park = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				return m.Memory.Park(ctx, m.current(l), items)
			}
		},
		"Park is fenced by the owner's time, so that a late one is refused": func(m *mutant) {
			m.park = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				late := false
				m.in(func() { late = !m.shards[l.Shard].taken(time.Now()) })
				if late {
					return outbox.ErrLeaseLost
				}
				return m.Memory.Park(ctx, l, items)
			}
		},
		"dead letters hold their key up": func(m *mutant) {
			m.park = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				return m.Memory.Park(ctx, l, each(items, func(o *outbox.Outcome) {
					if o.Fate == outbox.Dead {
						o.Fate = outbox.Block
					}
				}))
			}
		},
		"blocking letters hold nobody up": func(m *mutant) {
			m.park = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				return m.Memory.Park(ctx, l, each(items, func(o *outbox.Outcome) {
					if o.Fate == outbox.Block {
						o.Fate = outbox.Dead
					}
				}))
			}
		},
		"a repeated Park starts over": func(m *mutant) {
			m.park = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				if err := m.Memory.Park(ctx, l, items); err != nil {
					return err
				}
				m.eachParked(func(sh *memoryShard, row *memoryRow) {
					for _, o := range items {
						if sh.number == l.Shard && row.delivery.Seq == o.Seq {
							sh.hold(row, -1)
							row.apply(o)
							sh.hold(row, 1)
						}
					}
				})
				return nil
			}
		},
		"Park takes the first item only": func(m *mutant) {
			m.park = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				return m.Memory.Park(ctx, l, items[:1])
			}
		},
		"waits are forgotten": func(m *mutant) {
			m.park = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				return m.Memory.Park(ctx, l, each(items, func(o *outbox.Outcome) { o.Wait = 0 }))
			}
		},
		"attempts are not counted": func(m *mutant) {
			m.park = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				return m.Memory.Park(ctx, l, each(items, func(o *outbox.Outcome) { o.Attempts = 1 }))
			}
		},
		"Due gives followers whose head is not due": func(m *mutant) {
			m.due = func(_ context.Context, held []outbox.Lease, limit int) ([]outbox.Row, error) {
				var rows []outbox.Row
				m.in(func() {
					for _, l := range held {
						for _, row := range m.shards[l.Shard].parked {
							if !row.dead && !row.due.After(time.Now()) && len(rows) < limit {
								rows = append(rows, outbox.Row{Delivery: row.read()})
							}
						}
					}
				})
				return rows, nil
			}
		},
		"Due gives heads only": func(m *mutant) {
			m.due = func(ctx context.Context, held []outbox.Lease, limit int) ([]outbox.Row, error) {
				rows, err := m.Memory.Due(ctx, held, limit)
				seen := map[string]bool{}
				return slices.DeleteFunc(rows, func(row outbox.Row) bool {
					key := row.OrderKey()
					again := seen[key] && key != ""
					seen[key] = true
					return again
				}), err
			}
		},
		"Due ignores the limit": func(m *mutant) {
			m.due = func(ctx context.Context, held []outbox.Lease, _ int) ([]outbox.Row, error) {
				return m.Memory.Due(ctx, held, 1000)
			}
		},
		"Due gives the latest first": func(m *mutant) {
			m.due = func(ctx context.Context, held []outbox.Lease, limit int) ([]outbox.Row, error) {
				rows, err := m.Memory.Due(ctx, held, 1000)
				slices.Reverse(rows)
				return rows[:min(len(rows), limit)], err
			}
		},
		"Due reads all shards": func(m *mutant) {
			m.due = func(ctx context.Context, _ []outbox.Lease, limit int) ([]outbox.Row, error) {
				var all []outbox.Lease
				m.in(func() {
					for _, n := range slices.Sorted(maps.Keys(m.shards)) {
						all = append(all, outbox.Lease{Shard: n})
					}
				})
				return m.Memory.Due(ctx, all, limit)
			}
		},
		"a blocked key is due": func(m *mutant) {
			m.due = func(ctx context.Context, held []outbox.Lease, limit int) ([]outbox.Row, error) {
				m.eachParked(func(_ *memoryShard, row *memoryRow) { row.blocks = false })
				return m.Memory.Due(ctx, held, limit)
			}
		},
		"followers stay when their head has left": func(m *mutant) {
			m.settle = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				err := m.Memory.Settle(ctx, l, items)
				m.eachParked(func(sh *memoryShard, row *memoryRow) {
					if sh.number == l.Shard && row.delivery.OrderKey() != "" && row.attempts == 0 {
						row.due = time.Now().Add(time.Hour)
					}
				})
				return err
			}
		},
		"Settle is fenced for what was published, too": func(m *mutant) {
			m.settle = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				var sh *memoryShard
				m.in(func() { sh = m.Memory.current(l) })
				if sh == nil {
					return outbox.ErrLeaseLost
				}
				return m.Memory.Settle(ctx, l, items)
			}
		},
		"Settle is not fenced": func(m *mutant) {
			m.settle = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				return m.Memory.Settle(ctx, m.current(l), items)
			}
		},
		"Settle with a lost lease changes the rest as well": func(m *mutant) {
			m.settle = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				err := m.Memory.Settle(ctx, l, items)
				if errors.Is(err, outbox.ErrLeaseLost) {
					_ = m.Memory.Settle(ctx, m.current(l), items)
				}
				return err
			}
		},
		"a repeated Settle fails": func(m *mutant) {
			m.settle = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				var missing bool
				m.in(func() {
					sh := m.shards[l.Shard]
					for _, o := range items {
						if i := after(sh.parked, o.Seq-1); i == len(sh.parked) || sh.parked[i].delivery.Seq != o.Seq {
							missing = true
						}
					}
				})
				if missing {
					return errors.New("not found")
				}
				return m.Memory.Settle(ctx, l, items)
			}
		},
		"Settle revives dead letters": func(m *mutant) {
			m.settle = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				m.eachParked(func(sh *memoryShard, row *memoryRow) {
					for _, o := range items {
						if sh.number == l.Shard && row.delivery.Seq == o.Seq {
							sh.hold(row, -1)
							row.dead = false
							sh.hold(row, 1)
						}
					}
				})
				return m.Memory.Settle(ctx, l, items)
			}
		},
		"what failed is not recorded": func(m *mutant) {
			m.park = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				return m.Memory.Park(ctx, l, each(items, func(o *outbox.Outcome) { o.Err = "" }))
			}
		},
		"what failed before is forgotten": func(m *mutant) {
			m.settle = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				m.eachParked(func(sh *memoryShard, row *memoryRow) {
					if sh.number == l.Shard {
						row.err = ""
					}
				})
				return m.Memory.Settle(ctx, l, items)
			}
		},
		"followers wait by the clock": func(m *mutant) {
			m.park = func(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
				return m.Memory.Park(ctx, l, each(items, func(o *outbox.Outcome) {
					if o.Fate == outbox.Behind {
						o.Fate, o.Wait = outbox.Again, time.Minute
					}
				}))
			}
		},
	}
}
