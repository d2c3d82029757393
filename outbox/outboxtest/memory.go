package outboxtest

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"example.com/once/outbox"
	"github.com/google/uuid"
)

// Memory is an [outbox.Store] in memory, with writing transactions of its own: for tests,
// and for programs whose messages may die with them. The zero value is ready for use. It
// is safe for concurrent use.
//
// Like a database it numbers messages when they are written, not when they are committed,
// so that a message may appear below others that are gone already.
type Memory struct {
	// Shards is how many shards a lane has; 0 = 8. Set it before first use.
	Shards int
	// Forgetful makes Fetch not know which Seqs are settled, as on databases that cannot
	// tell: a relay then has to read the shards from the start every time.
	Forgetful bool

	mu       sync.Mutex
	seq      int64
	open     map[*MemoryTx]int64 // the first Seq of each writing transaction
	shards   map[int]*memoryShard
	relays   map[seat]time.Time // until when a relay counts as living
	watchers map[int]func()
	watched  int
}

type seat struct {
	lane  uint8
	owner string
}

type memoryShard struct {
	number int
	lane   uint8
	owner  string // "" = free
	epoch  int64
	until  time.Time

	hot    []*memoryRow   // by Seq
	parked []*memoryRow   // by Seq
	keys   map[string]int // how many parked rows hold a key up: live or blocking
}

type memoryRow struct {
	delivery outbox.Delivery // Attempt is kept apart
	attempts int
	due      time.Time // when parked and live
	dead     bool
	blocks   bool // dead, and its key waits
	err      string
	diedAt   time.Time
}

var (
	_ outbox.Store     = (*Memory)(nil)
	_ outbox.Inspector = (*Memory)(nil)
	_ outbox.Notifier  = (*Memory)(nil)
)

// MemoryTx is a writing transaction of a [Memory].
type MemoryTx struct {
	m    *Memory
	rows []*memoryRow
	done bool
}

// ErrTxDone is returned by a [MemoryTx] that has been committed or rolled back.
var ErrTxDone = errors.New("outboxtest: transaction has ended")

// Write commits messages.
func (m *Memory) Write(ctx context.Context, messages ...outbox.Message) error {
	tx := m.Begin()
	if err := tx.Write(ctx, messages...); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Begin starts a writing transaction. It must be ended.
func (m *Memory) Begin() *MemoryTx {
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := &MemoryTx{m: m}
	if m.open == nil {
		m.open = map[*MemoryTx]int64{}
	}
	m.open[tx] = m.seq + 1
	return tx
}

// Write adds messages to the transaction; nobody sees them before Commit. A zero ID is
// replaced by a fresh UUIDv7 in the stored message.
func (tx *MemoryTx) Write(_ context.Context, messages ...outbox.Message) error {
	m := tx.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if tx.done {
		return ErrTxDone
	}
	for _, msg := range messages {
		if err := msg.Validate(); err != nil {
			return err
		}
	}
	for _, msg := range messages {
		if msg.ID == uuid.Nil {
			msg.ID = uuid.Must(uuid.NewV7())
		}
		msg.Payload = slices.Clone(msg.Payload)
		msg.Headers = slices.Clone(msg.Headers)
		m.seq++
		tx.rows = append(tx.rows, &memoryRow{delivery: outbox.Delivery{
			Message: msg, Seq: m.seq, Shard: outbox.ShardOf(&msg, m.perLane()), CreatedAt: time.Now(),
		}})
	}
	return nil
}

// Commit makes the transaction's messages visible.
func (tx *MemoryTx) Commit() error {
	m := tx.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if tx.done {
		return ErrTxDone
	}
	tx.done = true
	delete(m.open, tx)
	now := time.Now()
	for _, row := range tx.rows {
		sh := m.shard(row.delivery.Shard)
		if row.delivery.NotBefore.After(now) {
			row.due = row.delivery.NotBefore
			sh.park(row)
		} else {
			sh.hot = insert(sh.hot, row)
		}
	}
	for _, wake := range m.watchers {
		wake()
	}
	return nil
}

// Rollback forgets the transaction's messages. After Commit it does nothing. The error is
// always nil.
func (tx *MemoryTx) Rollback() error {
	tx.m.mu.Lock()
	defer tx.m.mu.Unlock()
	tx.done = true
	delete(tx.m.open, tx)
	return nil
}

// Listen calls wake after each commit.
func (m *Memory) Listen(ctx context.Context, wake func()) error {
	m.mu.Lock()
	if m.watchers == nil {
		m.watchers = map[int]func(){}
	}
	m.watched++
	id := m.watched
	m.watchers[id] = wake
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.watchers, id)
	return ctx.Err()
}

// Fetch implements [outbox.Store].
func (m *Memory) Fetch(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return outbox.Page{}, err
	}
	page := outbox.Page{Safe: math.MaxInt64}
	for _, first := range m.open {
		page.Safe = min(page.Safe, first-1)
	}
	if m.Forgetful {
		page.Safe = 0
	}
	size := 0
	for _, c := range r.From {
		sh := m.shards[c.Shard]
		if sh == nil {
			continue
		}
		rows := sh.hot[after(sh.hot, c.After):]
		if len(rows) > r.Limit {
			rows = rows[:r.Limit]
		}
		page.More = page.More || len(rows) == r.Limit
		for _, row := range rows {
			if size >= r.Bytes && len(page.Rows) > 0 {
				page.More = true
				return page, nil
			}
			size += len(row.delivery.Payload)
			key := row.delivery.OrderKey()
			page.Rows = append(page.Rows, outbox.Row{Delivery: row.read(), Behind: key != "" && sh.keys[key] > 0})
		}
	}
	return page, nil
}

