package outbox

import (
	"context"
	"log/slog"
	"time"

	"example.com/once/retry"
)

// RelayConfig is a Relay's configuration; the zero value works.
type RelayConfig struct {
	Owner    string        // names this relay among others; "" = host, pid and random
	LeaseTTL time.Duration // 0 = 15s
	Batch    int           // messages fetched a shard; 0 = 100
	PollMin  time.Duration // 0 = 20ms
	PollMax  time.Duration // 0 = 1s
	Policy   *retry.Policy // schedule of a failing message; nil = 12 attempts over about a day
	Drain    time.Duration // longest wait for publishes in flight at the end; 0 = 10s
	Hooks    Hooks
	Logger   *slog.Logger // nil = discard
}

// Hooks are called synchronously; nil ones are skipped.
type Hooks struct {
	Published    func(context.Context, Delivery)                       // durable at the destination
	Failed       func(context.Context, Delivery, error, time.Duration) // tried again after the wait
	DeadLettered func(context.Context, Delivery, error)                // given up
}

// Relay publishes what committed units of work left in a Store.
type Relay struct{}

// NewRelay makes a relay. It starts nothing; see [Relay.Run].
func NewRelay(s Store, p Publisher, c RelayConfig) (*Relay, error) { panic("skeleton") }

// Run relays until ctx ends, then drains: it finishes or abandons what is in flight,
// acknowledges on a detached context and releases its leases.
func (r *Relay) Run(ctx context.Context) error { panic("skeleton") }

// Wake says that there is something new; call it after a commit. It never blocks.
func (r *Relay) Wake() { panic("skeleton") }
