package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"time"

	"example.com/once/retry"
)

// Exhausted says what becomes of an ordering key whose message was given up.
type Exhausted uint8

const (
	SkipHead Exhausted = iota // its later messages go on
	BlockKey                  // they wait until an operator redrives or skips the dead letter
)

// RelayConfig is a Relay's configuration; the zero value works.
type RelayConfig struct {
	// Owner names this relay in the store, for operators. A random part is added, since
	// two relays must not share a name. "" = host and process id.
	Owner string
	// Lanes are those this relay serves. nil = all.
	Lanes []uint8
	// LeaseTTL is how long a shard stays with a relay that went silent. It is renewed at
	// a third. 0 = 15s; at least 100ms.
	LeaseTTL time.Duration
	// Batch is how many messages are read of a shard at a time, and handed to the
	// publisher at a time. 0 = 100.
	Batch int
	// Concurrency is how many Publish calls of a lane run at a time, each for shards of
	// its own. 0 = 4.
	Concurrency int
	// Timeout ends one Publish call. It is cut to what is left of the leases, less a
	// tenth. 0 = half of LeaseTTL, which is also the most.
	Timeout time.Duration
	// PollMin and PollMax bound the wait between two reads of a store that had nothing
	// new; it doubles from one to the other. 0 = 20ms and 1s. [Relay.Wake] ends a wait.
	PollMin, PollMax time.Duration
	// Probe is how often a lane whose destination is unavailable is tried with one
	// message. 0 = 5s.
	Probe time.Duration
	// Policy is the schedule of a failing message, as [retry.Policy.Next] reads it. nil,
	// and its zero fields: MaxAttempts 12, Backoff from 5s to 10h so that the twelve take
	// about a day, Classify one to which only [retry.Stop] is permanent, since a wrong
	// certificate or name is mended within the day.
	Policy *retry.Policy
	// Exhausted says what becomes of the key of a message that was given up: SkipHead,
	// the default, or BlockKey.
	Exhausted Exhausted
	// Drain is the longest that Run takes to end: publishes in flight may finish within
	// four fifths of it, the rest is for acknowledging and releasing. 0 = 10s.
	Drain time.Duration
	Hooks Hooks
	// Logger gets what an operator should know and no error reports; nil = discard.
	Logger *slog.Logger
}

// Hooks are called synchronously by the goroutine at work, concurrently for different
// shards; nil ones are skipped. They must be quick and must not panic.
type Hooks struct {
	// Published: durable at the destination. It is called before the message is removed
	// from the store.
	Published func(context.Context, Delivery)
	// Failed: an attempt was spent; tried again after the wait.
	Failed func(context.Context, Delivery, error, time.Duration)
	// Deferred: not published for an outage of the destination; no attempt was spent.
	Deferred func(context.Context, Delivery, error)
	// DeadLettered: given up. A row that could not be decoded is given up with what
	// could be read of it.
	DeadLettered func(context.Context, Delivery, error)
	// Batch: a Publish call ended, or was abandoned.
	Batch func(ctx context.Context, lane uint8, messages int, took time.Duration)
	// LaneDown and LaneUp: the breaker of a lane opened, or closed again.
	LaneDown func(ctx context.Context, lane uint8, err error)
	LaneUp   func(ctx context.Context, lane uint8)
	// Leases: the relay now holds so many shards. Called after each renewal.
	Leases func(ctx context.Context, held int)
	// StoreFailed: a call of the store failed and will be repeated.
	StoreFailed func(ctx context.Context, op string, err error)
}

