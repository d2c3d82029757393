package app

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"example.com/once/monitoring/domain"
)

// MissedPolicy says what happens to slots that a replica could not evaluate in time.
type MissedPolicy uint8

const (
	// SkipMissed evaluates the newest slot only. Older ones that nobody evaluated are
	// recorded as skipped, with the next slot that is.
	SkipMissed MissedPolicy = iota
	// CatchUp evaluates every slot that was fetched in time, in order, however long the
	// database was away. Slots that nobody fetched are recorded as skipped: what
	// their targets would have said cannot be found out afterwards.
	CatchUp
)

// Sink is a destination of alerts, as far as this package knows it.
type Sink struct {
	Name string // unique; becomes the message's topic
	Lane uint8  // unique; isolates the sink from the others in the outbox
}

// Config is a Monitor's configuration.
type Config struct {
	Replica   string         // names this replica in records; required
	Rules     []*domain.Rule // required, at least one; not changed afterwards
	Targets   []Target       // what to watch; none is fine
	Sinks     []Sink         // where alerts go; none is fine
	Missed    MissedPolicy   // SkipMissed
	Backlog   int            // with CatchUp, slots of one grid kept for later; 0 = 120
	Committed func()         // called when messages are in the outbox, to wake the relay; must not block; nil = nobody is told
	TargetLog TargetLog      // keeps what fetches came to; nil = nobody does
	Logger    *slog.Logger   // nil = discard
}

const (
	defaultBacklog = 120
	defaultTimeout = 10 * time.Second
	maxSinkName    = 200 // bytes
)

// ErrConfig is matched by every error that [New] returns.
var ErrConfig = errors.New("monitor configuration")

func (c *Config) validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	if c.Replica == "" {
		return bad("Replica is empty; give each replica a name of its own")
	}
	if len(c.Rules) == 0 {
		return bad("Rules is empty; there is nothing to evaluate")
	}
	if c.Missed > CatchUp {
		return bad("Missed: unknown policy %d; want SkipMissed or CatchUp", c.Missed)
	}
	if c.Backlog < 0 {
		return bad("Backlog: %d is negative; want a number of slots, or 0 for %d", c.Backlog, defaultBacklog)
	}
	ids := make(map[string]bool)
	for i, r := range c.Rules {
		if r == nil {
			return bad("Rules[%d] is nil", i)
		}
		if err := r.Validate(); err != nil {
			return fmt.Errorf("%w: Rules[%d]: %w", ErrConfig, i, err)
		}
		if ids[r.ID] {
			return bad("Rules[%d]: the ID %q is used twice", i, r.ID)
		}
		ids[r.ID] = true
	}
	names := make(map[string]bool)
	identities := make(map[domain.Fingerprint]string)
	for i, t := range c.Targets {
		switch other := identities[t.Labels.Fingerprint()]; {
		case t.Name == "" || names[t.Name]:
			return bad("Targets[%d]: Name %q is empty or used twice", i, t.Name)
		case t.Fetcher == nil:
			return bad("Targets[%d] %q: Fetcher is nil", i, t.Name)
		case t.Labels.Len() == 0:
			return bad("Targets[%d] %q: Labels is empty; give at least job and instance", i, t.Name)
		case t.Labels.Get(domain.MetricName) != "":
			return bad("Targets[%d] %q: Labels must not hold %s", i, t.Name, domain.MetricName)
		case other != "":
			return bad("Targets[%d] %q: Labels are those of %q; series of the two could not be told apart", i, t.Name, other)
		case t.Timeout < 0:
			return bad("Targets[%d] %q: Timeout %v is negative; 0 means %v", i, t.Name, t.Timeout, defaultTimeout)
		}
		names[t.Name] = true
		identities[t.Labels.Fingerprint()] = t.Name
	}
	return c.validateSinks(bad)
}

func (c *Config) validateSinks(bad func(string, ...any) error) error {
	names := make(map[string]bool)
	lanes := make(map[uint8]string)
	for i, s := range c.Sinks {
		if s.Name == "" || names[s.Name] {
			return bad("Sinks[%d]: Name %q is empty or used twice", i, s.Name)
		}
		// It becomes the topic of messages, and a unit of work that cannot write one never commits.
		switch {
		case len(s.Name) > maxSinkName:
			return bad("Sinks[%d]: Name is longer than %d bytes", i, maxSinkName)
		case !utf8.ValidString(s.Name) || strings.ContainsFunc(s.Name, unicode.IsControl):
			return bad("Sinks[%d]: Name %q holds a control character or is not valid UTF-8", i, s.Name)
		}
		if other, ok := lanes[s.Lane]; ok {
			return bad("Sinks[%d] %q: lane %d is that of %q; sinks in one lane would hold each other up", i, s.Name, s.Lane, other)
		}
		names[s.Name], lanes[s.Lane] = true, s.Name
	}
	return nil
}

// Monitor evaluates rules on the grid. It is safe for concurrent use.
type Monitor struct {
	uow     UnitOfWork
	c       Config
	log     *slog.Logger
	grids   []grid
	count   counters
	mu      sync.Mutex
	flights map[int64]*flight // fetches by slot, guarded by mu
}

// grid is a set of rules with the same slots.
type grid struct {
	domain.Grid
	rules []*domain.Rule
}

// New makes a monitor. It starts nothing; see [Monitor.Run]. Its errors match
// [ErrConfig] and name the field.
func New(uow UnitOfWork, c Config) (*Monitor, error) {
	if uow == nil {
		return nil, fmt.Errorf("%w: the unit of work is nil", ErrConfig)
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.Rules, c.Targets, c.Sinks = slices.Clone(c.Rules), slices.Clone(c.Targets), slices.Clone(c.Sinks)
	if c.Backlog == 0 {
		c.Backlog = defaultBacklog
	}
	if c.Missed == SkipMissed {
		c.Backlog = 1
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Monitor{uow: uow, c: c, log: c.Logger.With("replica", c.Replica), flights: make(map[int64]*flight)}
	m.count.lastSlot.Store(math.MinInt64)
	for _, r := range c.Rules {
		i := slices.IndexFunc(m.grids, func(g grid) bool { return g.Grid == r.Grid() })
		if i < 0 {
			i, m.grids = len(m.grids), append(m.grids, grid{Grid: r.Grid()})
		}
		m.grids[i].rules = append(m.grids[i].rules, r)
	}
	return m, nil
}
