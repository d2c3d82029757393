package domain

import "time"

// Grid is the set of instants at which a rule is evaluated: every whole multiple
// of Interval since the Unix epoch, moved by Offset. The instants depend on
// nothing but these two values, so all replicas derive the same ones. An instant
// of the grid is called a slot; it is the evaluation timestamp, never "now".
type Grid struct {
	Interval time.Duration // above zero
	Offset   time.Duration // 0 <= Offset < Interval
}

// At returns the latest slot that is not after t, in UTC.
func (g Grid) At(t time.Time) time.Time {
	interval := max(g.Interval, time.Nanosecond)
	since := t.UnixNano() - int64(g.Offset)
	rest := since % int64(interval)
	if rest < 0 {
		rest += int64(interval)
	}
	return time.Unix(0, since-rest+int64(g.Offset)).UTC()
}

// Next returns the earliest slot after t, in UTC.
func (g Grid) Next(t time.Time) time.Time { return g.At(t).Add(max(g.Interval, time.Nanosecond)) }

// Contains says whether t is a slot of the grid.
func (g Grid) Contains(t time.Time) bool { return g.At(t).Equal(t) }

// Missed returns the first and last slot that lie strictly between two slots, and
// how many there are; n is 0 if there are none.
func (g Grid) Missed(after, before time.Time) (first, last time.Time, n int) {
	first = g.Next(after)
	last = g.At(before.Add(-1))
	if first.After(last) {
		return time.Time{}, time.Time{}, 0
	}
	return first, last, int(last.Sub(first)/max(g.Interval, time.Nanosecond)) + 1
}