// withDefaults returns a copy of c that is complete and checked.
func (c RelayConfig) withDefaults() (RelayConfig, error) {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("outbox: RelayConfig."+field+" "+format, args...))
	}
	duration := func(field string, d *time.Duration, def time.Duration) {
		if *d < 0 {
			bad(field, "is negative (%v)", *d)
		}
		if *d == 0 {
			*d = def
		}
	}
	duration("LeaseTTL", &c.LeaseTTL, 15*time.Second)
	if c.LeaseTTL > 0 && c.LeaseTTL < 100*time.Millisecond {
		bad("LeaseTTL", "is %v: it must be at least 100ms, so that it can be renewed in time", c.LeaseTTL)
	}
	duration("Timeout", &c.Timeout, c.LeaseTTL/2)
	if c.Timeout > c.LeaseTTL/2 {
		bad("Timeout", "is %v: it must be at most half of LeaseTTL (%v), so that a call ends before its lease", c.Timeout, c.LeaseTTL)
	}
	duration("PollMax", &c.PollMax, time.Second)
	duration("PollMin", &c.PollMin, min(20*time.Millisecond, c.PollMax))
	if c.PollMin > c.PollMax {
		bad("PollMin", "is %v: it must be at most PollMax (%v)", c.PollMin, c.PollMax)
	}
	duration("Probe", &c.Probe, 5*time.Second)
	duration("Drain", &c.Drain, 10*time.Second)
	count := func(field string, n *int, def, most int) {
		if *n < 0 || *n > most {
			bad(field, "is %d: it must be 1 to %d, or 0 for %d", *n, most, def)
		}
		if *n == 0 {
			*n = def
		}
	}
	count("Batch", &c.Batch, 100, 10_000)
	count("Concurrency", &c.Concurrency, 4, 1024)
	if c.Exhausted > BlockKey {
		bad("Exhausted", "is %d: it must be SkipHead or BlockKey", c.Exhausted)
	}
	if len(c.Owner) > 128 || !printable(c.Owner) {
		bad("Owner", "must be valid UTF-8 without control characters, at most 128 bytes")
	}
	if c.Lanes != nil && len(c.Lanes) == 0 {
		bad("Lanes", "is empty: name the lanes, or use nil for all")
	}
	c.Lanes = slices.Clone(c.Lanes)
	if c.Owner == "" {
		host, err := os.Hostname()
		if err != nil || len(host) > 100 || !printable(host) {
			host = "relay"
		}
		c.Owner = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	c.Owner += "-" + rand.Text()[:10]
	c.Policy = patient(c.Policy)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(errs...)
}

// skip returns the lanes that are not served.
func (c RelayConfig) skip() []uint8 {
	if c.Lanes == nil {
		return nil
	}
	var skip []uint8
	for lane := range 256 {
		if !slices.Contains(c.Lanes, uint8(lane)) {
			skip = append(skip, uint8(lane))
		}
	}
	return skip
}

// patient returns a copy of p whose zero fields suit messages: a destination's bad day is
// not theirs.
func patient(p *retry.Policy) *retry.Policy {
	var c retry.Policy
	if p != nil {
		c = *p
	}
	if c.Name == "" {
		c.Name = "outbox"
	}
	if c.MaxAttempts == 0 {
		c.MaxAttempts = 12
	}
	if c.Backoff == nil {
		c.Backoff = func() retry.Schedule { return new(daySchedule) }
	}
	if c.Classify == nil {
		c.Classify = func(err error) retry.Verdict {
			v := retry.Classify(err)
			if v.Class == retry.Permanent {
				v.Class = retry.Ambiguous // markers overrule
			}
			return v
		}
	}
	return &c
}

// daySchedule yields the eleven waits between twelve attempts, together about a day,
// each a fifth shorter or longer at random.
type daySchedule struct{ n int }

func (s *daySchedule) NextBackOff() time.Duration {
	waits := [...]time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour, 10 * time.Hour,
	}
	d := waits[min(s.n, len(waits)-1)]
	s.n++
	return jitter(d, 0.2)
}

// jitter returns d, shorter or longer by at most the share.
func jitter(d time.Duration, share float64) time.Duration {
	spread := time.Duration(share * float64(d))
	return d - spread + mathrand.N(2*spread+1)
}
