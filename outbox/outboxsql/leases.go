package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"example.com/once/outbox"
)

// shard is a row of the table of shards.
type shard struct {
	number int
	lane   uint8
	owner  string // "" = free
	epoch  int64
	until  int64
}

// Lease implements [outbox.Store]. Lane 0 is there from the beginning, others from when
// they had a message.
func (s *Store) Lease(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
	switch {
	case r.Owner == "":
		return nil, errors.New("outboxsql: LeaseRequest.Owner is empty")
	case r.TTL <= 0:
		return nil, errPositive("LeaseRequest.TTL", r.TTL)
	}
	var held []outbox.Lease
	err := s.inTx(ctx, "lease", func(tx *sql.Tx) error {
		if err := s.checkMeta(ctx, tx); err != nil {
			return err
		}
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		l := leasing{Store: s, tx: tx, request: r, over: now - s.e.tick.Microseconds(), until: now + ceil(r.TTL)}
		held, err = l.run(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return held, nil
}

// leasing is one Lease.
type leasing struct {
	*Store
	tx      *sql.Tx
	request outbox.LeaseRequest
	over    int64 // what ended at or before it is over; the clock may stand still for a tick
	until   int64
}

func (l *leasing) run(ctx context.Context) ([]outbox.Lease, error) {
	lanes, err := l.lanes(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.sit(ctx, lanes); err != nil {
		return nil, err
	}
	living, err := l.living(ctx)
	if err != nil {
		return nil, err
	}
	var held []outbox.Lease
	for lane, shards := range lanes {
		if slices.Contains(l.request.Skip, lane) {
			continue
		}
		mine, err := l.share(ctx, shards, living[lane])
		if err != nil {
			return nil, err
		}
		held = append(held, mine...)
	}
	slices.SortFunc(held, func(a, b outbox.Lease) int { return a.Shard - b.Shard })
	return held, nil
}

// lanes returns the shards of every lane, after making those of new lanes and renewing the
// owner's.
func (l *leasing) lanes(ctx context.Context) (map[uint8][]*shard, error) {
	known, err := l.shards(ctx)
	if err != nil {
		return nil, err
	}
	used := []uint8{0}
	err = each(ctx, l.tx, l.e.lanes, func(scan func(...any) error) error {
		var lane int
		err := scan(&lane)
		if lane > 0 && lane <= 255 {
			used = append(used, uint8(lane))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var found [][]any
	for _, lane := range used {
		if known[lane] == nil {
			for i := range l.names.shards {
				found = append(found, []any{int(lane)*l.names.shards + i, lane})
			}
		}
	}
	if err := l.execRows(ctx, l.tx, l.e.found, nil, found, nil); err != nil {
		return nil, err
	}
	for _, lane := range l.request.Skip {
		if known[lane] == nil {
			continue
		}
		if err := run(ctx, l.tx, l.e.unskip, l.request.Owner, lane); err != nil {
			return nil, err
		}
	}
	if err := run(ctx, l.tx, l.e.renew, l.until, l.request.Owner); err != nil {
		return nil, err
	}
	return l.shards(ctx)
}

func (l *leasing) shards(ctx context.Context) (map[uint8][]*shard, error) {
	lanes := map[uint8][]*shard{}
	err := each(ctx, l.tx, l.e.held, func(scan func(...any) error) error {
		var sh shard
		err := scan(&sh.number, &sh.lane, &sh.owner, &sh.epoch, &sh.until)
		lanes[sh.lane] = append(lanes[sh.lane], &sh)
		return err
	})
	return lanes, err
}

// sit counts the owner among the living relays of the lanes that it serves.
func (l *leasing) sit(ctx context.Context, lanes map[uint8][]*shard) error {
	if err := run(ctx, l.tx, l.e.vacate, l.over); err != nil {
		return err
	}
	var seats [][]any
	for lane := range lanes {
		if slices.Contains(l.request.Skip, lane) {
			if err := run(ctx, l.tx, l.e.stand, l.request.Owner, lane); err != nil {
				return err
			}
			continue
		}
		seats = append(seats, []any{lane, l.request.Owner, l.until})
	}
	return l.execRows(ctx, l.tx, l.e.sit, nil, seats, nil)
}

// living returns the relays of each lane.
func (l *leasing) living(ctx context.Context) (map[uint8][]string, error) {
	owners := map[uint8][]string{}
	err := each(ctx, l.tx, l.e.seats, func(scan func(...any) error) error {
		var lane uint8
		var owner string
		err := scan(&lane, &owner)
		owners[lane] = append(owners[lane], owner)
		return err
	}, l.over)
	return owners, err
}

// share takes shards of one lane and returns what the owner holds of it.
func (l *leasing) share(ctx context.Context, shards []*shard, living []string) ([]outbox.Lease, error) {
	counts := map[string]int{}
	for _, owner := range living {
		counts[owner] = 0
	}
	h := holdings{shards: len(shards)}
	for _, sh := range shards {
		if l.taken(sh) {
			counts[sh.owner]++
		} else {
			h.free++
		}
	}
	for owner, n := range counts {
		if owner == l.request.Owner {
			h.mine = n
		} else {
			h.others = append(h.others, n)
		}
	}
	take, surplus := h.share()
	var taken [][]any
	var held []outbox.Lease
	for _, sh := range shards {
		if len(taken) < take && !l.taken(sh) {
			taken = append(taken, []any{sh.number})
			sh.owner, sh.epoch = l.request.Owner, sh.epoch+1
		}
		if sh.owner == l.request.Owner {
			held = append(held, outbox.Lease{Shard: sh.number, Lane: sh.lane, Epoch: sh.epoch, Left: l.request.TTL})
		}
	}
	for i := range min(surplus, len(held)) {
		held[i].Surplus = true
	}
	return held, l.execRows(ctx, l.tx, l.e.take, []any{l.request.Owner, l.until}, taken, nil)
}

func (l *leasing) taken(sh *shard) bool { return sh.owner != "" && sh.until > l.over }

// Release implements [outbox.Store].
func (s *Store) Release(ctx context.Context, owner string, held []outbox.Lease) error {
	if held != nil {
		rows := make([][]any, len(held))
		for i, l := range held {
			rows[i] = []any{l.Shard, l.Epoch}
		}
		return s.e.failed("release", s.execRows(ctx, s.db, s.e.release, []any{owner}, rows, nil))
	}
	return s.inTx(ctx, "leave", func(tx *sql.Tx) error {
		if err := run(ctx, tx, s.e.releaseAll, owner); err != nil {
			return err
		}
		return run(ctx, tx, s.e.leave, owner)
	})
}
