package idem

import (
	"context"
	"math/rand/v2"
	"time"
)

const sweepBatch = 1000

// Run removes ended records every [Config.SweepEvery], in small batches, until ctx ends; it
// then returns nil. A store that cannot be swept, or needs no sweeping, makes it only wait.
// A sweep that fails is logged and tried again at its next turn. Several processes may
// sweep one store.
func (g *Guard) Run(ctx context.Context) error {
	s, ok := g.store.(Sweeper)
	if !ok || g.config.SweepEvery < 0 {
		<-ctx.Done()
		return nil
	}
	for {
		every := g.config.SweepEvery
		// Not in step with the other processes.
		t := time.NewTimer(every/2 + rand.N(every))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		for ctx.Err() == nil {
			n, err := s.Sweep(ctx, sweepBatch)
			if err != nil && ctx.Err() == nil {
				g.config.Logger.WarnContext(ctx, "idem: sweep failed", "err", err)
			}
			if err != nil || n < sweepBatch {
				break
			}
		}
	}
}
