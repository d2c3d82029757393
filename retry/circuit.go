package retry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BreakerConfig configures [NewBreaker]; the zero value works.
type BreakerConfig struct {
	// Ratio is the share of failures in the window that opens the breaker, above 0 and at most 1; 0 means 0.5.
	Ratio float64
	// MinCalls is how many calls with an outcome the window must hold before the ratio counts; 0 means 10.
	MinCalls int
	// Window is the time over which calls are counted, rolling in tenths; 0 means 10s, the least is 10ms.
	Window time.Duration
	// OpenFor is how long an open breaker refuses before it lets probes through; 0 means 5s.
	OpenFor time.Duration
	// Probes is how many calls are let through then; all of them must succeed to close the breaker. 0 means 1.
	Probes int
	// ProbeTimeout is how long a probe may run before another call may take it for failed, so that a probe that
	// hangs does not keep the breaker from ever closing. 0 means 30s; it cannot be switched off.
	ProbeTimeout time.Duration
	// OnChange is called after each change of state, in order, by the goroutine that caused it and without a
	// lock held; nil means silence.
	OnChange func(name string, from, to gobreaker.State)
}

// window is how many buckets the rolling window has.
const windowBuckets = 10

// NewBreaker makes a breaker that opens on a ratio of failures with a least volume, over a rolling window, and that
// excludes cancelled calls. It is gobreaker's two-step breaker with three of its edges taken off: a
// ratio instead of consecutive failures (which its rolling window forgets), no hook under its lock, and a probe
// that hangs is given up. An error names the field that is wrong.
//
// Use one for all calls to one destination, and only where refusing all of them is better than letting some
// through: behind a balancer with one bad member out of ten it is not, and a [Budget] is.
func NewBreaker(name string, c BreakerConfig) (*Circuit, error) {
	ratio, minCalls, window, openFor, probes := c.Ratio, c.MinCalls, c.Window, c.OpenFor, c.Probes
	switch {
	case !(ratio >= 0 && ratio <= 1): // NaN too
		return nil, fmt.Errorf("retry: BreakerConfig.Ratio is %v: choose a share above 0 and at most 1, or 0 for the default", ratio)
	case minCalls < 0:
		return nil, fmt.Errorf("retry: BreakerConfig.MinCalls is %d: choose a positive number, or 0 for the default", minCalls)
	case window < 0 || window > 0 && window < 10*time.Millisecond:
		return nil, fmt.Errorf("retry: BreakerConfig.Window is %v: choose at least 10ms, or 0 for the default", window)
	case openFor < 0:
		return nil, fmt.Errorf("retry: BreakerConfig.OpenFor is %v: choose a positive duration, or 0 for the default", openFor)
	case probes < 0:
		return nil, fmt.Errorf("retry: BreakerConfig.Probes is %d: choose a positive number, or 0 for the default", probes)
	case c.ProbeTimeout < 0:
		return nil, fmt.Errorf("retry: BreakerConfig.ProbeTimeout is %v: choose a positive duration, or 0 for the default", c.ProbeTimeout)
	}
	b := &Circuit{name: name, onChange: c.OnChange, probeTimeout: or(c.ProbeTimeout, 30*time.Second)}
	ratio, least := or(ratio, 0.5), float64(or(minCalls, 10))
	window = or(window, 10*time.Second)
	b.inner = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         name,
		MaxRequests:  uint32(min(or(probes, 1), 1<<31-1)), //nolint:gosec // positive and bounded
		Interval:     window,
		BucketPeriod: window / windowBuckets,
		Timeout:      or(openFor, 5*time.Second),
		ReadyToTrip: func(n gobreaker.Counts) bool {
			// Requests also counts excluded calls and those in flight: divide by those with an outcome.
			all := float64(n.TotalSuccesses) + float64(n.TotalFailures)
			return all >= least && float64(n.TotalFailures) >= ratio*all
		},
		IsExcluded:    cancelled,
		OnStateChange: b.changed,
	})
	return b, nil
}

// or returns v, or its default if v is zero.
func or[T comparable](v, byDefault T) T {
	var zero T
	if v == zero {
		return byDefault
	}
	return v
}

