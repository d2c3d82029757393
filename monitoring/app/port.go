package app

import (
	"context"
	"time"

	"example.com/once/idem"
	"example.com/once/monitoring/domain"
)

// UnitOfWork is the monitor's port for the one transaction that counts.
type UnitOfWork interface {
	// Once runs fn in a transaction of its own in which key is claimed, and commits the
	// claim, what fn wrote through its Tx and the outcome that fn returns together. If
	// key has an outcome already, fn is not run, nothing is written, and that outcome is returned with
	// replayed set. An error says that nothing was committed, or that it is not known
	// whether it was; in both cases calling again with the same key is right.
	Once(ctx context.Context, key idem.Key, fn func(context.Context, Tx) (Outcome, error)) (out Outcome, replayed bool, err error)
}

// Tx is what a unit of work may do. It is valid inside fn only and not safe for
// concurrent use. Every method is part of the transaction.
type Tx interface {
	// State returns the rule's state, the zero State if it has none.
	State(ctx context.Context, ruleID string) (domain.State, error)
	// SetState puts s in the place of the rule's state.
	SetState(ctx context.Context, ruleID string, s domain.State) error
	// History returns the inputs that the rule's evaluations used in slots from since on and before
	// the given one, oldest first.
	History(ctx context.Context, ruleID string, since, before time.Time) ([]domain.Sample, error)
	// Record keeps the evaluation and the transitions it made. There is at most one
	// record for each rule and slot, and one for each transition's rule, slot and fingerprint: a second one is an error.
	Record(ctx context.Context, e Evaluation) error
	// Enqueue writes messages into the outbox. They are published after the commit, and only then.
	Enqueue(ctx context.Context, messages ...Message) error
}

// Evaluation is the record of one rule evaluated, or passed over, in one slot.
type Evaluation struct {
	RuleID      string
	Revision    string // of the rule that was evaluated
	Slot        time.Time
	Replica     string       // who committed it
	Input       domain.Input // what it used: the samples that the rule reads, and the targets unknown
	Transitions []domain.Transition
	Alerts      int       // in the state after it
	Failure     string    // why the rule could not be evaluated; "" if it could
	Missed      MissedRun // slots just before this one that nobody evaluated
	At          time.Time // when it was evaluated, by the replica's clock; for information only
}

// MissedRun is a run of slots that were recorded as skipped; Count is 0 if there are none.
type MissedRun struct {
	First, Last time.Time
	Count       int
}

// Outcome is what an evaluation came to. It is kept with the key and handed to every
// replica that claims it afterwards.
type Outcome struct {
	RuleID      string       `json:"rule_id"`
	Slot        time.Time    `json:"evaluation_timestamp"`
	Replica     string       `json:"replica"`
	Transitions []Transition `json:"transitions,omitempty"`
	Messages    int          `json:"messages,omitempty"` // written to the outbox
	Skipped     bool         `json:"skipped,omitempty"`  // a later slot had been evaluated before: nothing was done
	Failure     string       `json:"failure,omitempty"`  // why the rule could not be evaluated
	Missed      int          `json:"missed,omitempty"`   // slots recorded as skipped just before this one
}

// Transition is a transition in an outcome, by identity.
type Transition struct {
	Fingerprint domain.Fingerprint `json:"fingerprint"`
	From        domain.Phase       `json:"from"`
	To          domain.Phase       `json:"to"`
}

// Message is what a unit of work wants sent after its commit.
type Message struct {
	ID      [16]byte // a UUIDv8 made from the slot and the transition: the same in every replica; see MessageID
	Sink    string   // name of the sink it is for
	Lane    uint8    // the sink's lane in the outbox
	Key     string   // ordering key: the alert's identity
	Payload []byte   // a Notification in JSON
	Alert   AlertRef // what it is about, for the timeline
	Slot    time.Time
	To      domain.Phase
}

// AlertRef names one alert.
type AlertRef struct {
	RuleID      string             `json:"rule_id"`
	Fingerprint domain.Fingerprint `json:"fingerprint"`
}

// OrderingKey returns the key under which messages about the alert keep their order.
func (r AlertRef) OrderingKey() string { return r.RuleID + " " + r.Fingerprint.String() }

// Fetcher reads one target. It is safe for concurrent use.
type Fetcher interface {
	// Fetch reads the target once. An error says that nothing is known of it; a
	// target that answered with bad news is an Observation with a Problem.
	Fetch(ctx context.Context) (Observation, error)
}

// Observation is what was read from a target.
type Observation struct {
	Samples []domain.Sample
	Problem string // why the target counts as down though something is known of it; "" = it is up
}

// Target is one thing that is watched.
type Target struct {
	Name    string        // unique among the targets; shown on the page
	Kind    string        // "scrape" or "probe", shown on the page
	URL     string        // shown on the page, without secrets
	Labels  domain.Labels // put on every sample; must tell the target from all others
	Timeout time.Duration // of one fetch, retries included; 0 = 10s
	Fetcher Fetcher
}

// TargetStatus is what the last fetch of a target by one replica came to.
type TargetStatus struct {
	Target  string        `json:"target"`
	Kind    string        `json:"kind"`
	URL     string        `json:"url"`
	Labels  domain.Labels `json:"labels"`
	Replica string        `json:"replica"`
	Slot    time.Time     `json:"slot"`
	Up      bool          `json:"up"`
	Problem string        `json:"problem,omitempty"`
	Seconds float64       `json:"seconds"` // how long the fetch took
	Samples int           `json:"samples"`
}

// TargetLog keeps what fetches came to, for the page.
type TargetLog interface {
	RecordTargets(ctx context.Context, statuses []TargetStatus) error
}

// AttemptLog keeps every attempt at delivering a message, for the timeline.
type AttemptLog interface {
	// Begin records that an attempt is about to start and returns a handle for End. An
	// attempt that never ends was cut off: its replica was killed, or lost the database.
	Begin(ctx context.Context, a Attempt) (id int64, err error)
	// End records how the attempt ended. It may be called again with more, such as the
	// wait before the next attempt: the latest call stands.
	End(ctx context.Context, id int64, e AttemptEnd) error
}

// Attempt is one try at delivering one message to its sink.
type Attempt struct {
	MessageID [16]byte
	Sink      string
	Number    int // 1-based; an outage of the sink spends none, so a number may come twice
	Replica   string
	At        time.Time
}

// AttemptResult says how an attempt ended.
type AttemptResult string

// The results of an attempt.
const (
	AttemptRunning      AttemptResult = "running"       // not ended, or cut off
	AttemptDelivered    AttemptResult = "delivered"     // the sink has it
	AttemptFailed       AttemptResult = "failed"        // to be tried again
	AttemptDeadLettered AttemptResult = "dead-lettered" // given up
)

// AttemptEnd is how an attempt ended.
type AttemptEnd struct {
	Result  AttemptResult
	Error   string        // "" if delivered
	Wait    time.Duration // before the next attempt, if failed
	Seconds float64       // how long it took
}
