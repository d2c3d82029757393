package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/infra/delivery"
	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
	"example.com/once/retry"
)

// attemptLog is an app.AttemptLog in memory.
type attemptLog struct {
	mu     sync.Mutex
	begun  []app.Attempt
	ended  map[int64][]app.AttemptEnd
	broken error
	hang   chan struct{} // calls wait for it, whatever their context says
	slow   time.Duration // how long an End without a wait takes
}

func (l *attemptLog) Begin(_ context.Context, a app.Attempt) (int64, error) {
	if l.hang != nil {
		<-l.hang
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return 0, l.broken
	}
	l.begun = append(l.begun, a)
	return int64(len(l.begun)), nil
}

func (l *attemptLog) End(ctx context.Context, id int64, e app.AttemptEnd) error {
	if l.hang != nil {
		<-l.hang
	}
	l.mu.Lock()
	slow := l.slow
	l.mu.Unlock()
	if e.Wait == 0 {
		time.Sleep(slow)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if l.broken != nil {
		return l.broken
	}
	if l.ended == nil {
		l.ended = map[int64][]app.AttemptEnd{}
	}
	l.ended[id] = append(l.ended[id], e)
	return nil
}

// last returns the end that stands of the attempt with the id.
func (l *attemptLog) last(id int64) app.AttemptEnd {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.ended[id]
	if len(all) == 0 {
		return app.AttemptEnd{Result: app.AttemptRunning}
	}
	return all[len(all)-1]
}

func message(sink, key string) outbox.Message {
	return outbox.Message{ID: uuid.Must(uuid.NewV7()), Topic: sink, Key: key, Payload: []byte("{}")}
}

// relay runs a relay over p until stop is called.
func relay(t *testing.T, store *outboxtest.Memory, p *delivery.Publisher, c outbox.RelayConfig) (stop func()) {
	t.Helper()
	c.Hooks = p.Hooks()
	r, err := outbox.NewRelay(store, p, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("relay: %v", err)
		}
		time.Sleep(2 * time.Second) // writes that were left behind
	}
}

func constant(d time.Duration, attempts int) *retry.Policy {
	return &retry.Policy{MaxAttempts: attempts, Backoff: retry.Constant(d)}
}

func TestEveryAttemptIsRecordedWithItsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log attemptLog
		calls := 0
		next := outbox.PublisherFunc(func(context.Context, outbox.Delivery) error {
			calls++
			if calls < 3 {
				time.Sleep(250 * time.Millisecond)
				return errors.New("HTTP 500")
			}
			return nil
		})
		p := delivery.New(next, &log, "replica-a", nil)
		var store outboxtest.Memory
		m := message("hook", "k")
		if err := store.Write(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		start := time.Now().UTC()
		stop := relay(t, &store, p, outbox.RelayConfig{Policy: constant(4*time.Second, 9)})
		time.Sleep(time.Minute)
		stop()

		if len(log.begun) != 3 {
			t.Fatalf("%d attempts recorded, want 3", len(log.begun))
		}
		for i, a := range log.begun {
			if a.MessageID != m.ID || a.Sink != "hook" || a.Replica != "replica-a" || a.Number != i+1 {
				t.Errorf("attempt %d: %+v", i+1, a)
			}
			if a.At.Location() != time.UTC || a.At.Before(start) {
				t.Errorf("attempt %d: At = %v", i+1, a.At)
			}
		}
		failed := app.AttemptEnd{Result: app.AttemptFailed, Error: "HTTP 500", Wait: 4 * time.Second, Seconds: 0.25}
		want := []app.AttemptEnd{failed, failed, {Result: app.AttemptDelivered}}
		for i, w := range want {
			if got := log.last(int64(i + 1)); got != w {
				t.Errorf("end of attempt %d: %+v, want %+v", i+1, got, w)
			}
		}
		wantCounts := []app.DeliveryCount{{Sink: "hook", Delivered: 1, Failed: 2, Seconds: 0.5}}
		if got := p.Counts(); !reflect.DeepEqual(got, wantCounts) {
			t.Errorf("Counts = %+v, want %+v", got, wantCounts)
		}
	})
}

func TestDeadLettersAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log attemptLog
		next := outbox.PublisherFunc(func(_ context.Context, d outbox.Delivery) error {
			if d.Key == "gone" {
				return retry.Stop(errors.New("HTTP 410"))
			}
			return errors.New("HTTP 500")
		})
		p := delivery.New(next, &log, "a", nil)
		var store outboxtest.Memory
		if err := store.Write(t.Context(), message("hook", "gone")); err != nil {
			t.Fatal(err)
		}
		stop := relay(t, &store, p, outbox.RelayConfig{Policy: constant(time.Second, 2)})
		time.Sleep(10 * time.Second)
		if err := store.Write(t.Context(), message("hook", "exhausted")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		stop()

		want := []app.AttemptEnd{
			{Result: app.AttemptDeadLettered, Error: "HTTP 410"},
			{Result: app.AttemptFailed, Error: "HTTP 500", Wait: time.Second},
			{Result: app.AttemptDeadLettered, Error: "HTTP 500"},
		}
		if len(log.begun) != len(want) {
			t.Fatalf("%d attempts, want %d", len(log.begun), len(want))
		}
		for i, w := range want {
			if got := log.last(int64(i + 1)); got != w {
				t.Errorf("end of attempt %d: %+v, want %+v", i+1, got, w)
			}
		}
		if got := p.Counts(); len(got) != 1 || got[0].Dead != 2 || got[0].Failed != 3 {
			t.Errorf("Counts = %+v, want 2 dead, 3 failed", got)
		}
	})
}

func TestOutageIsRecordedAndSpendsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log attemptLog
		var up atomic.Bool
		next := outbox.PublisherFunc(func(context.Context, outbox.Delivery) error {
			if !up.Load() {
				return outbox.Unavailable(errors.New("connection refused"))
			}
			return nil
		})
		p := delivery.New(next, &log, "a", nil)
		var store outboxtest.Memory
		if err := store.Write(t.Context(), message("hook", "k")); err != nil {
			t.Fatal(err)
		}
		stop := relay(t, &store, p, outbox.RelayConfig{Policy: constant(time.Second, 2)})
		time.Sleep(time.Minute)
		up.Store(true)
		time.Sleep(time.Minute)
		stop()
		if len(log.begun) < 5 {
			t.Fatalf("%d attempts recorded, want one a probe", len(log.begun))
		}
		for i, a := range log.begun {
			if a.Number != 1 {
				t.Errorf("attempt %d has number %d; an outage spends none", i, a.Number)
			}
			e := log.last(int64(i + 1))
			if last := i == len(log.begun)-1; last && e.Result != app.AttemptDelivered ||
				!last && (e.Result != app.AttemptFailed || !strings.Contains(e.Error, "connection refused")) {
				t.Errorf("attempt %d: %+v", i, e)
			}
		}
	})
}

func TestBatchStopsAtAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log attemptLog
		next := outbox.PublisherFunc(func(context.Context, outbox.Delivery) error {
			time.Sleep(time.Second)
			return outbox.Unavailable(errors.New("down"))
		})
		batch := make([]outbox.Delivery, 40)
		for i := range batch {
			batch[i] = outbox.Delivery{Message: message("hook", ""), Attempt: 1}
		}
		errs := make([]error, len(batch))
		delivery.New(next, &log, "a", nil).Publish(t.Context(), batch, errs)
		if len(log.begun) != 8 {
			t.Errorf("%d attempts begun, want the 8 that ran at a time", len(log.begun))
		}
		unavailable := 0
		for i, err := range errs {
			switch {
			case errors.Is(err, outbox.ErrUnavailable):
				unavailable++
			case !errors.Is(err, outbox.ErrNotSent):
				t.Errorf("errs[%d] = %v", i, err)
			}
		}
		if unavailable != len(log.begun) {
			t.Errorf("%d unavailable, want %d", unavailable, len(log.begun))
		}
	})
}

