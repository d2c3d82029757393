package delivery

import (
	"context"
	"errors"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/outbox"
)

// record is an attempt in the log.
type record struct {
	id   int64
	d    outbox.Delivery
	last chan struct{} // closed when the last write that was begun has ended
}

// begin records that an attempt starts. nil says that it could not be recorded.
func (p *Publisher) begin(ctx context.Context, d outbox.Delivery, at time.Time) *record {
	if p.log == nil {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// Buffered: a log that does not heed its context is left behind.
	begun := make(chan *record, 1)
	go func() {
		id, err := p.log.Begin(short, app.Attempt{
			MessageID: d.ID, Sink: d.Topic, Number: d.Attempt, Replica: p.replica, At: at.UTC(),
		})
		if err != nil {
			p.complain(ctx, "the beginning of an attempt is not recorded", d, err)
			begun <- nil
			return
		}
		begun <- &record{id: id, d: d}
	}()
	select {
	case r := <-begun:
		return r
	case <-short.Done():
		return nil
	}
}

// end records how the attempt ended, after what was recorded of it before. It waits for the
// write only as long as ctx lasts: the relay would take a publisher that comes back late for
// stuck, and how the attempt ended is worth recording also when its time was up.
func (p *Publisher) end(ctx context.Context, r *record, e app.AttemptEnd) {
	if r == nil {
		return
	}
	before, done := r.last, make(chan struct{})
	r.last = done
	go func() {
		defer close(done)
		if before != nil {
			<-before
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if err := p.log.End(ctx, r.id, e); err != nil {
			p.complain(ctx, "the end of an attempt is not recorded", r.d, err)
		}
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// complain tells the operator that the timeline has a gap.
func (p *Publisher) complain(ctx context.Context, what string, d outbox.Delivery, err error) {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return // the replica is stopping
	}
	p.logger.WarnContext(ctx, what, "message", d.ID.String(), "sink", d.Topic, "attempt", d.Attempt, "err", err)
}
