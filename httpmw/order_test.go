package httpmw_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

var errDown = errors.New("the store is down: dsn=secret")

func TestH68NoByteReachesTheClientBeforeTheRecordStands(t *testing.T) {
	w := newPlainWriter()
	store := &faultStore{Store: &idem.Memory{}}
	store.complete = func(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (idem.Record, error) {
		if w.writes != 0 || len(w.header) != 0 {
			t.Errorf("the client has %d %v %q", w.status, w.header, w.body.String())
		}
		return store.Store.Complete(ctx, l, result, keep)
	}
	m := middleware(t, store, httpmw.IdempotencyConfig{})
	m.Handler(status(201, "done", "X-A", "1")).ServeHTTP(w, newPost("k", "x"))
	if w.status != 201 || w.body.String() != "done" || w.header.Get("X-A") != "1" {
		t.Errorf("got %d %v %q", w.status, w.header, w.body.String())
	}
}

func TestH69AnswerIsSentThoughItCouldNotBeRecorded(t *testing.T) {
	var runs counter
	var down atomic.Bool
	down.Store(true)
	store := &faultStore{Store: &idem.Memory{}}
	store.complete = func(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (idem.Record, error) {
		if down.Load() {
			return idem.Record{}, errDown
		}
		return store.Store.Complete(ctx, l, result, keep)
	}
	b := newBench(t, benchConfig{store: store, guard: idem.Config{Settle: 20 * time.Millisecond}}, created(&runs))
	if a := b.post(t, "k", "x").want(t, 201, ""); a.body != "order 1" {
		t.Errorf("got %q", a.body)
	}
	if e := b.events.wait(t, 0); e.Result != httpmw.ResultUnrecorded || !errors.Is(e.Err, idem.ErrUnknown) {
		t.Errorf("event %q, %v", e.Result, e.Err)
	}
	b.post(t, "k", "x").want(t, 409, httpmw.CodeInFlight) // until the lease ends
	runs.want(t, 1)

	// A store that is down for a moment only is asked again, and the client notices nothing.
	tries := 0
	store.complete = func(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (idem.Record, error) {
		if tries++; tries < 3 {
			return idem.Record{}, errDown
		}
		return store.Store.Complete(ctx, l, result, keep)
	}
	b = newBench(t, benchConfig{store: store}, created(&runs))
	b.post(t, "k2", "x").want(t, 201, "")
	if !b.post(t, "k2", "x").want(t, 201, "").replayed() {
		t.Error("not recorded")
	}
	b.events.want(t, httpmw.ResultFirst)
}

// take makes the key of a request somebody else's in the middle of its handler.
func take(t *testing.T, store *faultStore) (steal func() idem.Record) {
	t.Helper()
	var claimed idem.Claim
	store.claim = func(ctx context.Context, c idem.Claim) (idem.Record, error) {
		claimed = c
		c.Lease = time.Millisecond
		return store.Store.Claim(ctx, c)
	}
	return func() idem.Record {
		c := claimed
		c.Token[0] ^= 0xff
		c.Lease = time.Hour
		var rec idem.Record
		waitFor(t, func() bool {
			var err error
			if rec, err = store.Store.Claim(t.Context(), c); err != nil {
				t.Error(err)
			}
			return rec.State == idem.Acquired
		})
		return rec
	}
}

func TestH70LostToARunThatIsDone(t *testing.T) {
	store := &faultStore{Store: &idem.Memory{}}
	steal := take(t, store)
	// What the other run recorded: the answer of the same handler, elsewhere.
	var recorded []byte
	spy := &faultStore{Store: &idem.Memory{}}
	spy.complete = func(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (idem.Record, error) {
		recorded = result
		return spy.Store.Complete(ctx, l, result, keep)
	}
	newBench(t, benchConfig{store: spy}, status(201, "theirs", "X-By", "them")).post(t, "k", "x").want(t, 201, "")

	b := newBench(t, benchConfig{store: store}, func(w http.ResponseWriter, r *http.Request) {
		other := steal()
		if _, err := store.Store.Complete(r.Context(), other.Lease, recorded, time.Hour); err != nil {
			t.Error(err)
		}
		status(200, "ours", "X-By", "us")(w, r)
	})
	a := b.post(t, "k", "x").want(t, 201, "")
	if a.body != "theirs" || a.header.Get("X-By") != "them" || !a.replayed() {
		t.Errorf("got %q %v", a.body, a.header)
	}
	b.events.want(t, httpmw.ResultReplayed)
}

func TestH71LostToARunThatGoesOn(t *testing.T) {
	store := &faultStore{Store: &idem.Memory{}}
	steal := take(t, store)
	b := newBench(t, benchConfig{store: store}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		steal()
		status(200, "ours", "X-By", "us")(w, r)
	})
	a := b.post(t, "k", "x").want(t, 409, httpmw.CodeInFlight)
	if a.header.Get("X-By") != "" || a.header.Get("Link") != "" || a.header.Get("Retry-After") != "1" {
		t.Errorf("got %v", a.header)
	}
}

func TestH72ClientThatLeavesLosesNothing(t *testing.T) {
	h := newBlocking()
	b := newBench(t, benchConfig{}, func(w http.ResponseWriter, r *http.Request) {
		h.serve(w, r)
		if err := r.Context().Err(); err != nil {
			t.Errorf("the handler's context ended: %v", err)
		}
	})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	r := b.request(t, http.MethodPost, "/orders", "k", strings.NewReader("x")).WithContext(ctx)
	go func() {
		_, err := send(b.Client(), r)
		left <- err
	}()
	<-h.started
	leave()
	<-left
	close(h.release)
	b.events.want(t, httpmw.ResultFirst)
	if a := b.post(t, "k", "x").want(t, 200, ""); !a.replayed() || a.body != "run 1" {
		t.Errorf("got %q %v", a.body, a.header)
	}
	h.runs.want(t, 1)
}

// A handler whose client has gone may go on for Linger; then its context ends, and its outcome is recorded all
// the same. In a bubble no socket is needed: the request's context is what the server would end.
func TestH73LingerBoundsAHandlerWithoutAClient(t *testing.T) {
	for _, c := range []struct{ linger, want time.Duration }{
		{0, time.Minute}, {time.Hour, time.Hour}, {-1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var events eventLog
			m := middleware(t, &idem.Memory{}, httpmw.IdempotencyConfig{Linger: c.linger, Observe: events.add})
			ctx, leave := context.WithCancel(t.Context())
			var lasted time.Duration
			h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				start := time.Now()
				leave()
				<-r.Context().Done()
				lasted = time.Since(start)
				w.WriteHeader(201)
			}))
			h.ServeHTTP(newPlainWriter(), newPost("k", "x").WithContext(ctx))
			if lasted != c.want {
				t.Errorf("Linger %v: the handler had %v, want %v", c.linger, lasted, c.want)
			}
			if e := events.list[0]; e.Result != httpmw.ResultFirst {
				t.Errorf("event %q, %v", e.Result, e.Err)
			}
			w := newPlainWriter()
			h.ServeHTTP(w, newPost("k", "x"))
			if w.status != 201 || w.header.Get(httpmw.HeaderReplayed) != "true" {
				t.Errorf("got %d %v", w.status, w.header)
			}
		})
	}
}

