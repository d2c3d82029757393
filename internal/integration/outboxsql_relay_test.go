package integration_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
	"example.com/once/retry"
)

// receiver takes deliveries and fails one time in three; of those one in four although it
// has taken the message, as when its answer is lost.
type receiver struct {
	mu        sync.Mutex
	rnd       *rand.Rand
	times     map[uuid.UUID]int
	last      map[string]int // number of the last new message of each key
	disorder  []string
	ambiguous int // messages taken without an answer
	dups      int
	arrived   chan struct{} // one token a new message, as far as somebody waits
}

func newReceiver() *receiver {
	return &receiver{
		rnd: rand.New(rand.NewPCG(1, 2)), times: map[uuid.UUID]int{}, last: map[string]int{}, arrived: make(chan struct{}, 1),
	}
}

func (r *receiver) take(_ context.Context, d outbox.Delivery) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	fails := r.rnd.IntN(3) == 0
	if fails && r.rnd.IntN(4) > 0 {
		return errors.New("failed")
	}
	if r.times[d.ID]++; r.times[d.ID] > 1 {
		r.dups++
	} else if d.Key != "" {
		var n int
		if _, err := fmt.Sscan(string(d.Payload), &n); err != nil || n <= r.last[d.Key] {
			r.disorder = append(r.disorder, fmt.Sprintf("%s: %d after %d, %v", d.Key, n, r.last[d.Key], err))
		}
		r.last[d.Key] = n
	}
	select {
	case r.arrived <- struct{}{}:
	default:
	}
	if fails {
		r.ambiguous++
		return errors.New("failed, or so it seems")
	}
	return nil
}

// mortal is a store whose relay may be killed: from then on nothing gets through to it.
type mortal struct {
	*outboxsql.Store
	dead atomic.Bool
}

var errDead = errors.New("the relay is dead")

func (m *mortal) Lease(ctx context.Context, r outbox.LeaseRequest) ([]outbox.Lease, error) {
	if m.dead.Load() {
		return nil, errDead
	}
	return m.Store.Lease(ctx, r)
}

func (m *mortal) Release(ctx context.Context, owner string, held []outbox.Lease) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Store.Release(ctx, owner, held)
}

func (m *mortal) Ack(ctx context.Context, refs []outbox.Ref) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Store.Ack(ctx, refs)
}

func (m *mortal) Park(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Store.Park(ctx, l, items)
}

func (m *mortal) Settle(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Store.Settle(ctx, l, items)
}

func TestOutboxRelaysThroughFailures(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		const batch, concurrency = 20, 2
		writers, perWriter := 6, 500
		if testing.Short() || raceDetector() {
			writers, perWriter = 4, 150
		}
		o := openOutbox(t, d, "", outboxsql.Config{})
		exec(t, o.db, "CREATE TABLE effect (id BLOB PRIMARY KEY)")
		r := newReceiver()
		config := outbox.RelayConfig{
			LeaseTTL: 2 * time.Second, Batch: batch, Concurrency: concurrency, PollMin: time.Millisecond, PollMax: 20 * time.Millisecond, Drain: 5 * time.Second,
			Policy: &retry.Policy{MaxAttempts: -1, Backoff: retry.Constant(time.Millisecond)},
		}
		start := func() (*mortal, context.CancelFunc, chan error) {
			s, err := outboxsql.New(d.at(t, o.path), outboxsql.SQLite, outboxsql.Config{})
			if err != nil {
				t.Fatal(err)
			}
			m := &mortal{Store: s}
			relay, err := outbox.NewRelay(m, outbox.PublisherFunc(func(ctx context.Context, d outbox.Delivery) error {
				if m.dead.Load() {
					return outbox.ErrNotSent
				}
				return r.take(ctx, d)
			}), config)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- relay.Run(ctx) }()
			return m, cancel, done
		}
		victim, killVictim, victimDone := start()
		_, stop, done := start()
		defer stop()
		defer killVictim()

		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() { write(t, o, w, perWriter) })
		}
		for range 300 {
			<-r.arrived
		}
		victim.dead.Store(true)
		killVictim()
		<-victimDone
		wg.Wait()
		o.drained(t)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}

		effects, lost := o.effects(t), 0
		written := len(effects)
		for _, id := range effects {
			if r.times[id] == 0 {
				lost++
			}
		}
		bound := r.ambiguous + 2*batch*concurrency // what the dead relay had in flight
		t.Logf("%d messages, %d lost, %d received twice or more (at most %d), %d out of order", written, lost, r.dups, bound, len(r.disorder))
		if written < writers*perWriter*8/10 || lost > 0 || len(r.times) != written || r.dups > bound || len(r.disorder) > 0 {
			t.Errorf("written %d, received %d; out of order: %v", written, len(r.times), r.disorder)
		}
	})
}

// effects are the messages whose transactions were committed.
func (o *outboxDB) effects(tb testing.TB) []uuid.UUID {
	tb.Helper()
	rows, err := o.db.QueryContext(tb.Context(), "SELECT id FROM effect")
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	var ids []uuid.UUID
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			tb.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return ids
}

// drained waits until everything is published.
func (o *outboxDB) drained(tb testing.TB) {
	tb.Helper()
	for range time.Tick(5 * time.Millisecond) {
		s, err := o.Stats(tb.Context())
		if err != nil || s.Dead > 0 {
			tb.Fatal(s, err)
		}
		if s.Hot+s.Parked == 0 {
			return
		}
	}
}

// write commits n messages, some in each transaction, with one effect each; one transaction
// in ten is rolled back.
func write(t *testing.T, o *outboxDB, writer, n int) {
	rnd := rand.New(rand.NewPCG(uint64(writer), 3))
	counts := map[string]int{}
	for n > 0 {
		var msgs []outbox.Message
		next := map[string]int{}
		for range min(n, 1+rnd.IntN(8)) {
			m := outbox.Message{ID: uuid.New(), Topic: "t", Payload: []byte("0"), Lane: uint8(writer % 2)}
			if k := rnd.IntN(5); k > 0 {
				m.Key = fmt.Sprintf("%d/%d", writer, k)
				next[m.Key] = max(next[m.Key], counts[m.Key]) + 1
				m.Payload = []byte(strconv.Itoa(next[m.Key]))
			}
			msgs = append(msgs, m)
		}
		n -= len(msgs)
		tx, err := o.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Error(err)
			return
		}
		for _, m := range msgs {
			if _, err := tx.ExecContext(t.Context(), "INSERT INTO effect (id) VALUES (?)", m.ID[:]); err != nil {
				t.Error(err)
			}
		}
		if err := o.writer.Write(t.Context(), tx, msgs...); err != nil {
			t.Error(err)
		}
		if rnd.IntN(10) == 0 {
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
			continue
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
			return
		}
		maps.Copy(counts, next)
	}
}
