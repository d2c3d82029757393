package httpmw_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"

	"github.com/google/uuid"
)

// blocking is a handler that says when it has started and goes on when it may.
type blocking struct {
	runs    counter
	started chan struct{} // gets one value a run
	release chan struct{}
	status  func(run int) int // nil = 200
}

func newBlocking() *blocking {
	return &blocking{started: make(chan struct{}, 100), release: make(chan struct{})}
}

func (h *blocking) serve(w http.ResponseWriter, _ *http.Request) {
	n := h.runs.add()
	h.started <- struct{}{}
	<-h.release
	if h.status != nil {
		w.WriteHeader(h.status(n))
	}
	_, _ = fmt.Fprintf(w, "run %d", n)
}

func TestH37DuplicatesInFlightAreTurnedAwayWithAShortHint(t *testing.T) {
	h := newBlocking()
	b := newBench(t, benchConfig{guard: idem.Config{Lease: time.Minute}}, h.serve)
	first := b.start(t, "k")
	<-h.started
	for range 20 {
		a := b.post(t, "k", "x").want(t, 409, httpmw.CodeInFlight)
		if s, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || s != 1 {
			t.Errorf("Retry-After: %q", a.header.Get("Retry-After"))
		}
	}
	close(h.release)
	(<-first).want(t, 200, "")
	h.runs.want(t, 1)
}

func TestH37AllAtOnceRunOnce(t *testing.T) {
	const n = 32
	h := newBlocking()
	b := newBench(t, benchConfig{}, h.serve)
	answers := make([]<-chan answer, n)
	for i := range answers {
		answers[i] = b.start(t, "k")
	}
	<-h.started
	// All but one are turned away; then the one may end.
	var refused sync.WaitGroup
	var ran, conflicts counter
	gate := make(chan struct{})
	refused.Add(n - 1)
	go func() { refused.Wait(); close(h.release); close(gate) }()
	var all sync.WaitGroup
	for _, c := range answers {
		all.Go(func() {
			switch a := <-c; a.status {
			case 409:
				conflicts.add()
				refused.Done()
			case 200:
				ran.add()
			default:
				t.Errorf("got %d %q", a.status, a.body)
			}
		})
	}
	<-gate
	all.Wait()
	ran.want(t, 1)
	conflicts.want(t, n-1)
	h.runs.want(t, 1)
}

// claims tells of claims as they come back, but for the first.
func claims(store *faultStore) <-chan struct{} {
	seen := make(chan struct{}, 10_000)
	store.claim = func(ctx context.Context, c idem.Claim) (idem.Record, error) {
		rec, err := store.Store.Claim(ctx, c)
		if rec.State == idem.InFlight {
			seen <- struct{}{}
		}
		return rec, err
	}
	return seen
}

func TestH38WaitersAllGetTheSameBytes(t *testing.T) {
	const n = 20
	h := newBlocking()
	store := &faultStore{Store: &idem.Memory{}}
	waiting := claims(store)
	b := newBench(t, benchConfig{store: store, mw: httpmw.IdempotencyConfig{Wait: time.Minute}}, h.serve)
	answers := make([]<-chan answer, n)
	for i := range answers {
		answers[i] = b.start(t, "k")
	}
	<-h.started
	for range n - 1 {
		<-waiting
	}
	close(h.release)
	replays := 0
	for _, c := range answers {
		a := (<-c).want(t, 200, "")
		if a.body != "run 1" {
			t.Errorf("got %q", a.body)
		}
		if a.replayed() {
			replays++
		}
	}
	if replays != n-1 {
		t.Errorf("%d replays", replays)
	}
	h.runs.want(t, 1)
}

func TestH39WaiterWhoseClientLeavesStops(t *testing.T) {
	h := newBlocking()
	store := &faultStore{Store: &idem.Memory{}}
	waiting := claims(store)
	b := newBench(t, benchConfig{store: store, mw: httpmw.IdempotencyConfig{Wait: time.Hour}}, h.serve)
	first := b.start(t, "k")
	<-h.started
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	r := b.request(t, http.MethodPost, "/orders", "k", strings.NewReader("x")).WithContext(ctx)
	go func() {
		_, err := send(b.Client(), r)
		left <- err
	}()
	<-waiting
	leave()
	<-left
	if e := b.events.wait(t, 0); e.Result != httpmw.ResultGone { // although the first still runs
		t.Errorf("event %q, %v", e.Result, e.Err)
	}
	close(h.release)
	(<-first).want(t, 200, "")
	h.runs.want(t, 1)
}

