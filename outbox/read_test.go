package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
)

// A message that is numbered early and committed late is not skipped, however many others
// are gone by then.
func TestOutbox17LateCommit(t *testing.T) {
	for name, forgetful := range map[string]bool{"a store that knows what is settled": false, "a forgetful store": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := &outboxtest.Memory{Shards: 1, Forgetful: forgetful}
				to := newDestination(nil)
				start(t, m, to, outbox.RelayConfig{})
				late := m.Begin()
				if err := late.Write(t.Context(), outbox.Message{Topic: "t", Payload: []byte("late")}); err != nil {
					t.Fatal(err)
				}
				write(t, m, "", names("", 10_000)...)
				time.Sleep(time.Minute + 100*time.Millisecond)
				if n := len(to.took("")); n != 10_000 {
					t.Fatalf("%d of 10000 messages were published while a transaction was open", n)
				}
				committed := time.Since(to.start)
				if err := late.Commit(); err != nil {
					t.Fatal(err)
				}
				write(t, m, "", "after")
				time.Sleep(5 * time.Second)
				got := to.seen("late")
				if len(got) != 1 || got[0].at-committed > 2*time.Second {
					t.Errorf("%+v, committed at %v", got, committed)
				}
				empty(t, m)
			})
		})
	}
}

// So many late messages that they take many pages come one page after the other, not one
// page every Rescan.
func TestOutbox17ManyLateCommits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &outboxtest.Memory{Shards: 1, Forgetful: true}
		to := newDestination(nil)
		start(t, m, to, outbox.RelayConfig{})
		late := m.Begin()
		for i := range 5000 {
			if err := late.Write(t.Context(), outbox.Message{Topic: "t", Key: "late", Payload: []byte(strconv.Itoa(i))}); err != nil {
				t.Fatal(err)
			}
		}
		write(t, m, "", "soon")
		time.Sleep(time.Second)
		if err := late.Commit(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		equal(t, "late", to.took("late"), names("", 5000))
	})
}

// A store that knows what is settled is not read again from the start.
func TestNoRescanWithoutNeed(t *testing.T) {
	for _, forgetful := range []bool{false, true} {
		t.Run(fmt.Sprint("forgetful ", forgetful), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := &watched{Memory: &outboxtest.Memory{Shards: 1, Forgetful: forgetful}}
				start(t, m, newDestination(nil), outbox.RelayConfig{})
				write(t, m.Memory, "", names("", 100)...)
				time.Sleep(time.Second)
				back := m.back
				time.Sleep(10 * time.Second)
				if n := m.back - back; !forgetful && m.back != 0 || forgetful && (n < 5 || n > 11) {
					t.Errorf("read again from the start %d times in 10s, %d before", n, back)
				}
			})
		})
	}
}

// watched notes how often a shard is read from before what was read already.
type watched struct {
	*outboxtest.Memory

	last int64
	back int
	most outbox.FetchRequest
	rows int
}

func (w *watched) Fetch(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
	if r.From[0].After < w.last {
		w.back++
	}
	w.last = max(w.last, r.From[0].After)
	page, err := w.Memory.Fetch(ctx, r)
	w.most = r
	w.rows = max(w.rows, len(page.Rows))
	return page, err
}

func TestPagesAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &watched{Memory: &outboxtest.Memory{Shards: 1}}
		big := strings.Repeat("x", 1<<20)
		for range 64 {
			send(t, m.Memory, outbox.Message{Topic: "t", Payload: []byte(big)})
		}
		to := newDestination(nil)
		start(t, m, to, outbox.RelayConfig{Batch: 50})
		time.Sleep(time.Minute)
		if len(to.took("")) != 64 || m.rows > 16 || m.most.Limit != 50 {
			t.Errorf("%d published, at most %d of 1 MiB in a page, limit %d", len(to.took("")), m.rows, m.most.Limit)
		}
	})
}

// Numbers of transactions that were rolled back leave gaps, which stop nothing.
func TestOutbox20Gaps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &outboxtest.Memory{}
		to := newDestination(nil)
		start(t, m, to, outbox.RelayConfig{})
		for i := range 200 {
			tx := m.Begin()
			for range 50 {
				if err := tx.Write(t.Context(), outbox.Message{Topic: "t", Payload: []byte("never")}); err != nil {
					t.Fatal(err)
				}
			}
			tx.Rollback()
			write(t, m, "a", strconv.Itoa(i))
		}
		time.Sleep(time.Minute)
		equal(t, "published", to.took(""), names("", 200))
		empty(t, m)
	})
}

// rotten is a store that cannot decode some of its rows.
type rotten struct{ *outboxtest.Memory }

var errRot = errors.New("headers: unknown version 9")

func (r rotten) Fetch(ctx context.Context, q outbox.FetchRequest) (outbox.Page, error) {
	page, err := r.Memory.Fetch(ctx, q)
	r.spoil(page.Rows)
	return page, err
}

func (r rotten) Due(ctx context.Context, held []outbox.Lease, limit int) ([]outbox.Row, error) {
	rows, err := r.Memory.Due(ctx, held, limit)
	r.spoil(rows)
	return rows, err
}

func (rotten) spoil(rows []outbox.Row) {
	for i, row := range rows {
		if strings.HasPrefix(string(row.Payload), "rotten") {
			rows[i].Err = errRot
			rows[i].Payload = nil
		}
	}
}

func TestOutbox39RowsThatCannotBeDecoded(t *testing.T) {
	for _, exhausted := range []outbox.Exhausted{outbox.SkipHead, outbox.BlockKey} {
		t.Run(fmt.Sprint("exhausted ", exhausted), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := rotten{&outboxtest.Memory{Shards: 1}}
				to := newDestination(failing("b0", 1, errBoom))
				var letters []string
				start(t, m, to, outbox.RelayConfig{Exhausted: exhausted, Policy: quick(3), Hooks: outbox.Hooks{
					DeadLettered: func(_ context.Context, d outbox.Delivery, err error) {
						letters = append(letters, d.Key)
						if !errors.Is(err, errRot) {
							t.Error(err)
						}
					},
				}})
				write(t, m.Memory, "a", "a0", "rotten", "a2")
				write(t, m.Memory, "b", "b0", "rotten behind", "b2")
				write(t, m.Memory, "", "rotten without a key", "free")
				time.Sleep(time.Hour)
				want := []string{"a0", "free", "b0", "a2", "b2"}
				if exhausted == outbox.BlockKey {
					want = []string{"a0", "free", "b0"}
				}
				sameSet(t, "published", to.took(""), want)
				sameSet(t, "dead letters", letters, []string{"a", "b", ""})
				for _, l := range dead(t, m) {
					if l.Attempt != 0 || l.Err != errRot.Error() {
						t.Errorf("%+v", l)
					}
				}
			})
		})
	}
}

// The hooks get contexts that live, also while the relay drains.
func TestHookContexts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		type key struct{}
		relay, err := outbox.NewRelay(&m, newDestination(nil), outbox.RelayConfig{Hooks: outbox.Hooks{
			Published: func(ctx context.Context, _ outbox.Delivery) {
				if ctx.Err() != nil || ctx.Value(key{}) != "v" {
					t.Error(ctx)
				}
			},
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
		done := make(chan error)
		go func() { done <- relay.Run(ctx) }()
		write(t, &m, "a", "a0")
		time.Sleep(time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
