package delivery

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"example.com/once/monitoring/app"
)

// counts are those of one process, by sink.
type counts struct {
	mu    sync.Mutex
	sinks map[string]*app.DeliveryCount // guarded by mu
}

func (c *counts) attempt(sink string, delivered bool, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.of(sink)
	if delivered {
		s.Delivered++
	} else {
		s.Failed++
	}
	s.Seconds += took.Seconds()
}

func (c *counts) dead(sink string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(sink).Dead++
}

func (c *counts) of(sink string) *app.DeliveryCount {
	if c.sinks == nil {
		c.sinks = make(map[string]*app.DeliveryCount)
	}
	s, ok := c.sinks[sink]
	if !ok {
		s = &app.DeliveryCount{Sink: sink}
		c.sinks[sink] = s
	}
	return s
}

// Counts returns what this publisher did since it was made, by sink.
func (p *Publisher) Counts() []app.DeliveryCount {
	p.counts.mu.Lock()
	defer p.counts.mu.Unlock()
	all := make([]app.DeliveryCount, 0, len(p.counts.sinks))
	for _, s := range p.counts.sinks {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b app.DeliveryCount) int { return cmp.Compare(a.Sink, b.Sink) })
	return all
}
