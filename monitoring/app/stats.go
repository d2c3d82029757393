package app

import (
	"math"
	"sync/atomic"
	"time"
)

// Stats counts what this replica did since it started.
type Stats struct {
	Slots       int64     // slots walked, over all grids
	Evaluated   int64     // evaluations committed by this replica
	Suppressed  int64     // evaluations that had been committed before: duplicates suppressed
	Skipped     int64     // slots given up because a later one was evaluated before
	Missed      int64     // slots recorded as skipped by this replica
	Transitions int64     // committed by this replica
	Messages    int64     // written to the outbox by this replica
	Failures    int64     // units of work that failed; they are repeated or given up
	LastSlot    time.Time // latest slot walked; zero before the first
}

type counters struct {
	slots, evaluated, suppressed, skipped, missed, transitions, messages, failures atomic.Int64

	lastSlot atomic.Int64 // in Unix nanoseconds; MinInt64 = none
}

func (c *counters) outcome(out Outcome, replayed bool) {
	switch {
	case replayed:
		c.suppressed.Add(1)
	case out.Skipped:
		c.skipped.Add(1)
	default:
		c.evaluated.Add(1)
		c.missed.Add(int64(out.Missed))
		c.transitions.Add(int64(len(out.Transitions)))
		c.messages.Add(int64(out.Messages))
	}
}

// Stats returns the counts so far.
func (m *Monitor) Stats() Stats {
	s := Stats{
		Slots: m.count.slots.Load(), Evaluated: m.count.evaluated.Load(), Suppressed: m.count.suppressed.Load(),
		Skipped: m.count.skipped.Load(), Missed: m.count.missed.Load(), Transitions: m.count.transitions.Load(),
		Messages: m.count.messages.Load(), Failures: m.count.failures.Load(),
	}
	if at := m.count.lastSlot.Load(); at != math.MinInt64 {
		s.LastSlot = time.Unix(0, at).UTC()
	}
	return s
}

// DeliveryCount counts what one replica did for one sink since it started.
type DeliveryCount struct {
	Sink      string
	Delivered int64   // attempts after which the sink has the message
	Failed    int64   // attempts that failed
	Dead      int64   // messages given up
	Seconds   float64 // all attempts together
}
