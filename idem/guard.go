package idem

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// Guard runs functions once per key. It is safe for concurrent use. Make it with [New] and
// share it: calls of one Guard wake each other. It starts nothing; a goroutine lives only
// while a run that has outlived a third of its lease renews it.
type Guard struct {
	store  Store
	config Config
	id     any // equal for guards over the same store
	cache  *cache
	pool   deflater
	beats  heartbeat
	rooms  rooms
}

// New makes a Guard over s. The error names the field of c that cannot be used.
func New(s Store, c Config) (*Guard, error) {
	if s == nil {
		return nil, errors.New("idem: New needs a store; &idem.Memory{} is one")
	}
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := checkMode(c.Mode, s); err != nil {
		return nil, fmt.Errorf("idem: Config.Mode: %w", err)
	}
	g := &Guard{store: s, config: c, cache: newCache(c.Cache)}
	g.id = g
	if reflect.ValueOf(s).Comparable() {
		g.id = s
	}
	return g, nil
}

// Check asks the store whether its settings void the package's promises. A store that
// cannot tell passes; see [Checker].
func (g *Guard) Check(ctx context.Context) error {
	if c, ok := g.store.(Checker); ok {
		return c.Check(ctx)
	}
	return nil
}
