package measure

import "time"

const (
	leastSlice = 2 * time.Millisecond
	mostSlice  = time.Second
)

// warmUpTurn is how long warming up is, in turns.
const warmUpTurn = 0.5

// reserve is the share of the time that is kept for what the pacer cannot foresee.
const reserve = 0.1

// pacer spreads the time over the operations' turns.
type pacer struct {
	deadline time.Time
	left     float64 // turns to come
	// How much was measured and how long it took: opening, filling, checking and waiting
	// for the last caller take their time too. It starts with a guess.
	measured, took time.Duration
}

func newPacer(c Config, ops int) *pacer {
	return &pacer{
		deadline: time.Now().Add(c.Time - time.Duration(reserve*float64(c.Time))),
		left:     float64(ops) * (float64(c.Rounds) + warmUpTurn),
		measured: time.Second,
		took:     1300 * time.Millisecond,
	}
}

// slice is how long a turn may be.
func (p *pacer) slice(now time.Time) time.Duration {
	net := float64(p.deadline.Sub(now)) * float64(p.measured) / float64(p.took)
	return min(max(time.Duration(net/p.left), leastSlice), mostSlice)
}

// spent notes what some turns with a slice took.
func (p *pacer) spent(turns float64, slice, took time.Duration) {
	p.left -= turns
	p.measured += time.Duration(turns * float64(slice))
	p.took += took
}
