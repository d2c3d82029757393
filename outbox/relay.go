package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// ErrRunning is returned by a second [Relay.Run] while the first one runs.
var ErrRunning = errors.New("outbox: relay is already running")

// Relay publishes what committed units of work left in a Store. Its methods are safe for
// concurrent use.
type Relay struct {
	store     Store
	publisher Publisher
	orderSafe bool
	config    RelayConfig
	skip      []uint8
	running   atomic.Bool
	bell      bell
}

// NewRelay makes a relay. It starts nothing; see [Relay.Run]. The error names the field
// of c that is wrong.
func NewRelay(s Store, p Publisher, c RelayConfig) (*Relay, error) {
	if s == nil {
		return nil, errors.New("outbox: NewRelay needs a Store, got nil")
	}
	if p == nil {
		return nil, errors.New("outbox: NewRelay needs a Publisher, got nil")
	}
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Relay{store: s, publisher: p, orderSafe: orderSafe(p), config: c, skip: c.skip()}
	r.bell.init()
	return r, nil
}

// Wake says that there is something new; call it after a commit. It never blocks, and is
// fine at any time: before Run, too often, without reason.
func (r *Relay) Wake() { r.bell.ring() }

// Run relays until ctx ends, then drains: no further batch is sent, those in flight may
// finish within [RelayConfig.Drain], what was published is acknowledged on a context of
// its own, and the leases are released, so that another relay can go on at once.
//
// It returns nil after a complete drain, else an error that says what was left undone:
// nothing is lost by that, but messages may be published again. It returns an error at
// once if the relay is running already ([ErrRunning]), or if the store is a [Checker]
// and its Check fails. A store that fails otherwise does not end Run: calls are repeated
// until it recovers. Run may be called again after it has returned.
func (r *Relay) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer r.running.Store(false)
	if ctx.Err() != nil {
		return nil
	}
	if c, ok := r.store.(Checker); ok {
		if err := c.Check(ctx); err != nil {
			return fmt.Errorf("outbox: the store refuses to serve a relay: %w", err)
		}
	}
	return newSession(r).run(ctx)
}

// session is one Run.
type session struct {
	*Relay
	lanes   map[uint8]*lane
	workers map[workerID]*worker
	renew   chan struct{} // renew the leases now
	wg      sync.WaitGroup

	mu      sync.Mutex
	unacked int // messages published, but not recorded as such at the end
}

func newSession(r *Relay) *session {
	return &session{
		Relay:   r,
		lanes:   map[uint8]*lane{},
		workers: map[workerID]*worker{},
		renew:   make(chan struct{}, 1),
	}
}

// phases are the contexts of a session: stop ends the taking of new work, publish the
// calls in flight, settle everything.
type phases struct{ stop, publish, settle context.Context } //nolint:containedctx // handed down as one, never kept

func (s *session) run(ctx context.Context) error {
	publish, cutPublish := context.WithCancel(context.WithoutCancel(ctx))
	defer cutPublish()
	settle, cutSettle := context.WithCancel(context.WithoutCancel(ctx))
	defer cutSettle()
	drained := make(chan struct{})
	s.wg.Go(func() {
		<-ctx.Done()
		timer := time.NewTimer(s.config.Drain * 4 / 5)
		defer timer.Stop()
		for _, cut := range []context.CancelFunc{cutPublish, cutSettle} {
			select {
			case <-drained:
				return
			case <-timer.C:
				cut()
				timer.Reset(s.config.Drain / 5)
			}
		}
	})
	if n, ok := s.store.(Notifier); ok {
		s.wg.Go(func() { s.listen(ctx, n) })
	}
	s.keepLeases(phases{stop: ctx, publish: publish, settle: settle})

	var errs []error
	if err := s.store.Release(settle, s.config.Owner, nil); err != nil {
		errs = append(errs, fmt.Errorf("outbox: releasing the leases, which now run out by themselves: %w", err))
	}
	close(drained)
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unacked > 0 {
		errs = append(errs, fmt.Errorf("outbox: %d messages were published but not acknowledged within Drain, and will be published again", s.unacked))
	}
	for _, l := range s.lanes {
		if l.isStuck() {
			errs = append(errs, fmt.Errorf("lane %d: %w; its goroutine is left behind", l.number, errStuck))
		}
	}
	return errors.Join(errs...)
}

// listen lets the store wake the relay.
func (s *session) listen(ctx context.Context, n Notifier) {
	for fails := 0; ctx.Err() == nil; fails++ {
		start := time.Now()
		err := n.Listen(ctx, s.bell.ring)
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) > time.Minute {
			fails = 0
		}
		s.config.Logger.LogAttrs(ctx, slog.LevelWarn, "outbox: the store's notifications failed; polling goes on", slog.Any("error", err))
		s.bell.ring() // what came in between was not announced
		sleep(ctx, jitter(doubled(time.Second, fails, time.Minute), 0.2), nil, nil)
	}
}

// failed reports a call of the store that will be repeated, unless ctx ended it.
func (s *session) failed(ctx context.Context, op string, err error) {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return
	}
	s.config.Logger.LogAttrs(ctx, slog.LevelWarn, "outbox: store failed", slog.String("op", op), slog.Any("error", err))
	if f := s.config.Hooks.StoreFailed; f != nil {
		f(ctx, op, err)
	}
}

// bell wakes any number of goroutines. Take wait before looking for work: a ring in
// between is then not missed.
type bell struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *bell) init() { b.ch = make(chan struct{}) }

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.ch)
	b.ch = make(chan struct{})
}

func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ch
}

// sleep waits for d, or until ctx ends or one of two channels has something; nil ones have
// not. It says whether d is over.
func sleep(ctx context.Context, d time.Duration, wake, other <-chan struct{}) (slept bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
		return true
	case <-wake:
	case <-other:
	}
	return false
}

// doubled is d doubled n times, but at most the limit.
func doubled(d time.Duration, n int, limit time.Duration) time.Duration {
	for ; n > 0 && d < limit; n-- {
		d = min(2*d, limit)
	}
	return min(d, limit)
}
