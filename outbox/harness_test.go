package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
)

// bubble runs f in virtual time. A goroutine that is left behind fails it.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// attempt is one delivery that a destination got to see.
type attempt struct {
	name    string // the payload
	key     string
	id      uuid.UUID
	number  int
	at      time.Duration // since the destination was made
	outcome error
}

// destination is a publisher that does as it is told and writes down what it sees.
type destination struct {
	outbox.Publisher

	mu       sync.Mutex
	start    time.Time
	answer   func(d outbox.Delivery) error // nil = takes everything
	attempts []attempt
}

func newDestination(answer func(d outbox.Delivery) error) *destination {
	s := &destination{start: time.Now(), answer: answer}
	s.Publisher = outbox.PublisherFunc(s.take)
	return s
}

func (s *destination) take(_ context.Context, d outbox.Delivery) error {
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	var err error
	if answer != nil {
		err = answer(d)
	}
	s.see(d, err)
	return err
}

func (s *destination) see(d outbox.Delivery, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts = append(s.attempts, attempt{
		name: string(d.Payload), key: d.Key, id: d.ID, number: d.Attempt, at: time.Since(s.start), outcome: err,
	})
}

func (s *destination) answers(f func(d outbox.Delivery) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// seen returns the attempts at messages of a name, or all of them.
func (s *destination) seen(name string) []attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []attempt
	for _, a := range s.attempts {
		if name == "" || a.name == name {
			list = append(list, a)
		}
	}
	return list
}

// took returns the names of what was taken, in order; of one key if it is given.
func (s *destination) took(key string) []string {
	var names []string
	for _, a := range s.seen("") {
		if a.outcome == nil && (key == "" || a.key == key) {
			names = append(names, a.name)
		}
	}
	return names
}

// running is a relay at work.
type running struct {
	*outbox.Relay

	cancel context.CancelFunc
	done   chan error
}

// stop ends the relay and returns what Run returned.
func (r *running) stop() error {
	r.cancel()
	return <-r.done
}

// start runs a relay until the test ends, if it is not stopped before.
func start(t *testing.T, s outbox.Store, p outbox.Publisher, c outbox.RelayConfig) *running {
	t.Helper()
	relay, err := outbox.NewRelay(s, p, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{Relay: relay, cancel: cancel, done: make(chan error, 1)}
	go func() {
		r.done <- relay.Run(ctx)
		close(r.done)
	}()
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// write commits one message a name, all of one key.
func write(t *testing.T, m *outboxtest.Memory, key string, names ...string) {
	t.Helper()
	for _, name := range names {
		send(t, m, outbox.Message{Topic: "test", Key: key, Payload: []byte(name)})
	}
}

func send(t *testing.T, m *outboxtest.Memory, messages ...outbox.Message) {
	t.Helper()
	if err := m.Write(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
}

// names are prefix0, prefix1 and so on.
func names(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = prefix + strconv.Itoa(i)
	}
	return list
}

func stats(t *testing.T, i outbox.Inspector) outbox.Stats {
	t.Helper()
	s, err := i.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func dead(t *testing.T, i outbox.Inspector) []outbox.DeadLetter {
	t.Helper()
	var list []outbox.DeadLetter
	for d, err := range i.Dead(context.Background(), outbox.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

// empty expects that nothing is left in the store.
func empty(t *testing.T, i outbox.Inspector) {
	t.Helper()
	if s := stats(t, i); s.Hot != 0 || s.Parked != 0 || s.Dead != 0 {
		t.Errorf("left in the store: %+v", s)
	}
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %s, want %s", what, short(got), short(want))
	}
}

// sameSet expects the same names in any order.
func sameSet(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: %s, want %s", what, short(got), short(want))
	}
}

func short(list []string) string {
	if len(list) <= 20 {
		return fmt.Sprintf("%q", list)
	}
	return fmt.Sprintf("%d: %s ...", len(list), strings.Join(list[:20], " "))
}

// notes are a list that several goroutines write to.
type notes[T any] struct {
	mu   sync.Mutex
	list []T
}

func (n *notes[T]) add(v T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, v)
}

func (n *notes[T]) all() []T {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.list)
}

var errBoom = errors.New("boom")

// failing fails the messages of a name the first n times; n < 0 = always.
func failing(name string, n int, err error) func(d outbox.Delivery) error {
	var mu sync.Mutex
	return func(d outbox.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		if string(d.Payload) != name || n == 0 {
			return nil
		}
		n--
		return err
	}
}

// faulty is a store some of whose calls fail, hang or are watched.
type faulty struct {
	*outboxtest.Memory

	mu     sync.Mutex
	before func(ctx context.Context, op string) error // an error keeps the call from the store
	after  func(op string, err error) error           // of a call that reached the store
	calls  map[string]int
}

func (f *faulty) on(before func(ctx context.Context, op string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

func (f *faulty) lose(after func(op string, err error) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = after
}

func (f *faulty) count(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

func (f *faulty) call(ctx context.Context, op string, do func() error) error {
	f.mu.Lock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[op]++
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil {
		if err := before(ctx, op); err != nil {
			return err
		}
	}
	err := do()
	if after != nil {
		err = after(op, err)
	}
	return err
}

func (f *faulty) Lease(ctx context.Context, r outbox.LeaseRequest) (leases []outbox.Lease, err error) {
	err = f.call(ctx, "lease", func() error { leases, err = f.Memory.Lease(ctx, r); return err })
	return leases, err
}

func (f *faulty) Release(ctx context.Context, owner string, held []outbox.Lease) error {
	return f.call(ctx, "release", func() error { return f.Memory.Release(ctx, owner, held) })
}

func (f *faulty) Fetch(ctx context.Context, r outbox.FetchRequest) (page outbox.Page, err error) {
	err = f.call(ctx, "fetch", func() error { page, err = f.Memory.Fetch(ctx, r); return err })
	return page, err
}

func (f *faulty) Ack(ctx context.Context, refs []outbox.Ref) error {
	return f.call(ctx, "ack", func() error { return f.Memory.Ack(ctx, refs) })
}

func (f *faulty) Park(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
	return f.call(ctx, "park", func() error { return f.Memory.Park(ctx, l, items) })
}

func (f *faulty) Due(ctx context.Context, held []outbox.Lease, limit int) (rows []outbox.Row, err error) {
	err = f.call(ctx, "due", func() error { rows, err = f.Memory.Due(ctx, held, limit); return err })
	return rows, err
}

func (f *faulty) Settle(ctx context.Context, l outbox.Lease, items []outbox.Outcome) error {
	return f.call(ctx, "settle", func() error { return f.Memory.Settle(ctx, l, items) })
}