// A receiver that hangs on one message must not use up the time of the others.
func TestOneThatHangsHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log attemptLog
		next := outbox.PublisherFunc(func(ctx context.Context, d outbox.Delivery) error {
			if d.Seq == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		batch := make([]outbox.Delivery, 40)
		for i := range batch {
			batch[i] = outbox.Delivery{Message: message("hook", ""), Attempt: 1, Seq: int64(i)}
		}
		errs := make([]error, len(batch))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		delivery.New(next, &log, "a", nil).Publish(ctx, batch, errs)
		for i, err := range errs {
			if (err != nil) != (i == 1) {
				t.Errorf("errs[%d] = %v", i, err)
			}
		}
		if !errors.Is(errs[1], context.DeadlineExceeded) {
			t.Errorf("errs[1] = %v, want the deadline for the relay to see", errs[1])
		}
		synctest.Wait()
		cut := slices.IndexFunc(log.begun, func(a app.Attempt) bool { return a.MessageID == batch[1].ID })
		if e := log.last(int64(cut + 1)); e.Result != app.AttemptFailed || e.Seconds != 5 {
			t.Errorf("the end of an attempt whose time was up is not recorded: %+v", e)
		}
	})
}

// What is begun too late would be cut off in the middle.
func TestNothingIsBegunInTheSecondHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log attemptLog
		next := outbox.PublisherFunc(func(context.Context, outbox.Delivery) error {
			time.Sleep(3 * time.Second)
			return nil
		})
		batch := make([]outbox.Delivery, 40)
		for i := range batch {
			batch[i] = outbox.Delivery{Message: message("hook", ""), Attempt: 1}
		}
		errs := make([]error, len(batch))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		delivery.New(next, &log, "a", nil).Publish(ctx, batch, errs)
		for i, err := range errs {
			if i < 16 && err != nil || i >= 16 && !errors.Is(err, outbox.ErrNotSent) {
				t.Errorf("errs[%d] = %v; want 16 sent, at 0 s and 3 s, and none at 6 s", i, err)
			}
		}
		if len(log.begun) != 16 {
			t.Errorf("%d attempts on record, want 16", len(log.begun))
		}
	})
}

func TestPanicAndGoexitAreFailures(t *testing.T) {
	for name, f := range map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log attemptLog
				next := outbox.PublisherFunc(func(context.Context, outbox.Delivery) error { f(); return nil })
				errs := make([]error, 1)
				delivery.New(next, &log, "a", nil).Publish(t.Context(), []outbox.Delivery{{Message: message("hook", "")}}, errs)
				if errs[0] == nil {
					t.Fatal("counts as delivered")
				}
				if name == "panic" {
					if e := log.last(1); e.Result != app.AttemptFailed || !strings.Contains(e.Error, "boom") {
						t.Errorf("end = %+v", e)
					}
				}
			})
		})
	}
}

func TestMarkersReachTheRelay(t *testing.T) {
	for _, want := range []error{
		retry.Stop(errors.New("x")), retry.After(errors.New("x"), time.Hour), outbox.Unavailable(errors.New("x")), outbox.ErrNotSent,
	} {
		errs := make([]error, 1)
		next := outbox.PublisherFunc(func(context.Context, outbox.Delivery) error { return want })
		delivery.New(next, &attemptLog{}, "a", nil).Publish(t.Context(), []outbox.Delivery{{Message: message("hook", "")}}, errs)
		if !errors.Is(errs[0], want) || retry.Classify(errs[0]) != retry.Classify(want) || errs[0].Error() != want.Error() {
			t.Errorf("%v came out as %v (%v)", want, errs[0], retry.Classify(errs[0]))
		}
	}
}

func TestBrokenLogStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := attemptLog{broken: errors.New("disk full")}
		delivered := 0
		next := outbox.PublisherFunc(func(context.Context, outbox.Delivery) error { delivered++; return nil })
		var text bytes.Buffer
		p := delivery.New(next, &log, "a", slog.New(slog.NewTextHandler(&text, nil)))
		errs := make([]error, 1)
		p.Publish(t.Context(), []outbox.Delivery{{Message: message("hook", "")}}, errs)
		if errs[0] != nil || delivered != 1 {
			t.Errorf("err = %v, delivered %d", errs[0], delivered)
		}
		if !strings.Contains(text.String(), "disk full") || !strings.Contains(text.String(), "sink=hook") {
			t.Errorf("log = %q, want the failure and the sink", text.String())
		}
	})
}

// The relay takes a publisher that comes back late for stuck, and gives its shards up.
func TestLogThatHangsDelaysNothingBeyondTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := attemptLog{hang: make(chan struct{})}
		delivered := 0
		next := outbox.PublisherFunc(func(context.Context, outbox.Delivery) error { delivered++; return nil })
		p := delivery.New(next, &log, "a", nil)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		errs := make([]error, 1)
		p.Publish(ctx, []outbox.Delivery{{Message: message("hook", "")}}, errs)
		if took := time.Since(start); errs[0] != nil || delivered != 1 || took != time.Second {
			t.Errorf("err %v, delivered %d, took %v; want one, after the log's second", errs[0], delivered, took)
		}
		close(log.hang)
	})
}

// What the hook knows must not be overwritten by a slow write of what was known before.
func TestTheHookHasTheLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := attemptLog{slow: 500 * time.Millisecond}
		next := outbox.PublisherFunc(func(ctx context.Context, _ outbox.Delivery) error {
			<-ctx.Done()
			return ctx.Err()
		})
		p := delivery.New(next, &log, "a", nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		batch, errs := []outbox.Delivery{{Message: message("hook", "")}}, make([]error, 1)
		start := time.Now()
		p.Publish(ctx, batch, errs)
		if took := time.Since(start); took != time.Second {
			t.Errorf("Publish took %v, want no longer than its context", took)
		}
		p.Hooks().Failed(t.Context(), batch[0], errs[0], 7*time.Second)
		if e := log.last(1); e.Wait != 7*time.Second || len(log.ended[1]) != 2 {
			t.Errorf("ends = %+v, want the one with the wait last", log.ended[1])
		}
	})
}

func TestNoLogCounts(t *testing.T) {
	next := outbox.PublisherFunc(func(context.Context, outbox.Delivery) error { return nil })
	p := delivery.New(next, nil, "a", nil)
	p.Publish(t.Context(), []outbox.Delivery{{Message: message("b", "")}, {Message: message("a", "")}}, make([]error, 2))
	want := []app.DeliveryCount{{Sink: "a", Delivered: 1}, {Sink: "b", Delivered: 1}}
	got := p.Counts()
	for i := range got {
		got[i].Seconds = 0
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Counts = %+v, want %+v", got, want)
	}
}

// A process that was killed leaves its attempt as one that never ended.
func TestAttemptIsBegunBeforeAnythingIsSent(t *testing.T) {
	var log attemptLog
	next := outbox.PublisherFunc(func(context.Context, outbox.Delivery) error {
		if len(log.begun) != 1 || log.last(1).Result != app.AttemptRunning {
			t.Errorf("while sending: begun %v, end %+v", log.begun, log.last(1))
		}
		return nil
	})
	delivery.New(next, &log, "a", nil).Publish(t.Context(), []outbox.Delivery{{Message: message("hook", "")}}, make([]error, 1))
	if log.last(1).Result != app.AttemptDelivered {
		t.Errorf("end = %+v", log.last(1))
	}
}
