package chaos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
	"example.com/once/monitoring/app"
)

// patience is how long the monitor waits for the receiver's answer.
const patience = 400 * time.Millisecond

// receiver is the destination of alerts: an ordinary handler that writes into the
// ledger, behind httpmw.Idempotency unless naive, behind a layer that makes a third of
// all requests fail.
type receiver struct {
	ledger  *ledger
	next    http.Handler
	mu      sync.Mutex
	random  *rand.Rand
	faults  bool
	busy    int
	sends   int
	failed  int
	replays int
}

func newReceiver(seed uint64, naive bool) (*receiver, error) {
	r := &receiver{ledger: newLedger(), random: rand.New(rand.NewPCG(seed, 2)), faults: true}
	r.next = http.HandlerFunc(r.act)
	if naive {
		return r, nil
	}
	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	once, err := httpmw.NewIdempotency(guard, httpmw.SharedScope, httpmw.IdempotencyConfig{Required: true, Observe: r.observe})
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	r.next = once.Handler(r.next)
	return r, nil
}

// act is the receiver's own work. It knows nothing of keys and repeats.
func (r *receiver) act(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	n, err := app.ParseNotification(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.ledger.apply(n)
	w.WriteHeader(http.StatusCreated)
}

func (r *receiver) observe(_ context.Context, e httpmw.IdempotencyEvent) {
	if e.Result == httpmw.ResultReplayed {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.replays++
	}
}

// fault is what happens to one request.
type fault uint8

const (
	none   fault = iota
	refuse       // fails before anything is done
	cut          // does its work, then the answer is lost
	dawdle       // does its work after the sender has given up
)

func (r *receiver) begin() fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sends++
	r.busy++
	if !r.faults || r.random.Float64() >= 1.0/3 {
		return none
	}
	r.failed++
	return []fault{refuse, cut, dawdle}[r.random.IntN(3)]
}

func (r *receiver) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy--
}

// ServeHTTP serves one request, or lets it fail.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	f := r.begin()
	defer r.end()
	switch f {
	case refuse:
		http.Error(w, "cannot now", http.StatusServiceUnavailable)
	case cut:
		r.next.ServeHTTP(lost{make(http.Header)}, req)
		panic(http.ErrAbortHandler)
	case dawdle:
		body, err := io.ReadAll(req.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		<-time.After(patience * 3 / 2)
		late := req.Clone(context.WithoutCancel(req.Context()))
		late.Body = io.NopCloser(bytes.NewReader(body))
		r.next.ServeHTTP(w, late)
	default:
		r.next.ServeHTTP(w, req)
	}
}

// lost is an answer that nobody gets.
type lost struct{ header http.Header }

func (l lost) Header() http.Header         { return l.header }
func (l lost) Write(p []byte) (int, error) { return len(p), nil }
func (l lost) WriteHeader(int)             {}

// calm ends the faults.
func (r *receiver) calm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = false
}

// counts adds what the receiver saw to v, and says whether a request is being served.
func (r *receiver) counts(v *Verdict) (busy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v.Sends, v.Faults, v.Suppressed = r.sends, r.failed, r.replays
	return r.busy > 0
}
