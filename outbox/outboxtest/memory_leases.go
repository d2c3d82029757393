package outboxtest

import (
	"context"
	"slices"
	"time"

	"example.com/once/outbox"
)

// Lease implements [outbox.Store].
func (m *Memory) Lease(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.shard(0)
	if m.relays == nil {
		m.relays = map[seat]time.Time{}
	}
	now := time.Now()
	lanes := map[uint8][]*memoryShard{}
	for _, sh := range m.shards {
		lanes[sh.lane] = append(lanes[sh.lane], sh)
	}
	var held []outbox.Lease
	for lane, shards := range lanes {
		slices.SortFunc(shards, func(a, b *memoryShard) int { return a.number - b.number })
		if slices.Contains(r.Skip, lane) {
			delete(m.relays, seat{lane, r.Owner})
			for _, sh := range shards {
				if sh.owner == r.Owner {
					sh.owner = ""
				}
			}
			continue
		}
		m.relays[seat{lane, r.Owner}] = now.Add(r.TTL)
		held = append(held, m.share(lane, shards, r, now)...)
	}
	slices.SortFunc(held, func(a, b outbox.Lease) int { return a.Shard - b.Shard })
	return held, nil
}

// share renews and takes shards of one lane.
func (m *Memory) share(lane uint8, shards []*memoryShard, r outbox.LeaseRequest, now time.Time) []outbox.Lease {
	counts := map[string]int{} // shards of each living relay
	for s, until := range m.relays {
		switch {
		case s.lane != lane:
		case until.Before(now):
			delete(m.relays, s)
		default:
			counts[s.owner] = 0
		}
	}
	free := 0
	for _, sh := range shards {
		if sh.owner == r.Owner {
			sh.until = now.Add(r.TTL) // also late, since nobody came between
		}
		if sh.taken(now) {
			counts[sh.owner]++
		} else {
			free++
		}
	}
	least := len(shards) / len(counts)
	most := (len(shards) + len(counts) - 1) / len(counts)
	owed, room := 0, 0 // what others lack to the least that each should have, and to the most
	for owner, n := range counts {
		if owner != r.Owner {
			owed += max(0, least-n)
			room += max(0, most-n)
		}
	}
	mine := counts[r.Owner]
	take := max(0, min(least-mine, free))
	take += max(0, min(most-mine-take, free-take-owed))
	surplus := max(0, min(mine-least, owed-free), min(mine-most, room-free))

	var held []outbox.Lease
	for _, sh := range shards {
		if take > 0 && !sh.taken(now) {
			take--
			sh.owner, sh.until = r.Owner, now.Add(r.TTL)
			sh.epoch++
		}
		if sh.owner == r.Owner {
			held = append(held, outbox.Lease{Shard: sh.number, Lane: lane, Epoch: sh.epoch, Left: r.TTL})
		}
	}
	for i := range surplus {
		held[i].Surplus = true
	}
	return held
}

func (sh *memoryShard) taken(now time.Time) bool {
	return sh.owner != "" && !sh.until.Before(now)
}

// Release implements [outbox.Store].
func (m *Memory) Release(ctx context.Context, owner string, held []outbox.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, l := range held {
		if sh := m.current(l); sh != nil && sh.owner == owner {
			sh.owner = ""
		}
	}
	if held != nil {
		return nil
	}
	for _, sh := range m.shards {
		if sh.owner == owner {
			sh.owner = ""
		}
	}
	for s := range m.relays {
		if s.owner == owner {
			delete(m.relays, s)
		}
	}
	return nil
}
