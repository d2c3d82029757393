package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/outbox"
)

const (
	// concurrency bounds the attempts of one Publish call that run at a time, so that one
	// receiver that hangs does not use up the time of the others' messages.
	concurrency = 8
	// patience bounds one write to the log.
	patience = time.Second
)

// Publisher is an [outbox.Publisher] that records what another one does. It is safe for
// concurrent use. It hands messages to the other one by one, up to 8 at a time, so that each attempt has
// its own beginning and end; it is never [outbox.OrderSafe], whatever the other one is.
type Publisher struct {
	next    outbox.Publisher
	log     app.AttemptLog
	replica string
	logger  *slog.Logger
	counts  counts
}

var _ outbox.Publisher = (*Publisher)(nil)

// New wraps next. The replica is named in the records; logger gets the log's failures, nil
// = discard. A nil log keeps no records, and counts only. The relay that is given the
// result must also be given its [Publisher.Hooks].
func New(next outbox.Publisher, log app.AttemptLog, replica string, logger *slog.Logger) *Publisher {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Publisher{next: next, log: log, replica: replica, logger: logger}
}

// Publish delivers each message of the batch and records the attempt. Once one of them
// finds the destination unavailable, or half of the time until ctx ends is over, no further
// one is begun: an attempt that is begun has time to end by itself.
func (p *Publisher) Publish(ctx context.Context, batch []outbox.Delivery, errs []error) {
	start := time.Now()
	deadline, bounded := ctx.Deadline()
	last := start.Add(deadline.Sub(start) / 2)
	var (
		wg   sync.WaitGroup
		down atomic.Bool
		room = make(chan struct{}, concurrency)
	)
	for i := range batch {
		errs[i] = outbox.ErrNotSent // also the result of an attempt that ends its goroutine
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		late := bounded && i > 0 && time.Now().After(last)
		if late || down.Load() || ctx.Err() != nil {
			<-room
			continue
		}
		wg.Go(func() {
			defer func() { <-room }()
			errs[i] = p.attempt(ctx, batch[i])
			if errors.Is(errs[i], outbox.ErrUnavailable) {
				down.Store(true)
			}
		})
	}
	wg.Wait()
}

// attempt makes one attempt.
func (p *Publisher) attempt(ctx context.Context, d outbox.Delivery) error {
	start := time.Now()
	r := p.begin(ctx, d, start)
	err := p.send(ctx, d)
	took := time.Since(start)
	p.counts.attempt(d.Topic, err == nil, took)
	if err == nil {
		p.end(ctx, r, app.AttemptEnd{Result: app.AttemptDelivered, Seconds: took.Seconds()})
		return nil
	}
	e := app.AttemptEnd{Result: app.AttemptFailed, Error: err.Error(), Seconds: took.Seconds()}
	p.end(ctx, r, e)
	return &attemptError{err: err, record: r, end: e}
}

// send hands one message on. A panic becomes an error.
func (p *Publisher) send(ctx context.Context, d outbox.Delivery) error {
	errs := []error{outbox.ErrNotSent}
	outbox.PublisherFunc(func(ctx context.Context, d outbox.Delivery) error {
		one := make([]error, 1)
		p.next.Publish(ctx, []outbox.Delivery{d}, one)
		return one[0]
	}).Publish(ctx, []outbox.Delivery{d}, errs)
	return errs[0]
}

// attemptError carries the record of a failed attempt to the relay's hooks, which learn
// what the failure led to. To everybody else it is the error that it wraps.
type attemptError struct {
	err    error
	record *record
	end    app.AttemptEnd
}

func (e *attemptError) Error() string { return e.err.Error() }
func (e *attemptError) Unwrap() error { return e.err }

// Hooks complete the records of failed attempts, with the wait before the next attempt or
// the fact that there will be none, and count dead letters.
func (p *Publisher) Hooks() outbox.Hooks {
	return outbox.Hooks{
		Failed: func(ctx context.Context, _ outbox.Delivery, err error, wait time.Duration) {
			if e, ok := errors.AsType[*attemptError](err); ok {
				e.end.Wait = wait
				p.end(ctx, e.record, e.end)
			}
		},
		DeadLettered: func(ctx context.Context, d outbox.Delivery, err error) {
			p.counts.dead(d.Topic)
			if e, ok := errors.AsType[*attemptError](err); ok {
				e.end.Result, e.end.Wait = app.AttemptDeadLettered, 0
				p.end(ctx, e.record, e.end)
			}
		},
	}
}
