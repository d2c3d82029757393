package app

import (
	"context"
	"errors"
	"time"

	"example.com/once/monitoring/domain"
)

// ErrNotFound says that there is nothing under the name asked for.
var ErrNotFound = errors.New("not found")

// Reader is what the page and the tools read. Reads see committed state only and
// never wait for a writer.
type Reader interface {
	// Targets returns the latest status of every target, by name; of several replicas the latest fetch counts.
	Targets(ctx context.Context) ([]TargetView, error)
	// Rules returns what was last committed for every rule that was ever evaluated, by ID.
	Rules(ctx context.Context) ([]RuleView, error)
	// Alerts returns alerts that are in some rule's state: firing first, then pending,
	// then resolved, latest first.
	Alerts(ctx context.Context) ([]AlertView, error)
	// Alert returns one alert with its timeline, oldest first, or [ErrNotFound]. The
	// alert may have left the rule's state; then its last transition is shown.
	Alert(ctx context.Context, ref AlertRef) (AlertDetail, error)
	// Events returns the latest transitions, newest first.
	Events(ctx context.Context, limit int) ([]EventView, error)
	// Deliveries returns the latest messages with their attempts, newest first.
	Deliveries(ctx context.Context, limit int) ([]DeliveryView, error)
	// Totals counts what is in the database.
	Totals(ctx context.Context) (Totals, error)
	// Firing returns the alerts that fire, and those that were resolved since the given
	// time, for sinks that want state and not events.
	Firing(ctx context.Context, resolvedSince time.Time) ([]AlertView, error)
}

// TargetView is a target on the page.
type TargetView struct {
	TargetStatus
	Recent []TargetBeat `json:"recent"` // at most 60, oldest first
}

// TargetBeat is one fetch of a target.
type TargetBeat struct {
	Slot    time.Time `json:"slot"`
	Up      bool      `json:"up"`
	Seconds float64   `json:"seconds"`
}

// RuleView is a rule as it was last evaluated.
type RuleView struct {
	ID       string    `json:"rule_id"`
	Revision string    `json:"revision"`
	Slot     time.Time `json:"evaluation_timestamp"`
	Replica  string    `json:"replica"`
	Alerts   int       `json:"alerts"`
	Failure  string    `json:"failure,omitempty"`
}

// AlertView is an alert on the page.
type AlertView struct {
	domain.Alert
	RuleID string `json:"rule_id"`
}

// Ref returns the alert's name.
func (a AlertView) Ref() AlertRef { return AlertRef{a.RuleID, a.Fingerprint} }

// EventView is one transition with its messages.
type EventView struct {
	domain.Transition
	Replica    string         `json:"replica"`  // who committed it
	Revision   string         `json:"revision"` // of the rule
	Key        string         `json:"key"`      // the idempotency key, readable: rule id and slot
	Deliveries []DeliveryView `json:"deliveries,omitempty"`
}

// DeliveryView is one message with its attempts, oldest first.
type DeliveryView struct {
	MessageID string        `json:"message_id"`
	Sink      string        `json:"sink"`
	Ref       AlertRef      `json:"alert"`
	Slot      time.Time     `json:"evaluation_timestamp"`
	To        domain.Phase  `json:"transition"`
	State     DeliveryState `json:"state"`
	Attempts  []AttemptView `json:"attempts,omitempty"`
}

// DeliveryState is where a message stands.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryWaiting   DeliveryState = "waiting"   // not tried yet
	DeliveryRetrying  DeliveryState = "retrying"  // tried, to be tried again
	DeliveryDelivered DeliveryState = "delivered" // the sink has it
	DeliveryDead      DeliveryState = "dead"      // given up; see the dead letters
)

// AttemptView is one attempt on the timeline.
type AttemptView struct {
	Number  int           `json:"attempt"`
	Replica string        `json:"replica"`
	At      time.Time     `json:"at"`
	Result  AttemptResult `json:"result"`
	Error   string        `json:"error,omitempty"`
	Wait    time.Duration `json:"wait,omitempty"`
	Seconds float64       `json:"seconds"`
}

// AlertDetail is one alert with everything that is known of it.
type AlertDetail struct {
	AlertView
	Events []EventView `json:"events"` // oldest first; the latest 200
}

// Totals counts what the database holds. Because every row has a deterministic identity, the
// counts are those of distinct things, however many replicas wrote.
type Totals struct {
	Evaluations int `json:"evaluations"` // slots evaluated, over all rules, while their records are kept
	Missed      int `json:"missed"`      // slots recorded as skipped
	Transitions int `json:"transitions"`
	Messages    int `json:"messages"`   // outbox messages ever written
	Waiting     int `json:"waiting"`    // not delivered yet
	Delivered   int `json:"delivered"`  // delivered
	Dead        int `json:"dead"`       // given up
	Attempts    int `json:"attempts"`   // delivery attempts, the cut-off ones included
	Firing      int `json:"firing"`     // alerts firing now
	Pending     int `json:"pending"`    // alerts pending now
	TargetsUp   int `json:"targets_up"` // targets up at the latest fetch
	TargetsDown int `json:"targets_down"`
}
