package outboxtest

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"example.com/once/outbox"
)

func readMutants() map[string]func(*mutant) {
	return map[string]func(*mutant){
		"Ack is fenced": func(m *mutant) {
			m.ack = func(ctx context.Context, refs []outbox.Ref) error {
				var held []outbox.Ref
				m.in(func() {
					for _, ref := range refs {
						if sh := m.shards[ref.Shard]; sh != nil && sh.taken(time.Now()) {
							held = append(held, ref)
						}
					}
				})
				return m.Memory.Ack(ctx, held)
			}
		},
		"Ack fails on what is not there": func(m *mutant) {
			m.ack = func(ctx context.Context, refs []outbox.Ref) error {
				before, _ := m.Stats(ctx)
				if err := m.Memory.Ack(ctx, refs); err != nil {
					return err
				}
				if after, _ := m.Stats(ctx); after.Hot != before.Hot-int64(len(refs)) {
					return errors.New("not found")
				}
				return nil
			}
		},
		"Ack removes parked messages": func(m *mutant) {
			m.ack = func(ctx context.Context, refs []outbox.Ref) error {
				m.in(func() {
					for _, ref := range refs {
						if sh := m.shards[ref.Shard]; sh != nil {
							sh.unpark(ref.Seq)
						}
					}
				})
				return m.Memory.Ack(ctx, refs)
			}
		},
		"messages are ordered by the time of their transaction": func(m *mutant) {
			begun := map[*MemoryTx]time.Time{}
			m.write = func(tx *MemoryTx, msg outbox.Message) outbox.Message {
				if _, known := begun[tx]; !known {
					begun[tx] = time.Now()
				}
				msg.Headers = append(slices.Clone(msg.Headers), outbox.Header{Key: "begun", Value: begun[tx].Format("20060102150405.000000000")})
				time.Sleep(time.Microsecond)
				return msg
			}
			m.fetch = func(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
				page, err := m.Memory.Fetch(ctx, r)
				at := func(row outbox.Row) string { return row.Headers[len(row.Headers)-1].Value }
				slices.SortStableFunc(page.Rows, func(a, b outbox.Row) int {
					if a.Shard != b.Shard {
						return a.Shard - b.Shard
					}
					if at(a) < at(b) {
						return -1
					}
					return 1
				})
				for i, row := range page.Rows {
					page.Rows[i].Headers = row.Headers[:len(row.Headers)-1]
				}
				return page, err
			}
		},
		"commits out of order are skipped": func(m *mutant) {
			last, seen := int64(0), map[int64]bool{}
			m.fetch = func(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
				page, err := m.Memory.Fetch(ctx, r)
				m.in(func() {
					page.Rows = slices.DeleteFunc(page.Rows, func(row outbox.Row) bool { return row.Seq < last && !seen[row.Seq] })
					for _, row := range page.Rows {
						last = max(last, row.Seq)
						seen[row.Seq] = true
					}
				})
				return page, err
			}
		},
		"Safe is as high as what was read": func(m *mutant) {
			m.fetch = func(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
				page, err := m.Memory.Fetch(ctx, r)
				page.Safe = math.MaxInt64
				return page, err
			}
		},
		"Fetch ignores the cursor": func(m *mutant) {
			m.fetch = func(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
				r.From = slices.Clone(r.From)
				for i := range r.From {
					r.From[i].After = 0
				}
				return m.Memory.Fetch(ctx, r)
			}
		},
		"Fetch ignores the limit": func(m *mutant) {
			m.fetch = func(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
				r.Limit = 1000
				return m.Memory.Fetch(ctx, r)
			}
		},
		"Fetch ignores the bytes": func(m *mutant) {
			m.fetch = func(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
				r.Bytes = math.MaxInt32
				return m.Memory.Fetch(ctx, r)
			}
		},
		"Fetch reads nothing that is larger than the bytes": func(m *mutant) {
			m.fetch = func(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
				page, err := m.Memory.Fetch(ctx, r)
				if len(page.Rows) > 0 && len(page.Rows[0].Payload) > r.Bytes {
					page.Rows = nil
				}
				return page, err
			}
		},
		"Fetch never says that there is more": func(m *mutant) {
			m.fetch = func(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
				page, err := m.Memory.Fetch(ctx, r)
				page.More = false
				return page, err
			}
		},
		"Fetch reads all shards": func(m *mutant) {
			m.fetch = func(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
				asked := map[int]bool{}
				for _, c := range r.From {
					asked[c.Shard] = true
				}
				m.in(func() {
					for _, n := range slices.Sorted(maps.Keys(m.shards)) {
						if !asked[n] {
							r.From = append(slices.Clip(r.From), outbox.Cursor{Lease: outbox.Lease{Shard: n}})
						}
					}
				})
				return m.Memory.Fetch(ctx, r)
			}
		},
		"Behind is never set": func(m *mutant) {
			m.fetch = func(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
				page, err := m.Memory.Fetch(ctx, r)
				for i := range page.Rows {
					page.Rows[i].Behind = false
				}
				return page, err
			}
		},
		"Fetch reads the latest first": func(m *mutant) {
			m.fetch = func(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
				page, err := m.Memory.Fetch(ctx, r)
				slices.Reverse(page.Rows)
				return page, err
			}
		},
		"Fetch waits for writers": func(m *mutant) {
			m.fetch = func(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
				for writers := 1; writers > 0; {
					m.in(func() { writers = len(m.open) })
					select {
					case <-time.After(time.Millisecond):
					case <-ctx.Done():
						return outbox.Page{}, ctx.Err()
					}
				}
				return m.Memory.Fetch(ctx, r)
			}
		},
	}
}