// Circuit is the [Breaker] that [NewBreaker] makes. It is safe for concurrent use.
type Circuit struct {
	name         string
	inner        *gobreaker.TwoStepCircuitBreaker[struct{}]
	probeTimeout time.Duration
	onChange     func(name string, from, to gobreaker.State)
	halfOpen     atomic.Bool

	mu      sync.Mutex // a leaf: nothing of gobreaker's or the user's is called under it
	probes  []*probe
	changes []change // not yet told
	telling bool
}

type change struct{ from, to gobreaker.State }

// probe is a call let through a half-open breaker.
type probe struct {
	done  func(error)
	since time.Time
	used  atomic.Bool
}

func (p *probe) settle(outcome error) {
	if p.used.CompareAndSwap(false, true) {
		p.done(outcome)
	}
}

// errProbe is the outcome of a probe that did not end in time.
var errProbe = errors.New("retry: the breaker's probe did not end in time")

// Name returns the name given to [NewBreaker].
func (b *Circuit) Name() string { return b.name }

// State returns the breaker's state.
func (b *Circuit) State() gobreaker.State {
	defer b.tell()
	return b.inner.State()
}

// Counts returns the calls counted in the window.
func (b *Circuit) Counts() gobreaker.Counts { return b.inner.Counts() }

// Allow asks for one call; see [Breaker]. It refuses with an error that matches gobreaker.ErrOpenState or
// gobreaker.ErrTooManyRequests. Who calls it without [Do] must call done, and tell a cancelled call by
// context.Canceled itself, not wrapped.
func (b *Circuit) Allow() (done func(error), err error) {
	done, err = b.inner.Allow()
	if err != nil {
		if errors.Is(err, gobreaker.ErrTooManyRequests) {
			b.reclaim()
		}
		b.tell()
		return nil, fmt.Errorf("retry: breaker %q: %w", b.name, err)
	}
	if b.halfOpen.Load() {
		done = b.watchProbe(done)
	}
	if b.onChange == nil {
		return done, nil
	}
	b.tell()
	settle := done
	return func(outcome error) {
		settle(outcome)
		b.tell()
	}, nil
}

func (b *Circuit) watchProbe(done func(error)) func(error) {
	p := &probe{done: done, since: time.Now()}
	b.mu.Lock()
	b.probes = append(b.probes, p)
	b.mu.Unlock()
	return func(outcome error) {
		b.mu.Lock()
		b.probes = slices.DeleteFunc(b.probes, func(q *probe) bool { return q == p })
		b.mu.Unlock()
		p.settle(outcome)
	}
}

// reclaim settles the probes that have run for too long. It happens when a call is refused for their sake, so it
// needs neither a timer nor a goroutine.
func (b *Circuit) reclaim() {
	var late []*probe
	b.mu.Lock()
	b.probes = slices.DeleteFunc(b.probes, func(p *probe) bool {
		if time.Since(p.since) < b.probeTimeout {
			return false
		}
		late = append(late, p)
		return true
	})
	b.mu.Unlock()
	for _, p := range late {
		p.settle(errProbe)
	}
}

// changed is called under gobreaker's lock: it only takes a note.
func (b *Circuit) changed(_ string, from, to gobreaker.State) {
	b.halfOpen.Store(to == gobreaker.StateHalfOpen)
	if b.onChange == nil {
		return
	}
	b.mu.Lock()
	b.changes = append(b.changes, change{from, to})
	b.mu.Unlock()
}

// tell delivers the changes noted, in order and without a lock. A hook that asks for the state gets back here: what it
// causes is then delivered by the call further out.
func (b *Circuit) tell() {
	if b.onChange == nil {
		return
	}
	b.mu.Lock()
	if b.telling {
		b.mu.Unlock()
		return
	}
	b.telling = true
	defer func() { // also if the hook panics
		b.telling = false
		b.mu.Unlock()
	}()
	for len(b.changes) > 0 {
		c := b.changes[0]
		b.changes = b.changes[1:]
		b.deliver(c)
	}
}

// deliver calls the hook with the lock released.
func (b *Circuit) deliver(c change) {
	b.mu.Unlock()
	defer b.mu.Lock()
	b.onChange(b.name, c.from, c.to)
}

// cancelled runs under gobreaker's lock, so it asks no error for its opinion.
func cancelled(err error) bool {
	return err == context.Canceled //nolint:errorlint // see above
}
