package outbox

import (
	"math"
	mathrand "math/rand/v2"
)

// backlog is what one round has read and not yet dealt with.
type backlog struct {
	items     []*item // of each ordering key in order
	shards    []*shard
	safe      int64 // as Page.Safe; 0 = nothing was read
	more      bool  // as Page.More
	orderSafe bool
}

// item is one message of a backlog.
type item struct {
	row    Row
	shard  *shard
	parked bool // read from the cold table
	alone  bool // to be sent by itself, since it may be what harms others
	done   bool // no longer this round's business; if it was hot, it is so no more
}

func (it *item) key() string { return it.row.OrderKey() }
func (it *item) ref() Ref    { return Ref{Shard: it.shard.lease.Shard, Seq: it.row.Seq} }

// add takes in what a store answered, as far as it was asked for.
func (b *backlog) add(rows []Row, parked bool) {
	byNumber := make(map[int]*shard, len(b.shards))
	for _, sh := range b.shards {
		byNumber[sh.lease.Shard] = sh
	}
	for _, row := range rows {
		if sh := byNumber[row.Shard]; sh != nil {
			row.Attempt = max(row.Attempt, 1)
			b.items = append(b.items, &item{row: row, shard: sh, parked: parked})
		}
	}
}

// next returns the next batch of at most n messages: in order, of each ordering key the
// first one alone unless the publisher is order-safe.
func (b *backlog) next(n int) []*item {
	var batch []*item
	closed := map[string]bool{} // keys of which no more may go
	for _, it := range b.items {
		key := it.key()
		if it.done || closed[key] {
			continue
		}
		if key != "" && (!b.orderSafe || it.alone) {
			closed[key] = true
		}
		if it.alone {
			if len(batch) == 0 {
				return []*item{it}
			}
			continue
		}
		if batch = append(batch, it); len(batch) == n {
			break
		}
	}
	return batch
}

// any returns one message that may be sent now, at random: were it always the first, a
// message that brings its destination down could keep all others from being tried.
func (b *backlog) any() []*item {
	var picked *item
	seen := 0
	taken := map[string]bool{} // keys whose first message was seen
	for _, it := range b.items {
		key := it.key()
		if it.done || taken[key] {
			continue
		}
		if key != "" {
			taken[key] = true
		}
		if seen++; mathrand.N(seen) == 0 {
			picked = it
		}
	}
	if picked == nil {
		return nil
	}
	return []*item{picked}
}

// later calls f for the messages of the same ordering key that come later.
func (b *backlog) later(first *item, f func(*item)) {
	key := first.key()
	if key == "" {
		return
	}
	past := false
	for _, it := range b.items {
		switch {
		case it == first:
			past = true
		case past && !it.done && it.key() == key:
			f(it)
		}
	}
}

// advance moves the marks of the shards past the messages that are done with.
func (b *backlog) advance() {
	type span struct{ last, kept int64 }
	spans := make(map[*shard]*span, len(b.shards))
	for _, sh := range b.shards {
		spans[sh] = &span{kept: math.MaxInt64}
	}
	for _, it := range b.items {
		if it.parked {
			continue
		}
		s := spans[it.shard]
		s.last = max(s.last, it.row.Seq)
		if !it.done {
			s.kept = min(s.kept, it.row.Seq)
		}
	}
	for sh, s := range spans {
		sh.seen = max(sh.seen, s.last)
		read := sh.seen
		if b.more {
			read = s.last // it may have ended there
		}
		sh.low = max(sh.low, min(read, s.kept-1, b.safe))
	}
}
