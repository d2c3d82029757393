package chaos

import (
	"sync"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// effect is what a person would have felt: one call in the night, or one all-clear.
type effect struct {
	release    string
	transition domain.Phase
}

// ledger is where the receiver writes down what it did. It is not idempotent, on
// purpose: whatever reaches it counts.
type ledger struct {
	mu      sync.Mutex
	effects map[effect]int
	order   []effect
}

func newLedger() *ledger { return &ledger{effects: make(map[effect]int)} }

func (l *ledger) apply(n app.Notification) {
	e := effect{n.Labels.Get("release"), n.Transition}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.effects[e]++
	l.order = append(l.order, e)
}

// snapshot returns what was written so far, in order.
func (l *ledger) snapshot() []effect {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]effect(nil), l.order...)
}
