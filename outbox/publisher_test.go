package outbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/retry"
)

func batchOf(topics ...string) []outbox.Delivery {
	batch := make([]outbox.Delivery, len(topics))
	for i, topic := range topics {
		batch[i] = outbox.Delivery{Message: outbox.Message{Topic: topic}, Seq: int64(i + 1)}
	}
	return batch
}

// recorder is a publisher that fails the Seqs it is told to.
type recorder struct {
	seqs []int64
	fail int64
}

func (r *recorder) Publish(_ context.Context, batch []outbox.Delivery, errs []error) {
	for i, d := range batch {
		r.seqs = append(r.seqs, d.Seq)
		if d.Seq == r.fail {
			errs[i] = errBoom
		}
	}
}

func TestRoute(t *testing.T) {
	a, rest := &recorder{fail: 3}, &recorder{fail: 4}
	batch := batchOf("a", "b", "a", "c", "a")
	errs := make([]error, 5)
	outbox.Route(map[string]outbox.Publisher{"a": a}, rest).Publish(t.Context(), batch, errs)
	for i, want := range []error{nil, nil, errBoom, errBoom, nil} {
		if !errors.Is(errs[i], want) {
			t.Errorf("message %d: %v, want %v", i, errs[i], want)
		}
	}
	if len(a.seqs) != 3 || len(rest.seqs) != 2 || a.seqs[2] != 5 || rest.seqs[1] != 4 {
		t.Errorf("a got %v, the fallback %v", a.seqs, rest.seqs)
	}
}

func TestRouteWithoutFallback(t *testing.T) {
	topics := map[string]outbox.Publisher{"a": &recorder{}}
	p := outbox.Route(topics, nil)
	delete(topics, "a") // the caller's map is not used
	errs := make([]error, 2)
	p.Publish(t.Context(), batchOf("a", "b"), errs)
	if errs[0] != nil {
		t.Error(errs[0])
	}
	if retry.Classify(errs[1]).Class != retry.Permanent || !strings.Contains(errs[1].Error(), `"b"`) {
		t.Error(errs[1])
	}
}

func TestRouteAfterTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ending := publishFunc(func(context.Context, []outbox.Delivery, []error) { cancel() })
	b := &recorder{}
	errs := make([]error, 2)
	outbox.Route(map[string]outbox.Publisher{"a": ending, "b": b}, nil).Publish(ctx, batchOf("a", "b"), errs)
	if errs[0] != nil || !errors.Is(errs[1], outbox.ErrNotSent) || len(b.seqs) != 0 {
		t.Error(errs, b.seqs)
	}
}

func TestRouteIsOrderSafeIfAllAre(t *testing.T) {
	safe, unsafe := orderSafe{&recorder{}, true}, &recorder{}
	for name, c := range map[string]struct {
		topics   map[string]outbox.Publisher
		fallback outbox.Publisher
		want     bool
	}{
		"all":           {map[string]outbox.Publisher{"a": safe}, safe, true},
		"no fallback":   {map[string]outbox.Publisher{"a": safe}, nil, true},
		"not the first": {map[string]outbox.Publisher{"a": unsafe}, safe, false},
		"not the rest":  {map[string]outbox.Publisher{"a": safe}, unsafe, false},
	} {
		p, ok := outbox.Route(c.topics, c.fallback).(outbox.OrderSafe)
		if !ok || p.OrderSafe() != c.want {
			t.Errorf("%s: %t", name, !c.want)
		}
	}
}

func TestPublisherFunc(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := make([]error, 5)
	outbox.PublisherFunc(func(_ context.Context, d outbox.Delivery) error {
		switch d.Seq {
		case 2:
			return errBoom
		case 3:
			panic("ouch")
		case 4:
			cancel()
		}
		return nil
	}).Publish(ctx, batchOf("a", "a", "a", "a", "a"), errs)
	var panicked *outbox.PanicError
	if errs[0] != nil || !errors.Is(errs[1], errBoom) || !errors.As(errs[2], &panicked) || errs[3] != nil || !errors.Is(errs[4], outbox.ErrNotSent) {
		t.Error(errs)
	}

	outbox.PublisherFunc(func(context.Context, outbox.Delivery) error { return outbox.Unavailable(errDown) }).
		Publish(t.Context(), batchOf("a", "a"), errs[:2])
	if !errors.Is(errs[0], outbox.ErrUnavailable) || !errors.Is(errs[1], outbox.ErrNotSent) {
		t.Error(errs[:2])
	}
}

func TestUnavailable(t *testing.T) {
	if outbox.Unavailable(nil) != nil {
		t.Error("nil became an error")
	}
	for _, err := range []error{
		outbox.Unavailable(retry.After(errDown, time.Minute)),
		retry.After(outbox.Unavailable(errDown), time.Minute),
	} {
		if !errors.Is(err, outbox.ErrUnavailable) || !errors.Is(err, errDown) || retry.Classify(err).After != time.Minute {
			t.Errorf("%v: %+v", err, retry.Classify(err))
		}
	}
}
