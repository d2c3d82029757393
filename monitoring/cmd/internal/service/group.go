package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// group runs the parts of a service side by side. The first part that ends with an error,
// or ends though nobody told it to, ends the others.
type group struct {
	ctx    context.Context //nolint:containedctx // the group is the life of the service, made and waited for in one function
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

func newGroup(ctx context.Context) *group {
	g := &group{}
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	return g
}

var errEnded = errors.New("ended by itself")

// run starts a part.
func (g *group) run(name string, part func(context.Context) error) {
	g.wg.Go(func() {
		err := part(g.ctx)
		if err == nil && g.ctx.Err() == nil {
			err = errEnded
		}
		if err != nil {
			g.mu.Lock()
			g.errs = append(g.errs, fmt.Errorf("%s: %w", name, err))
			g.mu.Unlock()
			g.cancel(err)
		}
	})
}

// wait waits until every part has ended.
func (g *group) wait() error {
	g.wg.Wait()
	g.cancel(nil)
	return errors.Join(g.errs...)
}
