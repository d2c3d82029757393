package domain_test

import (
	"math/rand/v2"
	"testing"
	"time"
	_ "time/tzdata" // the test must not depend on the machine's

	"example.com/once/monitoring/domain"
)

func TestGrid(t *testing.T) {
	utc := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, c := range []struct {
		grid         domain.Grid
		now, at, nxt string
	}{
		{domain.Grid{Interval: 15 * time.Second}, "2026-05-01T12:00:14.999Z", "2026-05-01T12:00:00Z", "2026-05-01T12:00:15Z"},
		{domain.Grid{Interval: 15 * time.Second}, "2026-05-01T12:00:15Z", "2026-05-01T12:00:15Z", "2026-05-01T12:00:30Z"},
		{domain.Grid{Interval: 15 * time.Second, Offset: 4 * time.Second}, "2026-05-01T12:00:03Z", "2026-05-01T11:59:49Z", "2026-05-01T12:00:04Z"},
		{domain.Grid{Interval: 7 * time.Second}, "1970-01-01T00:00:08Z", "1970-01-01T00:00:07Z", "1970-01-01T00:00:14Z"},
		{domain.Grid{Interval: 7 * time.Second}, "1969-12-31T23:59:59Z", "1969-12-31T23:59:53Z", "1970-01-01T00:00:00Z"},
		{domain.Grid{Interval: 7 * time.Second, Offset: time.Second}, "1969-12-31T23:59:59Z", "1969-12-31T23:59:54Z", "1970-01-01T00:00:01Z"},
		{domain.Grid{Interval: 10 * time.Millisecond}, "2026-05-01T00:00:00.0199Z", "2026-05-01T00:00:00.01Z", "2026-05-01T00:00:00.02Z"},
		{domain.Grid{Interval: 24 * time.Hour}, "2026-05-01T23:59:59Z", "2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z"},
	} {
		now := utc(c.now)
		if got := c.grid.At(now); got != utc(c.at) {
			t.Errorf("%+v: At(%s) is %s, want %s", c.grid, c.now, got, c.at)
		}
		if got := c.grid.Next(now); got != utc(c.nxt) {
			t.Errorf("%+v: Next(%s) is %s, want %s", c.grid, c.now, got, c.nxt)
		}
	}
}

// TestGridKnowsNoTimeZone: replicas in different zones derive the same slots, also in the night
// in which the clocks are changed.
func TestGridKnowsNoTimeZone(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	lordHowe, err := time.LoadLocation("Australia/Lord_Howe") // changes by half an hour
	if err != nil {
		t.Fatal(err)
	}
	g := domain.Grid{Interval: time.Hour, Offset: 10 * time.Minute}
	for _, night := range []time.Time{
		time.Date(2026, time.March, 28, 23, 0, 0, 0, time.UTC), time.Date(2026, time.October, 24, 22, 0, 0, 0, time.UTC),
		time.Date(2026, time.April, 4, 13, 0, 0, 0, time.UTC), time.Date(2026, time.October, 3, 13, 0, 0, 0, time.UTC),
	} {
		last := g.At(night)
		for minute := range 6 * 60 {
			now := night.Add(time.Duration(minute) * time.Minute)
			slot := g.At(now)
			for _, zone := range []*time.Location{berlin, lordHowe} {
				if other := g.At(now.In(zone)); other != slot {
					t.Fatalf("%v: %v in UTC and %v in %v", now, slot, other, zone)
				}
			}
			if step := slot.Sub(last); step != 0 && step != time.Hour {
				t.Fatalf("%v: %v after the slot before", now, step)
			}
			last = slot
		}
	}
}

func TestGridProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		g := domain.Grid{Interval: time.Duration(1 + r.Int64N(int64(24*time.Hour)>>r.IntN(40)))}
		g.Offset = time.Duration(r.Int64N(int64(g.Interval)))
		now := time.Unix(0, r.Int64N(1<<62)-1<<60).UTC()
		at, next := g.At(now), g.Next(now)
		switch {
		case at.After(now) || !next.After(now):
			t.Fatalf("%+v: %v is not in [%v, %v)", g, now, at, next)
		case next.Sub(at) != g.Interval:
			t.Fatalf("%+v: %v and %v are not neighbours", g, at, next)
		case !g.Contains(at) || !g.Contains(next) || g.At(at) != at || g.Next(at) != next:
			t.Fatalf("%+v: %v or %v is not a slot", g, at, next)
		case g.Interval > 1 && g.Contains(at.Add(1)):
			t.Fatalf("%+v: %v is a slot", g, at.Add(1))
		}
		// Missed against counting one by one.
		steps := r.IntN(6)
		later := at
		for range steps {
			later = g.Next(later)
		}
		first, last, n := g.Missed(at, later)
		if n != max(steps-1, 0) {
			t.Fatalf("%+v: %d slots between %v and %v, want %d", g, n, at, later, max(steps-1, 0))
		}
		if n > 0 && (!first.Equal(g.Next(at)) || !g.Next(last).Equal(later)) {
			t.Fatalf("%+v: between %v and %v it says %v to %v", g, at, later, first, last)
		}
		if n == 0 && (!first.IsZero() || !last.IsZero()) {
			t.Fatalf("%+v: none is missed, and yet %v, %v", g, first, last)
		}
	}
}

// TestMissedAfterTheGridHasChanged: the slot before may be one of another grid.
func TestMissedAfterTheGridHasChanged(t *testing.T) {
	g := domain.Grid{Interval: 10 * time.Second}
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	first, last, n := g.Missed(at(13), at(50))
	if !first.Equal(at(20)) || !last.Equal(at(40)) || n != 3 {
		t.Errorf("%v to %v, %d; want 20, 30 and 40", first, last, n)
	}
	for _, before := range []time.Time{at(13), at(20), at(3)} {
		if first, last, n := g.Missed(at(13), before); n != 0 {
			t.Errorf("before %v: %v to %v, %d", before, first, last, n)
		}
	}
}
