package retry

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Backoff makes a [Schedule] for one failing call. It is a factory because
// schedules carry state and are not safe to share; it is called after the first
// failure only. Anything with a NextBackOff method plugs in, as does every BackOff of
// cenkalti/backoff:
//
//	func() retry.Schedule { return backoff.NewExponentialBackOff() }
type Backoff func() Schedule

// Schedule yields the waits of one failing call, one by one; a negative wait (as
// backoff.Stop) ends the call with [ErrBackoff]. A Schedule with a Reset method has it
// called once, before its first use. A Schedule is used by one goroutine.
type Schedule interface{ NextBackOff() time.Duration }

// Exponential waits a random time between 0 and an interval that starts at base and
// doubles up to limit (full jitter). A base of 0 or less means 50ms, a limit of 0 or less
// 20s; a limit below base means base.
func Exponential(base, limit time.Duration) Backoff {
	base, limit = span(base, limit)
	return func() Schedule { return newExponential(base, limit) }
}

// newExponential centres the interval at its half and spreads it by all of it: the full
// jitter, from 0 to the whole, that cenkalti/backoff has no name for.
func newExponential(base, limit time.Duration) Schedule {
	return doubling(half(base), half(limit), 1)
}

// Equal waits half of what [Exponential]'s interval is, plus a random time up to the other
// half: a floor where it matters, at the price of less spread. The arguments mean the same.
func Equal(base, limit time.Duration) Backoff {
	base, limit = span(base, limit)
	const centre, spread = 0.75, 1.0 / 3 // half to whole
	return func() Schedule {
		return doubling(time.Duration(centre*float64(base)), time.Duration(centre*float64(limit)), spread)
	}
}

func doubling(initial, limit time.Duration, spread float64) Schedule {
	b := &backoff.ExponentialBackOff{
		InitialInterval:     initial,
		RandomizationFactor: spread,
		Multiplier:          2,
		MaxInterval:         limit,
		MaxElapsedTime:      0, // Policy.MaxElapsed bounds the call; a schedule must not have a clock of its own
		Stop:                backoff.Stop,
		Clock:               backoff.SystemClock,
	}
	b.Reset()
	return b
}

// Decorrelated waits a random time between base and three times the previous wait, at
// most limit. The arguments mean what they mean to [Exponential].
func Decorrelated(base, limit time.Duration) Backoff {
	base, limit = span(base, limit)
	return func() Schedule { return &decorrelated{base: base, limit: limit, last: base} }
}

type decorrelated struct{ base, limit, last time.Duration }

func (d *decorrelated) NextBackOff() time.Duration {
	top := d.limit
	if d.last <= d.limit/3 {
		top = 3 * d.last
	}
	d.last = d.base + rand.N(top-d.base+1)
	return d.last
}

// Constant always waits d; 0 or less means no wait.
func Constant(d time.Duration) Backoff {
	d = max(d, 0)
	return func() Schedule { return backoff.NewConstantBackOff(d) }
}

func span(base, limit time.Duration) (time.Duration, time.Duration) {
	if base <= 0 {
		base = defaultBase
	}
	if limit <= 0 {
		limit = defaultMax
	}
	return base, max(base, limit)
}

// half rounds up, so that the shortest interval still grows.
func half(d time.Duration) time.Duration { return d/2 + d%2 }
