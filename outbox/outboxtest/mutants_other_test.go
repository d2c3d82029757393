package outboxtest

import (
	"context"
	"slices"
	"time"

	"example.com/once/outbox"
)

func otherMutants() map[string]func(*mutant) {
	return map[string]func(*mutant){
		"a redriven message goes to the end": func(m *mutant) {
			m.redrive = func(ctx context.Context, f outbox.Filter) (int64, error) {
				return m.resolve(ctx, f, func(sh *memoryShard, row *memoryRow) {
					m.seq++
					row.dead, row.blocks, row.attempts, row.due = false, false, 0, time.Now()
					row.delivery.Seq = m.seq
					sh.park(row)
				})
			}
		},
		"a redriven message keeps its attempts": func(m *mutant) {
			m.redrive = func(ctx context.Context, f outbox.Filter) (int64, error) {
				return m.resolve(ctx, f, func(sh *memoryShard, row *memoryRow) {
					row.dead, row.blocks, row.due = false, false, time.Now()
					sh.park(row)
				})
			}
		},
		"a redriven message overtakes and is overtaken": func(m *mutant) {
			m.redrive = func(ctx context.Context, f outbox.Filter) (int64, error) {
				return m.resolve(ctx, f, func(sh *memoryShard, row *memoryRow) {
					row.dead, row.blocks, row.attempts = false, false, 0
					sh.hot = insert(sh.hot, row)
				})
			}
		},
		"redrive ignores the filter": func(m *mutant) {
			m.redrive = func(ctx context.Context, _ outbox.Filter) (int64, error) {
				return m.Memory.Redrive(ctx, outbox.Filter{})
			}
		},
		"a rollback commits": func(m *mutant) {
			m.undo = func(tx *MemoryTx) error { return tx.Commit() }
		},
		"NotBefore is ignored": func(m *mutant) {
			m.write = func(_ *MemoryTx, msg outbox.Message) outbox.Message {
				msg.NotBefore = time.Time{}
				return msg
			}
		},
		"headers are sorted": func(m *mutant) {
			m.write = func(_ *MemoryTx, msg outbox.Message) outbox.Message {
				msg.Headers = slices.Clone(msg.Headers)
				slices.SortFunc(msg.Headers, func(a, b outbox.Header) int {
					if a.Key < b.Key {
						return -1
					}
					return 1
				})
				return msg
			}
		},
		"what cannot be written is mended": func(m *mutant) {
			m.write = func(_ *MemoryTx, msg outbox.Message) outbox.Message {
				if msg.Validate() != nil {
					return outbox.Message{Topic: "mended"}
				}
				return msg
			}
		},
		"lanes are ignored": func(m *mutant) {
			m.write = func(_ *MemoryTx, msg outbox.Message) outbox.Message {
				msg.Lane = 0
				return msg
			}
		},
		"Stats counts dead letters as parked": func(m *mutant) {
			m.stats = func(s outbox.Stats) outbox.Stats {
				s.Parked, s.Dead = s.Parked+s.Dead, 0
				return s
			}
		},
		"Skip redrives": func(m *mutant) {
			m.skip = m.Redrive
		},
		"commits are not announced": func(m *mutant) {
			m.listen = func(ctx context.Context, _ func()) error {
				<-ctx.Done()
				return ctx.Err()
			}
		},
		"an ID is made up": func(m *mutant) {
			m.write = func(_ *MemoryTx, msg outbox.Message) outbox.Message {
				msg.ID[0]++
				return msg
			}
		},
	}
}
