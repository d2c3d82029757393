package outbox

import (
	"context"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"time"
)

// worker serves its shards of one lane, one step after the other: so a message is never
// in two hands, and a shard can be given back between two rounds.
type worker struct {
	*session
	lane   *lane
	gained chan struct{} // there are new shards

	mu     sync.Mutex
	shards map[int]*shard
	over   map[int]int64 // the last epoch that ended, of each shard

	// Of the worker alone:
	owed  []Lease   // still to be given back
	dueAt time.Time // when to look for parked messages again
}

func newWorker(s *session, l *lane) *worker {
	return &worker{
		session: s,
		lane:    l,
		gained:  make(chan struct{}, 1),
		shards:  map[int]*shard{},
		over:    map[int]int64{},
	}
}

// pace says when the next round is due.
type pace uint8

const (
	atOnce pace = iota // there is more to do
	poll               // there was nothing new: less and less often
	barred             // nothing can be done before the returned time is over
)

func (w *worker) run(p phases) {
	wait := w.config.PollMin
	for {
		rung, reopened := w.bell.wait(), w.lane.wait()
		next, d := w.round(p)
		if p.stop.Err() != nil {
			return
		}
		switch next {
		case atOnce:
			wait = w.config.PollMin
		case barred:
			sleep(p.stop, min(d, w.config.PollMax), reopened, w.gained)
		case poll:
			d = wait/2 + mathrand.N(wait/2+1)
			if sleep(p.stop, min(d, max(time.Until(w.dueAt), 0)), rung, w.gained) {
				wait = doubled(wait, 1, w.config.PollMax)
			} else {
				wait = w.config.PollMin
			}
		}
	}
}

// round reads and publishes once.
func (w *worker) round(p phases) (next pace, d time.Duration) {
	now := time.Now()
	shards := w.mine(now)
	w.giveBack(p.stop)
	if len(shards) == 0 {
		return barred, w.config.PollMax
	}
	may, d := w.lane.enter(now)
	if may == shut {
		return barred, d
	}
	b := &backlog{shards: shards, orderSafe: w.orderSafe}
	defer b.advance()
	moreDue := w.readDue(p.stop, b, now)
	moreHot := w.readHot(p.stop, b)
	if !w.work(p, b, may == probe) {
		return poll, 0
	}
	if len(b.items) > 0 && (moreDue || moreHot || time.Until(w.dueAt) <= 0) {
		return atOnce, 0
	}
	return poll, 0
}

// readDue adds the parked messages whose time has come.
func (w *worker) readDue(stop context.Context, b *backlog, now time.Time) (more bool) {
	if now.Before(w.dueAt) {
		return false
	}
	w.dueAt = now.Add(w.config.PollMax)
	limit := 2 * w.config.Batch
	held := make([]Lease, len(b.shards))
	for i, sh := range b.shards {
		held[i] = sh.lease
	}
	ctx, cancel := w.limit(stop)
	defer cancel()
	rows, err := w.store.Due(ctx, held, limit)
	if err != nil {
		w.failed(stop, "due", err)
		return false
	}
	b.add(rows, true)
	size := 0
	for _, row := range rows {
		size += len(row.Payload)
	}
	if more = len(rows) >= limit || size >= pageBytes; more {
		w.dueAt = now
	}
	return more
}

// readHot adds the next messages of every shard. It reads from the low marks, not from where the
// last read ended: a message that was numbered early and committed late must be found before
// later ones of its key.
func (w *worker) readHot(stop context.Context, b *backlog) (more bool) {
	r := FetchRequest{From: make([]Cursor, len(b.shards)), Limit: w.config.Batch, Bytes: pageBytes}
	for i, sh := range b.shards {
		r.From[i] = Cursor{Lease: sh.lease, After: sh.low}
	}
	ctx, cancel := w.limit(stop)
	defer cancel()
	page, err := w.store.Fetch(ctx, r)
	if err != nil {
		w.failed(stop, "fetch", err)
		return false
	}
	b.add(page.Rows, false)
	b.safe, b.more = page.Safe, page.More
	return page.More
}

// pageBytes bounds what one read takes into memory; see also [Store.Due].
const pageBytes = 16 << 20

func (w *worker) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, w.config.LeaseTTL/2)
}

func (w *worker) log(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
	w.config.Logger.LogAttrs(ctx, level, msg, append(attrs, slog.Int("lane", int(w.lane.number)))...)
}