// Ack implements [outbox.Store].
func (m *Memory) Ack(ctx context.Context, refs []outbox.Ref) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, ref := range refs {
		if sh := m.shards[ref.Shard]; sh != nil {
			sh.hot, _ = remove(sh.hot, ref.Seq)
		}
	}
	return nil
}

// Park implements [outbox.Store].
func (m *Memory) Park(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	sh := m.current(l)
	if sh == nil {
		return outbox.ErrLeaseLost
	}
	for _, it := range items {
		var row *memoryRow
		if sh.hot, row = remove(sh.hot, it.Seq); row == nil {
			continue
		}
		row.apply(it)
		sh.park(row)
	}
	return nil
}

// Due implements [outbox.Store].
func (m *Memory) Due(ctx context.Context, held []outbox.Lease, limit int) ([]outbox.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := time.Now()
	var rows []outbox.Row
	for _, l := range held {
		sh := m.shards[l.Shard]
		if sh == nil {
			continue
		}
		open := map[string]bool{} // whether the key's messages so far are all in the answer
		for _, row := range sh.parked {
			key := row.delivery.OrderKey()
			if row.dead && !row.blocks {
				continue
			}
			due := !row.dead && !row.due.After(now)
			if key != "" {
				ahead, seen := open[key]
				due = due && (ahead || !seen)
				open[key] = due
			}
			if !due {
				continue
			}
			if rows = append(rows, outbox.Row{Delivery: row.read()}); len(rows) >= limit {
				return rows, nil
			}
		}
	}
	return rows, nil
}

// Settle implements [outbox.Store].
func (m *Memory) Settle(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	sh := m.current(l)
	lost := sh == nil
	if lost {
		if sh = m.shards[l.Shard]; sh == nil {
			return outbox.ErrLeaseLost
		}
	}
	for _, it := range items {
		if lost && it.Fate != outbox.Published {
			continue
		}
		row := sh.unpark(it.Seq)
		switch {
		case row == nil:
		case row.dead: // settled by another owner, or before
			sh.park(row)
		case it.Fate == outbox.Published:
		default:
			row.apply(it)
			sh.park(row)
		}
	}
	if lost {
		return outbox.ErrLeaseLost
	}
	return nil
}

func (m *Memory) perLane() int {
	if m.Shards > 0 {
		return m.Shards
	}
	return 8
}

// shard returns the shard, and makes those of its lane if they are new.
func (m *Memory) shard(number int) *memoryShard {
	if m.shards == nil {
		m.shards = map[int]*memoryShard{}
	}
	if m.shards[number] == nil {
		n := m.perLane()
		lane := number / n
		for i := lane * n; i < (lane+1)*n; i++ {
			m.shards[i] = &memoryShard{number: i, lane: uint8(lane), keys: map[string]int{}}
		}
	}
	return m.shards[number]
}

// current returns the shard of l if l is in force, late or not.
func (m *Memory) current(l outbox.Lease) *memoryShard {
	sh := m.shards[l.Shard]
	if sh == nil || sh.owner == "" || sh.epoch != l.Epoch {
		return nil
	}
	return sh
}

func (sh *memoryShard) park(row *memoryRow) {
	sh.parked = insert(sh.parked, row)
	sh.hold(row, 1)
}

func (sh *memoryShard) unpark(seq int64) *memoryRow {
	var row *memoryRow
	if sh.parked, row = remove(sh.parked, seq); row != nil {
		sh.hold(row, -1)
	}
	return row
}

func (sh *memoryShard) hold(row *memoryRow, n int) {
	key := row.delivery.OrderKey()
	if key == "" || row.dead && !row.blocks {
		return
	}
	if sh.keys[key] += n; sh.keys[key] == 0 {
		delete(sh.keys, key)
	}
}

func (row *memoryRow) read() outbox.Delivery {
	d := row.delivery
	d.Attempt = row.attempts + 1
	return d
}

// apply records an outcome other than Published.
func (row *memoryRow) apply(o outbox.Outcome) {
	now := time.Now()
	if o.Err != "" {
		row.err = o.Err
	}
	switch o.Fate {
	case outbox.Again:
		row.attempts, row.due = o.Attempts, now.Add(o.Wait)
	case outbox.Behind:
		row.due = now
	case outbox.Dead, outbox.Block:
		row.attempts, row.dead, row.blocks, row.diedAt = o.Attempts, true, o.Fate == outbox.Block, now
	case outbox.Published:
	}
}

// after returns the index of the first row above seq.
func after(rows []*memoryRow, seq int64) int {
	i, _ := slices.BinarySearchFunc(rows, seq+1, func(r *memoryRow, s int64) int {
		return int(min(1, max(-1, r.delivery.Seq-s)))
	})
	return i
}

func insert(rows []*memoryRow, row *memoryRow) []*memoryRow {
	return slices.Insert(rows, after(rows, row.delivery.Seq), row)
}

func remove(rows []*memoryRow, seq int64) ([]*memoryRow, *memoryRow) {
	i := after(rows, seq-1)
	if i == len(rows) || rows[i].delivery.Seq != seq {
		return rows, nil
	}
	row := rows[i]
	if i == 0 {
		rows[0] = nil
		return rows[1:], row
	}
	return slices.Delete(rows, i, i+1), row
}
