// Package naive is the monitor as one writes it at first: the state is in memory, a
// slot is evaluated by whoever comes by, and a transition is sent right away, with a retry
// if it fails. It is here to be compared with: "monitor demo --naive" shows what it loses
// when its process is killed, and what it doubles when there are two of it, or when an
// answer gets lost.
package naive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"example.com/once/idem"
	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// attempts at sending one notification.
const (
	attempts = 5
	wait     = 100 * time.Millisecond
)

// Monitor stands in for the unit of work: it forgets the key, and sends at once.
type Monitor struct {
	sinks  map[string]string // address by name
	client *http.Client
	log    *slog.Logger

	mu     sync.Mutex
	states map[string]domain.State
	inputs map[string][]domain.Sample
}

var _ app.UnitOfWork = (*Monitor)(nil)

// New makes a Monitor that posts to the addresses given by name; each request may take as
// long as timeout.
func New(sinks map[string]string, timeout time.Duration, log *slog.Logger) *Monitor {
	return &Monitor{
		sinks: sinks, client: &http.Client{Timeout: timeout}, log: log,
		states: make(map[string]domain.State), inputs: make(map[string][]domain.Sample),
	}
}

// Once runs fn, whether or not the key was seen before.
func (m *Monitor) Once(ctx context.Context, _ idem.Key, fn func(context.Context, app.Tx) (app.Outcome, error)) (app.Outcome, bool, error) {
	out, err := fn(ctx, tx{m})
	return out, false, err
}

// send posts a notification until it is told that it arrived, or has no patience left.
func (m *Monitor) send(ctx context.Context, msg app.Message) {
	for attempt := range attempts {
		if attempt > 0 {
			time.Sleep(wait) //nolint:forbidigo // as one writes it at first
		}
		err := m.post(ctx, m.sinks[msg.Sink], msg.Payload)
		if err == nil {
			return
		}
		m.log.WarnContext(ctx, "not sent", "sink", msg.Sink, "attempt", attempt+1, "err", err)
	}
}

func (m *Monitor) post(ctx context.Context, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("naive: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := m.client.Do(req)
	if err != nil {
		return fmt.Errorf("naive: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("naive: %s", resp.Status)
	}
	return nil
}

// tx is no transaction: what it is given stands at once.
type tx struct{ m *Monitor }

func (t tx) State(_ context.Context, ruleID string) (domain.State, error) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	return t.m.states[ruleID], nil
}

func (t tx) SetState(_ context.Context, ruleID string, s domain.State) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.m.states[ruleID] = s
	return nil
}

func (t tx) History(_ context.Context, ruleID string, since, before time.Time) ([]domain.Sample, error) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	var out []domain.Sample
	for _, s := range t.m.inputs[ruleID] {
		if !s.At.Before(since) && s.At.Before(before) {
			out = append(out, s)
		}
	}
	return out, nil
}

func (t tx) Record(_ context.Context, e app.Evaluation) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	const kept = 10_000
	inputs := slices.Concat(t.m.inputs[e.RuleID], e.Input.Samples)
	t.m.inputs[e.RuleID] = inputs[max(len(inputs)-kept, 0):]
	return nil
}

func (t tx) Enqueue(ctx context.Context, messages ...app.Message) error {
	for _, msg := range messages {
		t.m.send(ctx, msg)
	}
	return nil
}
