package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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
				synctest.Wait()
				if got := to.seen("late"); len(got) != 1 || got[0].at != committed {
					t.Errorf("%+v, committed at %v", got, committed)
				}
				empty(t, m)
			})
		})
	}
}

// So many late messages that they take many pages are read page by page, none is passed.
func TestOutbox17ManyLateCommits(t *testing.T) {
	for name, forgetful := range map[string]bool{"a store that knows what is settled": false, "a forgetful store": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := &outboxtest.Memory{Shards: 1, Forgetful: forgetful}
				to := newDestination(nil)
				start(t, m, to, outbox.RelayConfig{})
				late := m.Begin()
				for i := range 2000 {
					if err := late.Write(t.Context(), outbox.Message{Topic: "t", Key: "late", Payload: []byte(strconv.Itoa(i))}); err != nil {
						t.Fatal(err)
					}
				}
				write(t, m, "", names("", 200)...)
				time.Sleep(time.Second)
				if err := late.Commit(); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				equal(t, "late", to.took("late"), names("", 2000))
				empty(t, m)
			})
		})
	}
}

// The message that is committed late comes before later ones of its key, though yet others
// with higher numbers are gone already.
func TestOutbox17LateCommitKeepsTheOrderOfItsKey(t *testing.T) {
	for name, forgetful := range map[string]bool{"a store that knows what is settled": false, "a forgetful store": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := &outboxtest.Memory{Shards: 1, Forgetful: forgetful}
				to := newDestination(nil)
				start(t, deaf{m}, to, outbox.RelayConfig{})
				late := m.Begin()
				if err := late.Write(t.Context(), outbox.Message{Topic: "t", Key: "a", Payload: []byte("a0")}); err != nil {
					t.Fatal(err)
				}
				write(t, m, "", "other")
				time.Sleep(10 * time.Second)
				equal(t, "while it is open", to.took(""), []string{"other"})
				if err := late.Commit(); err != nil { // whoever writes to the key waits for this
					t.Fatal(err)
				}
				write(t, m, "a", "a1")
				time.Sleep(10 * time.Second)
				equal(t, "the key", to.took("a"), []string{"a0", "a1"})
			})
		})
	}
}

// Shards are read from what is surely settled: the marks move, also when nothing new comes.
func TestLowMarks(t *testing.T) {
	for _, forgetful := range []bool{false, true} {
		t.Run(fmt.Sprint("forgetful ", forgetful), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := &watched{Memory: &outboxtest.Memory{Shards: 1, Forgetful: forgetful}}
				start(t, m, newDestination(nil), outbox.RelayConfig{})
				want := func(what string, low int64) {
					t.Helper()
					time.Sleep(10 * time.Second)
					m.mu.Lock()
					defer m.mu.Unlock()
					if forgetful {
						low = 0
					}
					if m.last.From[0].After != low {
						t.Errorf("%s: read from %d, want %d", what, m.last.From[0].After, low)
					}
				}
				write(t, m.Memory, "", names("", 100)...)
				want("all are gone", 100)
				late := m.Begin()
				if err := late.Write(t.Context(), outbox.Message{Topic: "t"}); err != nil {
					t.Fatal(err)
				}
				write(t, m.Memory, "", names("", 100)...)
				want("one is not committed", 100)
				late.Rollback()
				want("it never will be", 201)
			})
		})
	}
}

// watched notes what is read.
type watched struct {
	*outboxtest.Memory

	mu   sync.Mutex
	last outbox.FetchRequest
	rows int // the most of a page
}

func (w *watched) Fetch(ctx context.Context, r outbox.FetchRequest) (outbox.Page, error) {
	page, err := w.Memory.Fetch(ctx, r)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = r
	w.rows = max(w.rows, len(page.Rows))
	return page, err
}

func TestPagesAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &watched{Memory: &outboxtest.Memory{Shards: 1}}
		big := strings.Repeat("x", 1<<20)
		for range 40 {
			send(t, m.Memory, outbox.Message{Topic: "t", Payload: []byte(big)})
		}
		to := newDestination(nil)
		start(t, m, to, outbox.RelayConfig{Batch: 50})
		time.Sleep(time.Minute)
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(to.took("")) != 40 || m.rows > 16 || m.last.Limit != 50 {
			t.Errorf("%d published, at most %d of 1 MiB in a page, limit %d", len(to.took("")), m.rows, m.last.Limit)
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
				var letters notes[string]
				start(t, m, to, outbox.RelayConfig{Exhausted: exhausted, Policy: quick(3), Hooks: outbox.Hooks{
					DeadLettered: func(_ context.Context, d outbox.Delivery, err error) {
						letters.add(d.Key)
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
				sameSet(t, "dead letters", letters.all(), []string{"a", "b", ""})
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
