package retry

import (
	"math"
	"sync/atomic"
	"time"
)

// Budget is a token bucket that keeps repeats a share of successes: an outage then costs the peer little more
// than the calls themselves. A repeat takes a token; a success earns a part of one, and so does time, so that
// a caller who is quiet or has just started can still repeat. Share one Budget among all calls to one
// destination, of whatever policy.
//
// The zero value works and starts full. A Budget is lock-free, and while it is full a success costs one atomic load.
// Its fields must not be written, nor the Budget copied, after first use.
type Budget struct {
	// Ratio is how many tokens a success earns; 0 means 0.1, negative none.
	Ratio float64
	// PerSecond is how many tokens a second earns; 0 means 10, negative none.
	PerSecond float64
	// Burst is how many tokens the bucket holds; 0 means 100, negative none: nothing is repeated.
	Burst int

	// fill is when the bucket will be full again, in tokens that time has earned since base
	// (float64 bits). Zero means full. One word holds level and clock, so no
	// reader ever sees one without the other.
	fill atomic.Uint64
	base atomic.Pointer[time.Time]
}

// Tokens returns how many tokens the bucket holds.
func (b *Budget) Tokens() float64 {
	fill := math.Float64frombits(b.fill.Load())
	if fill == 0 {
		return b.burst()
	}
	return b.burst() - max(0, fill-b.now())
}

// take takes one token, if there is one.
func (b *Budget) take() bool {
	burst, now := b.burst(), b.now()
	for {
		old := b.fill.Load()
		fill := max(math.Float64frombits(old), now) + 1
		if fill-now > burst {
			return false
		}
		if b.fill.CompareAndSwap(old, math.Float64bits(fill)) {
			return true
		}
	}
}

// earn puts in what one success is worth. It is small enough to be compiled into its
// callers: a full budget costs them one load.
func (b *Budget) earn() {
	if b != nil && b.fill.Load() != 0 {
		b.earned()
	}
}

//go:noinline
func (b *Budget) earned() { b.put(pick(b.Ratio, 0.1)) }

// refund puts a token back that was not used.
func (b *Budget) refund() { b.put(1) }

func (b *Budget) put(tokens float64) {
	now := b.now()
	for {
		old := b.fill.Load()
		fill := math.Float64frombits(old) - tokens
		if fill <= now {
			fill = 0
		}
		if old == 0 || b.fill.CompareAndSwap(old, math.Float64bits(fill)) {
			return
		}
	}
}

// now is the time in tokens that it has earned, from 1 on. A budget whose time earns nothing has a clock that stands.
func (b *Budget) now() float64 {
	rate := pick(b.PerSecond, 10)
	if rate == 0 {
		return 1
	}
	base := b.base.Load()
	if base == nil {
		now := time.Now()
		if b.base.CompareAndSwap(nil, &now) {
			return 1
		}
		base = b.base.Load()
	}
	return 1 + time.Since(*base).Seconds()*rate
}

func (b *Budget) burst() float64 { return pick(float64(b.Burst), 100) }

// pick returns v, its default if v is zero, or zero if v is negative.
func pick(v, byDefault float64) float64 {
	if v == 0 {
		return byDefault
	}
	return max(v, 0)
}
