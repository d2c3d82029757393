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

	mu       sync.Mutex
	shards   map[int]*shard
	released map[int]int64 // epochs of shards given back: a late renewal must not revive them
	owed     []Lease       // still to be given back

	dueAt time.Time // when to look for parked messages again
}

func newWorker(s *session, l *lane) *worker {
	return &worker{
		session:  s,
		lane:     l,
		gained:   make(chan struct{}, 1),
		shards:   map[int]*shard{},
		released: map[int]int64{},
	}
}

func (w *worker) run(p phases) {
	wait := w.config.PollMin
	for p.stop.Err() == nil {
		rung, reopened := w.bell.wait(), w.lane.wait()
		more, shutFor := w.round(p)
		switch {
		case p.stop.Err() != nil:
			return
		case more:
			wait = w.config.PollMin
			continue
		case shutFor > 0:
			sleep(p.stop, min(shutFor, w.config.PollMax), reopened, w.gained)
			continue
		}
		d := wait - time.Duration(float64(wait)/2*mathrand.Float64())
		if until := time.Until(w.dueAt); until < d {
			d = max(until, 0)
		}
		asleep := time.Now()
		sleep(p.stop, d, rung, w.gained)
		if time.Since(asleep) < d {
			wait = w.config.PollMin
		} else {
			wait = min(2*wait, w.config.PollMax)
		}
	}
}

// round reads and publishes once. It says whether there is more to do at once, or how
// long the lane is shut.
func (w *worker) round(p phases) (more bool, shutFor time.Duration) {
	now := time.Now()
	shards, owed := w.mine(now)
	w.giveBack(p.stop, owed)
	if len(shards) == 0 {
		return false, 0
	}
	may, shutFor := w.lane.enter(now)
	if may == shut {
		return false, shutFor
	}
	b := &backlog{shards: shards, orderSafe: w.orderSafe}
	defer b.advance()
	moreDue := w.readDue(p.stop, b, shards, now)
	moreHot := w.readHot(p.stop, b, shards, now)
	if len(b.items) == 0 {
		if may == probe {
			w.lane.pause()
		}
		return false, 0
	}
	if !w.work(p, b, may == probe) {
		return false, 0
	}
	return moreDue || moreHot || time.Until(w.dueAt) <= 0, 0
}

// readDue adds the parked messages whose time has come.
func (w *worker) readDue(ctx context.Context, b *backlog, shards []*shard, now time.Time) (more bool) {
	if now.Before(w.dueAt) {
		return false
	}
	limit := 2 * w.config.Batch
	held := make([]Lease, len(shards))
	byNumber := make(map[int]*shard, len(shards))
	for i, sh := range shards {
		held[i] = sh.lease
		byNumber[sh.lease.Shard] = sh
	}
	ctx, cancel := w.limit(ctx)
	defer cancel()
	rows, err := w.store.Due(ctx, held, limit)
	if err != nil {
		w.failed(ctx, "due", err)
		w.dueAt = now.Add(w.config.PollMax)
		return false
	}
	for _, row := range rows {
		if sh := byNumber[row.Shard]; sh != nil {
			b.add(row, sh, true)
		}
	}
	if more = len(rows) >= limit; more {
		w.dueAt = now
	} else {
		w.dueAt = now.Add(w.config.PollMax)
	}
	return more
}

// readHot adds the next messages of every shard and moves the shards' marks past those
// that are gone.
func (w *worker) readHot(ctx context.Context, b *backlog, shards []*shard, now time.Time) (more bool) {
	r := FetchRequest{From: make([]Cursor, len(shards)), Limit: w.config.Batch, Bytes: pageBytes}
	byNumber := make(map[int]*shard, len(shards))
	for i, sh := range shards {
		from := sh.after
		if sh.low < sh.after && now.Sub(sh.rescanned) >= w.config.Rescan {
			from = sh.low
			sh.rescanned = now
		}
		r.From[i] = Cursor{Lease: sh.lease, After: from}
		byNumber[sh.lease.Shard] = sh
	}
	ctx, cancel := w.limit(ctx)
	defer cancel()
	page, err := w.store.Fetch(ctx, r)
	if err != nil {
		w.failed(ctx, "fetch", err)
		return false
	}
	for _, row := range page.Rows {
		if sh := byNumber[row.Shard]; sh != nil {
			b.add(row, sh, false)
		}
	}
	b.safe = page.Safe
	return page.More
}

// pageBytes bounds what one read takes into memory.
const pageBytes = 16 << 20

func (w *worker) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, w.config.LeaseTTL/2)
}

func (w *worker) log(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
	w.config.Logger.LogAttrs(ctx, level, msg, append(attrs, slog.Int("lane", int(w.lane.number)))...)
}