func TestH40WaiterInheritsTheRunOfADeadLeader(t *testing.T) {
	var runs counter
	mem := &idem.Memory{}
	store := &faultStore{Store: mem}
	var once sync.Once
	store.claim = func(ctx context.Context, c idem.Claim) (idem.Record, error) {
		once.Do(func() { // somebody else was first, and died
			dead := c
			dead.Token, dead.Lease = uuid.New(), 50*time.Millisecond
			if _, err := mem.Claim(ctx, dead); err != nil {
				t.Error(err)
			}
		})
		return mem.Claim(ctx, c)
	}
	b := newBench(t, benchConfig{store: store, mw: httpmw.IdempotencyConfig{Wait: time.Minute}}, created(&runs))
	if a := b.post(t, "k", "x").want(t, 201, ""); a.replayed() {
		t.Error("replayed what nobody answered")
	}
	runs.want(t, 1)
	if e := b.events.wait(t, 0); e.Info.Attempt != 2 {
		t.Errorf("attempt %d, want 2", e.Info.Attempt)
	}
}

func TestH41WaitThatIsOverIsAConflict(t *testing.T) {
	h := newBlocking()
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Wait: 30 * time.Millisecond}}, h.serve)
	first := b.start(t, "k")
	<-h.started
	b.post(t, "k", "x").want(t, 409, httpmw.CodeInFlight)
	close(h.release)
	(<-first).want(t, 200, "")
	h.runs.want(t, 1)
}

func TestH42WaitersAreCapped(t *testing.T) {
	const limit, n = 3, 12
	h := newBlocking()
	b := newBench(t, benchConfig{guard: idem.Config{MaxWaiters: limit}, mw: httpmw.IdempotencyConfig{Wait: time.Hour}}, h.serve)
	first := b.start(t, "k")
	<-h.started
	answers := make(chan answer, n)
	for range n {
		c := b.start(t, "k")
		go func() { answers <- <-c }()
	}
	for range n - limit { // these do not wait for the first
		(<-answers).want(t, 409, httpmw.CodeInFlight)
	}
	close(h.release)
	(<-first).want(t, 200, "")
	for range limit {
		if !(<-answers).want(t, 200, "").replayed() {
			t.Error("a waiter ran")
		}
	}
	h.runs.want(t, 1)
}

func TestH43ReleasedKeyGoesToExactlyOneWaiter(t *testing.T) {
	const waiters = 8
	h := newBlocking()
	h.status = func(run int) int { return map[bool]int{true: 503, false: 200}[run == 1] }
	store := &faultStore{Store: &idem.Memory{}}
	waiting := claims(store)
	b := newBench(t, benchConfig{store: store, mw: httpmw.IdempotencyConfig{Wait: time.Minute}}, h.serve)
	first := b.start(t, "k")
	<-h.started
	answers := make([]<-chan answer, waiters)
	for i := range answers {
		answers[i] = b.start(t, "k")
		<-waiting
	}
	h.release <- struct{}{}
	(<-first).want(t, 503, "")
	<-h.started // the next leader; nobody else may start before it is done
	close(h.release)
	fresh := 0
	for _, c := range answers {
		a := (<-c).want(t, 200, "")
		if a.body != "run 2" {
			t.Errorf("got %q", a.body)
		}
		if !a.replayed() {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d leaders", fresh)
	}
	h.runs.want(t, 2)
}

// 10^4 requests for one key at once: the waiters are bounded, and all goroutines end.
func TestStormOnOneKeyIsBounded(t *testing.T) {
	h := newBlocking()
	m := func() *httpmw.Idempotency {
		g, err := idem.New(&idem.Memory{}, idem.Config{MaxWaiters: 50})
		if err != nil {
			t.Fatal(err)
		}
		m, err := httpmw.NewIdempotency(g, httpmw.SharedScope, httpmw.IdempotencyConfig{Wait: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}()
	handler := m.Handler(http.HandlerFunc(h.serve))
	before := runtime.NumGoroutine()
	var all sync.WaitGroup
	var refused, ok counter
	call := func() {
		w := newPlainWriter()
		r := newPost("k", "x")
		handler.ServeHTTP(w, r)
		switch w.status {
		case 409:
			refused.add()
		case 200:
			ok.add()
		default:
			t.Errorf("got %d", w.status)
		}
	}
	all.Go(call)
	<-h.started
	const storm = 10_000
	refusedEnough := func() bool { refused.mu.Lock(); defer refused.mu.Unlock(); return refused.n >= storm-50 }
	for range storm {
		all.Go(call)
	}
	waitFor(t, refusedEnough)
	close(h.release)
	all.Wait()
	refused.want(t, storm-50)
	ok.want(t, 51)
	h.runs.want(t, 1)
	waitFor(t, func() bool { return runtime.NumGoroutine() <= before })
}
