package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
)

// dice are random numbers that several goroutines may ask for.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(n)
}

// oneIn is true about once in n.
func (d *dice) oneIn(n int) bool { return d.n(n) == 0 }

// history lets relays with bad connections work on one store until calm returns.
func history(t *testing.T, seed uint64) {
	t.Helper()
	d := &dice{rng: rand.New(rand.NewPCG(seed, 7))}
	m := &outboxtest.Memory{Shards: 1 + d.n(6), Forgetful: d.oneIn(2)}
	var mu sync.Mutex
	calm := false
	stormy := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return !calm
	}
	to := newDestination(func(outbox.Delivery) error {
		if !stormy() {
			return nil
		}
		switch d.n(20) {
		case 0, 1:
			return errBoom
		case 2:
			return outbox.Unavailable(errDown)
		case 3:
			return errHang
		case 4:
			return outbox.ErrNotSent
		case 5:
			panic("ouch")
		}
		return nil
	})
	connection := func() *faulty {
		f := &faulty{Memory: m}
		var until time.Time // it is cut off
		var guard sync.Mutex
		f.on(func(ctx context.Context, _ string) error {
			guard.Lock()
			if stormy() && d.oneIn(200) {
				until = time.Now().Add(time.Duration(d.n(60)) * time.Second)
			}
			off := time.Now().Before(until)
			guard.Unlock()
			switch {
			case off && d.oneIn(2):
				<-ctx.Done()
				return ctx.Err()
			case off, stormy() && d.oneIn(10):
				return errCut
			}
			return nil
		})
		f.lose(func(_ string, err error) error {
			if err == nil && stormy() && d.oneIn(10) {
				return errCut
			}
			return err
		})
		return f
	}
	config := outbox.RelayConfig{Policy: quick(-1), Batch: 1 + d.n(20), Concurrency: 1 + d.n(4), Probe: time.Second}
	relay := func() *running { return start(t, connection(), hangable(to), config) }

	const n, keys = 300, 5
	var work sync.WaitGroup
	work.Go(func() { // writers, one a key: they serialise on it
		for i := range n {
			k := strconv.Itoa(i % keys)
			tx := m.Begin()
			if err := tx.Write(t.Context(), outbox.Message{Topic: "t", Key: k, Payload: []byte(k + "-" + strconv.Itoa(i/keys))}); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Duration(d.n(100)) * time.Millisecond)
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
		}
	})
	work.Go(func() { // those without a key commit when they like
		for i := range n {
			work.Go(func() {
				time.Sleep(time.Duration(d.n(30_000)) * time.Millisecond)
				tx := m.Begin()
				err := tx.Write(t.Context(), outbox.Message{Topic: "t", Payload: []byte("free" + strconv.Itoa(i))})
				time.Sleep(time.Duration(d.n(5000)) * time.Millisecond)
				if err := errors.Join(err, tx.Commit()); err != nil {
					t.Error(err)
				}
			})
		}
	})
	relay()
	for range 5 {
		r := relay()
		time.Sleep(time.Duration(d.n(60)) * time.Second)
		if d.oneIn(2) {
			_ = r.stop() // it may say what it left undone
		}
	}
	work.Wait()
	mu.Lock()
	calm = true
	mu.Unlock()
	time.Sleep(10 * time.Minute)

	first := map[string][]string{} // what was published for the first time, of each key
	count := map[string]int{}
	for _, a := range to.seen("") {
		if a.outcome == nil {
			if count[a.name]++; count[a.name] == 1 {
				first[a.key] = append(first[a.key], a.name)
			}
		}
	}
	for k := range keys {
		key := strconv.Itoa(k)
		equal(t, "key "+key, first[key], names(key+"-", n/keys))
	}
	if len(count) != 2*n {
		t.Errorf("%d of %d messages were published", len(count), 2*n)
	}
	for name, c := range count {
		if c > 20 {
			t.Errorf("%s was published %d times", name, c)
		}
	}
	if s := stats(t, m); s.Hot+s.Parked+s.Dead > 0 {
		t.Errorf("left: %s", strings.TrimSpace(fmt.Sprintf("%+v", s)))
	}
}
