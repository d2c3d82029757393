package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"example.com/once/retry"
)

// Publisher hands messages to a destination. errs has the batch's length and comes
// zeroed; errs[i] == nil on return means that batch[i] is durable at the destination. An
// error may be marked with [retry.Stop] (never will), [retry.After] (not before),
// [Unavailable] (the destination is down: no attempt is spent and the lane's breaker
// opens) or match [ErrNotSent]; any other error spends an attempt and is tried again.
//
// A batch is of one lane, and never holds two messages of one ordering key unless the
// publisher is [OrderSafe]. Publish must return soon after ctx ends, must not keep batch
// or errs, nor change payloads. It is called concurrently.
type Publisher interface {
	Publish(ctx context.Context, batch []Delivery, errs []error)
}

// OrderSafe is implemented by publishers that may be handed several messages of one
// ordering key at a time, in order: because when one fails, the later ones of its key
// fail too, or because the destination takes the batch as a whole.
type OrderSafe interface {
	OrderSafe() bool
}

// ErrNotSent is the error of a message that a publisher did not get to, for instance
// because ctx ended. It is sent again with the next batch and has spent no attempt.
var ErrNotSent = errors.New("outbox: not sent")

// ErrUnavailable is matched by every error that [Unavailable] made.
var ErrUnavailable = errors.New("outbox: destination unavailable")

// PublisherFunc is a Publisher that takes one delivery at a time.
type PublisherFunc func(ctx context.Context, d Delivery) error

// Publish calls f for each delivery of the batch in turn, until ctx ends. A panic of f
// becomes the error of its delivery alone; see [PanicError].
func (f PublisherFunc) Publish(ctx context.Context, batch []Delivery, errs []error) {
	for i, d := range batch {
		if ctx.Err() != nil {
			errs[i] = ErrNotSent
			continue
		}
		errs[i] = f.one(ctx, d)
		if errors.Is(errs[i], ErrUnavailable) {
			// The rest would meet the same outage.
			for j := i + 1; j < len(batch); j++ {
				errs[j] = ErrNotSent
			}
			return
		}
	}
}

func (f PublisherFunc) one(ctx context.Context, d Delivery) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = newPanicError(v)
		}
	}()
	return f(ctx, d)
}

type unavailableError struct{ err error }

func (e *unavailableError) Error() string        { return ErrUnavailable.Error() + ": " + e.err.Error() }
func (e *unavailableError) Unwrap() error        { return e.err }
func (e *unavailableError) Is(target error) bool { return target == ErrUnavailable }

// Unavailable marks err as an outage of the destination, which is no fault of the
// message: it spends no attempt, and the relay leaves the lane alone but for one probe
// per [RelayConfig.Probe]. Combine it with [retry.After] to name a longer wait. Only a
// message that fails so again and again while others get through spends attempts, like any
// that fails. A nil err gives nil.
func Unavailable(err error) error {
	if err == nil {
		return nil
	}
	return &unavailableError{err}
}

// Route sends each delivery to the publisher of its topic, or to fallback. With a nil
// fallback a delivery of an unknown topic fails for good. Give topics whose destinations
// may fail apart different lanes: an outage closes a lane, not a topic. The result is
// [OrderSafe] if all its publishers are.
func Route(byTopic map[string]Publisher, fallback Publisher) Publisher {
	return &route{byTopic: maps.Clone(byTopic), fallback: fallback}
}

type route struct {
	byTopic  map[string]Publisher
	fallback Publisher
}

func (r *route) OrderSafe() bool {
	for _, p := range r.byTopic {
		if !orderSafe(p) {
			return false
		}
	}
	return r.fallback == nil || orderSafe(r.fallback)
}

func (r *route) Publish(ctx context.Context, batch []Delivery, errs []error) {
	type part struct {
		to    Publisher
		batch []Delivery
		at    []int
	}
	var parts []*part
	byTopic := map[string]*part{}
	var rest *part // of the fallback
	for i, d := range batch {
		to, known := r.byTopic[d.Topic]
		var p *part
		switch {
		case known && to != nil:
			if p = byTopic[d.Topic]; p == nil {
				p = &part{to: to}
				byTopic[d.Topic] = p
				parts = append(parts, p)
			}
		case r.fallback != nil:
			if p = rest; p == nil {
				p = &part{to: r.fallback}
				rest = p
				parts = append(parts, p)
			}
		default:
			errs[i] = retry.Stop(fmt.Errorf("outbox: no publisher for topic %q", d.Topic))
			continue
		}
		p.batch = append(p.batch, d)
		p.at = append(p.at, i)
	}
	for _, p := range parts {
		part := make([]error, len(p.batch))
		if ctx.Err() != nil {
			for i := range part {
				part[i] = ErrNotSent
			}
		} else {
			p.to.Publish(ctx, p.batch, part)
		}
		for i, at := range p.at {
			errs[at] = part[i]
		}
	}
}

func orderSafe(p Publisher) bool {
	s, ok := p.(OrderSafe)
	return ok && s.OrderSafe()
}
