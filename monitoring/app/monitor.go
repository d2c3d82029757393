package app

import (
	"context"
	"log/slog"
	"time"

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
	Replica string         // names this replica in records; required
	Rules   []*domain.Rule // required, at least one; not changed afterwards
	Targets []Target       // what to watch; none is fine
	Sinks   []Sink         // where alerts go; none is fine
	Missed  MissedPolicy   // SkipMissed
	Backlog int            // with CatchUp, slots of one grid kept for later; 0 = 120
	// Committed is called after each commit that wrote messages, to wake the relay; nil = nobody is told.
	Committed func()
	TargetLog TargetLog    // keeps what fetches came to; nil = nobody does
	Logger    *slog.Logger // nil = discard
}

// Monitor evaluates rules on the grid. It is safe for concurrent use.
type Monitor struct{}

// New makes a monitor. It starts nothing; see [Monitor.Run].
func New(uow UnitOfWork, c Config) (*Monitor, error) { panic("not yet") }

// Run walks the grid of every rule until ctx ends, and returns nil then.
func (m *Monitor) Run(ctx context.Context) error { panic("not yet") }

// Fetch reads all targets once for a slot.
func (m *Monitor) Fetch(ctx context.Context, slot time.Time) Snapshot { panic("not yet") }

// EvaluateSlot evaluates one rule in one slot, exactly once among all replicas. The
// report says whether the outcome is this call's or was committed before.
func (m *Monitor) EvaluateSlot(ctx context.Context, r *domain.Rule, snap Snapshot) (out Outcome, replayed bool, err error) {
	panic("not yet")
}

// Snapshot is what the targets said in one slot.
type Snapshot struct {
	Slot     time.Time
	Samples  []domain.Sample
	Unknown  []domain.Labels // of the targets that could not be read
	Statuses []TargetStatus
}

// Stats counts what this replica did since it started.
type Stats struct {
	Slots       int64     // slots walked, over all grids
	Evaluated   int64     // evaluations committed by this replica
	Suppressed  int64     // evaluations that another commit had made before: duplicates suppressed
	Skipped     int64     // slots given up because a later one was evaluated before
	Missed      int64     // slots recorded as skipped by this replica
	Transitions int64     // committed by this replica
	Messages    int64     // written to the outbox by this replica
	Failures    int64     // units of work that failed and are repeated or given up
	LastSlot    time.Time // latest slot walked; zero before the first
}

// Stats returns the counts so far.
func (m *Monitor) Stats() Stats { panic("not yet") }