func TestH74StoreThatIsDownAtTheClaim(t *testing.T) {
	t.Run("fails closed", func(t *testing.T) {
		var runs counter
		store := &faultStore{Store: &idem.Memory{}}
		store.claim = func(context.Context, idem.Claim) (idem.Record, error) { return idem.Record{}, errDown }
		b := newBench(t, benchConfig{store: store}, created(&runs))
		a := b.post(t, "k", "x").want(t, 503, httpmw.CodeStoreUnavailable)
		if a.header.Get("Retry-After") == "" || strings.Contains(a.body, "secret") {
			t.Errorf("got %v %s", a.header, a.body)
		}
		runs.want(t, 0)
		if e := b.events.wait(t, 0); !errors.Is(e.Err, errDown) {
			t.Errorf("event %v", e.Err)
		}
	})
	t.Run("a full store refuses", func(t *testing.T) {
		var runs counter
		b := newBench(t, benchConfig{store: &idem.Memory{MaxEntries: 1}}, created(&runs))
		b.post(t, "k", "x").want(t, 201, "")
		b.post(t, "k2", "x").want(t, 503, httpmw.CodeStoreUnavailable)
		if !b.post(t, "k", "x").want(t, 201, "").replayed() { // nothing was evicted for it
			t.Error("not replayed")
		}
		runs.want(t, 1)
	})
	t.Run("fails open where it is told to", func(t *testing.T) {
		var runs counter
		store := &faultStore{Store: &idem.Memory{}}
		store.claim = func(context.Context, idem.Claim) (idem.Record, error) { return idem.Record{}, errDown }
		b := newBench(t, benchConfig{store: store, mw: httpmw.IdempotencyConfig{
			UnsafeFailOpen: func(r *http.Request) bool { return r.URL.Path == "/likes" },
		}}, func(w http.ResponseWriter, r *http.Request) {
			runs.add()
			_, _ = io.Copy(w, r.Body)
		})
		if a := b.do(t, b.request(t, http.MethodPost, "/likes", "k", strings.NewReader("body"))).want(t, 200, ""); a.body != "body" {
			t.Errorf("the handler read %q", a.body)
		}
		b.events.want(t, httpmw.ResultUnprotected)
		b.post(t, "k", "x").want(t, 503, httpmw.CodeStoreUnavailable)
		runs.want(t, 1)
	})
}

