package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/outbox"
)

// Config says what a Server shows. Reader and Replica are required; what else is missing is
// not shown.
type Config struct {
	Reader  app.Reader
	Replica string // the name of the replica that serves
	Version string // of the program

	// Rules are those that are configured, for their expressions and for the ones that
	// were never evaluated. They are not changed afterwards.
	Rules []*domain.Rule
	// Sinks are those that are configured, for what each of them promises.
	Sinks []Sink
	// Stats counts what this replica did; see [app.Monitor.Stats].
	Stats func() app.Stats
	// Deliveries counts what this replica delivered.
	Deliveries func() []app.DeliveryCount
	// Outbox describes the outbox; see [outbox.Inspector].
	Outbox func(context.Context) (outbox.Stats, error)
	// Figures are shown beside those of the page.
	Figures func() []Figure
	// Checks say whether this replica is ready. None = it always is.
	Checks []Check

	// Refresh is how often an open page brings itself up to date. 0 = 2s, negative = never.
	Refresh time.Duration
	// Logger gets what failed; nil = discard.
	Logger *slog.Logger
}

const defaultRefresh = 2 * time.Second

// Sink is a destination of alerts, as the page shows it.
type Sink struct {
	Name    string // as in [app.Sink]
	Kind    string // such as webhook
	Address string // without secrets; "" = not shown
	Promise Promise
}

// Promise is what a sink's receiver makes of a message that arrives more than once, as it
// may when an answer gets lost.
type Promise uint8

// What may be promised.
const (
	// ByReceiver: the effect is exactly once if the receiver honours the message's id, and at
	// least once otherwise; which of the two is not known here.
	ByReceiver Promise = iota
	// ExactlyOnce: the receiver honours the id.
	ExactlyOnce
	// AtLeastOnce: the receiver cannot tell a repeat.
	AtLeastOnce
	// State: the receiver is told what holds, so a repeat changes nothing.
	State
)

// String returns the promise in a few words.
func (p Promise) String() string {
	switch p {
	case ByReceiver:
		return "exactly once by id, else at least once"
	case ExactlyOnce:
		return "exactly-once effect"
	case AtLeastOnce:
		return "at least once"
	case State:
		return "state: repeats change nothing"
	default:
		return fmt.Sprintf("promise(%d)", uint8(p))
	}
}

// explain returns the promise in a sentence.
func (p Promise) explain() string {
	switch p {
	case ExactlyOnce:
		return "Every attempt carries the same id, and the receiver honours it: however many attempts it takes, the effect happens once."
	case AtLeastOnce:
		return "The receiver cannot tell a repeat: an attempt whose answer was lost may have had its effect, and the next one has it again."
	case State:
		return "The receiver is told what holds, not what happened: being told twice changes nothing."
	case ByReceiver:
	}
	return "Every attempt carries the same id (Idempotency-Key, webhook-id). If the receiver honours it, the effect happens once; otherwise at least once."
}

// Figure is one number in the page's header.
type Figure struct {
	Label string // a word or two
	Value string
	Note  string // what it counts, in small print
	Tone  Tone
}

// Tone says what a figure's value means.
type Tone string

// The tones of a figure.
const (
	Plain Tone = "plain"
	Good  Tone = "good"
	Warn  Tone = "warn"
	Bad   Tone = "bad"
)

// Check tells whether one part of the replica works.
type Check struct {
	Part string // such as database
	// Ready returns nil, or why the part does not work. It is called concurrently, and has 2 s.
	Ready func(context.Context) error
}

// ErrConfig is matched by every error that [New] returns.
var ErrConfig = errors.New("web configuration")

func (c *Config) validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	switch {
	case c.Reader == nil:
		return bad("Reader is nil; there is nothing to show")
	case c.Replica == "":
		return bad("Replica is empty; say which replica serves")
	case c.Refresh > 0 && c.Refresh < 100*time.Millisecond:
		return bad("Refresh is %v: it must be at least 100ms, or 0 for %v, or negative for never", c.Refresh, defaultRefresh)
	}
	for i, r := range c.Rules {
		if r == nil {
			return bad("Rules[%d] is nil", i)
		}
	}
	names := make(map[string]bool)
	for i, s := range c.Sinks {
		if s.Name == "" || names[s.Name] {
			return bad("Sinks[%d]: Name %q is empty or used twice", i, s.Name)
		}
		if s.Promise > State {
			return bad("Sinks[%d] %q: unknown Promise %d", i, s.Name, s.Promise)
		}
		names[s.Name] = true
	}
	parts := make(map[string]bool)
	for i, check := range c.Checks {
		switch {
		case check.Part == "" || parts[check.Part]:
			return bad("Checks[%d]: Part %q is empty or used twice", i, check.Part)
		case check.Ready == nil:
			return bad("Checks[%d] %q: Ready is nil", i, check.Part)
		}
		parts[check.Part] = true
	}
	return nil
}

func (c *Config) setDefaults() {
	c.Rules, c.Sinks, c.Checks = slices.Clone(c.Rules), slices.Clone(c.Sinks), slices.Clone(c.Checks)
	if c.Refresh == 0 {
		c.Refresh = defaultRefresh
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// sink returns the sink of the name; one that is not configured any more is known by its
// name only.
func (c *Config) sink(name string) Sink {
	for _, s := range c.Sinks {
		if s.Name == name {
			return s
		}
	}
	return Sink{Name: name, Kind: "not configured"}
}