// The claim lands, its acknowledgement does not: the request is turned away, and its retry must not find a key that
// nobody holds.
func TestH75SlowStoreCountsAsDownAndItsClaimIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs counter
		store := &faultStore{Store: &idem.Memory{}}
		slow := true
		store.claim = func(ctx context.Context, c idem.Claim) (idem.Record, error) {
			rec, err := store.Store.Claim(ctx, c)
			if slow {
				slow = false
				<-ctx.Done()
				return idem.Record{}, ctx.Err()
			}
			return rec, err
		}
		m := middleware(t, store, httpmw.IdempotencyConfig{})
		h := m.Handler(created(&runs))
		start := time.Now()
		w := newPlainWriter()
		h.ServeHTTP(w, newPost("k", "x"))
		if w.status != 503 || time.Since(start) != 5*time.Second {
			t.Errorf("got %d after %v", w.status, time.Since(start))
		}
		runs.want(t, 0)
		w = newPlainWriter()
		h.ServeHTTP(w, newPost("k", "x"))
		if w.status != 201 {
			t.Errorf("the retry got %d %s", w.status, w.body.String())
		}
		runs.want(t, 1)
	})
}

func TestH76ShutdownLetsWhatIsInFlightFinish(t *testing.T) {
	h := newBlocking()
	store := &idem.Memory{}
	b := newBench(t, benchConfig{store: store}, h.serve)
	first := b.start(t, "k")
	<-h.started
	down := make(chan error, 1)
	go func() { down <- b.Config.Shutdown(t.Context()) }()
	close(h.release)
	(<-first).want(t, 200, "")
	if err := <-down; err != nil {
		t.Error(err)
	}
	b = newBench(t, benchConfig{store: store}, h.serve)
	if !b.post(t, "k", "x").want(t, 200, "").replayed() {
		t.Error("not recorded")
	}
	h.runs.want(t, 1)
}

func TestH78HeartbeatKeepsTheKeyOfALongHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := middleware(t, &idem.Memory{}, httpmw.IdempotencyConfig{}) // a lease of 30 s
		h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(10 * time.Minute)
			if r.Context().Err() != nil {
				t.Error("the handler's context ended")
			}
			w.WriteHeader(201)
		}))
		first := newPlainWriter()
		done := make(chan struct{})
		go func() { defer close(done); h.ServeHTTP(first, newPost("k", "x")) }()
		for range 19 {
			time.Sleep(31 * time.Second)
			w := newPlainWriter()
			h.ServeHTTP(w, newPost("k", "x"))
			if w.status != 409 {
				t.Errorf("got %d", w.status)
			}
		}
		<-done
		if first.status != 201 {
			t.Errorf("got %d", first.status)
		}
	})
}

func TestH79HandlerIsStoppedBeforeTheStoreHandsItsKeyOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faultStore{Store: &idem.Memory{}}
		store.renew = func(context.Context, idem.Lease, time.Duration, *idem.Progress) error { return errDown }
		m := middleware(t, store, httpmw.IdempotencyConfig{})
		var lasted time.Duration
		h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := time.Now()
			<-r.Context().Done()
			lasted = time.Since(start)
			if !errors.Is(context.Cause(r.Context()), idem.ErrLeaseLost) {
				t.Errorf("cause %v", context.Cause(r.Context()))
			}
			w.WriteHeader(201) // late, but nobody has taken the key
		}))
		w := newPlainWriter()
		h.ServeHTTP(w, newPost("k", "x"))
		if lasted <= 10*time.Second || lasted >= 30*time.Second {
			t.Errorf("stopped after %v of a lease of 30 s", lasted)
		}
		if w.status != 201 {
			t.Errorf("got %d", w.status)
		}
		w = newPlainWriter()
		h.ServeHTTP(w, newPost("k", "x"))
		if w.header.Get(httpmw.HeaderReplayed) != "true" {
			t.Errorf("what was late and unchallenged is not recorded: %d %v", w.status, w.header)
		}
	})
}
