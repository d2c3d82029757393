package app_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"example.com/once/idem"
	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// repository is a database in memory: the keys that have been applied, and what the units of
// work behind them wrote. Its rows have the identities of the real one and refuse a second
// row of the same identity.
type repository struct {
	// beforeCommit and afterCommit make a unit of work fail: before anything is kept, or after all
	// of it is, when only the acknowledgement is lost. nil = never.
	beforeCommit, afterCommit func(idem.Key) error

	mu      sync.Mutex
	applied map[idem.Key]app.Outcome
	kept    rows
	outbox  []app.Message // in the order of their commits
	away    bool          // the database does not answer
}

type rows struct {
	states      map[string]domain.State
	evaluations map[evaluationID]app.Evaluation
	transitions map[transitionID]domain.Transition
	messages    map[[16]byte]app.Message
}

type evaluationID struct {
	rule string
	slot int64
}

type transitionID struct {
	evaluationID
	fingerprint domain.Fingerprint
}

var errAway = errors.New("the database is away")

func newRepository() *repository {
	return &repository{
		applied: make(map[idem.Key]app.Outcome),
		kept: rows{
			make(map[string]domain.State), make(map[evaluationID]app.Evaluation),
			make(map[transitionID]domain.Transition), make(map[[16]byte]app.Message),
		},
	}
}

// Once implements [app.UnitOfWork]: claim, work and outcome are kept together, or not at all.
func (r *repository) Once(ctx context.Context, key idem.Key, fn func(context.Context, app.Tx) (app.Outcome, error)) (app.Outcome, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return app.Outcome{}, false, errAway
	}
	if out, ok := r.applied[key]; ok {
		return out, true, nil
	}
	tx := &transaction{rows: rows{
		maps.Clone(r.kept.states), maps.Clone(r.kept.evaluations), maps.Clone(r.kept.transitions), maps.Clone(r.kept.messages),
	}}
	out, err := fn(ctx, tx)
	if err == nil && r.beforeCommit != nil {
		err = r.beforeCommit(key)
	}
	if err != nil {
		return app.Outcome{}, false, err
	}
	r.applied[key], r.kept = out, tx.rows
	r.outbox = append(r.outbox, tx.outbox...)
	if r.afterCommit != nil {
		if err := r.afterCommit(key); err != nil {
			return app.Outcome{}, false, err
		}
	}
	return out, false, nil
}

func (r *repository) setAway(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

// slots returns the slots that the rule was evaluated in, in order.
func (r *repository) slots(rule string) []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []time.Time
	for id, e := range r.kept.evaluations {
		if id.rule == rule {
			out = append(out, e.Slot)
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

func (r *repository) evaluation(rule string, slot time.Time) app.Evaluation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept.evaluations[evaluationID{rule, slot.UnixNano()}]
}

func (r *repository) messages() []app.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.outbox)
}

// transaction is what one unit of work sees and writes.
type transaction struct {
	rows

	outbox []app.Message
}

func (t *transaction) State(_ context.Context, rule string) (domain.State, error) {
	return t.states[rule], nil
}

func (t *transaction) SetState(_ context.Context, rule string, s domain.State) error {
	t.states[rule] = s
	return nil
}

func (t *transaction) History(_ context.Context, rule string, since, before time.Time) ([]domain.Sample, error) {
	var found []app.Evaluation
	for id, e := range t.evaluations {
		if id.rule == rule && !e.Slot.Before(since) && e.Slot.Before(before) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b app.Evaluation) int { return a.Slot.Compare(b.Slot) })
	var out []domain.Sample
	for _, e := range found {
		out = append(out, e.Input.Samples...)
	}
	return out, nil
}

func (t *transaction) Record(_ context.Context, e app.Evaluation) error {
	id := evaluationID{e.RuleID, e.Slot.UnixNano()}
	if err := insert(t.evaluations, id, e); err != nil {
		return err
	}
	for _, x := range e.Transitions {
		if err := insert(t.transitions, transitionID{id, x.Fingerprint}, x); err != nil {
			return err
		}
	}
	return nil
}

func (t *transaction) Enqueue(_ context.Context, messages ...app.Message) error {
	for _, m := range messages {
		if err := insert(t.messages, m.ID, m); err != nil {
			return err
		}
		t.outbox = append(t.outbox, m)
	}
	return nil
}

func insert[K comparable, V any](table map[K]V, id K, row V) error {
	if _, ok := table[id]; ok {
		return fmt.Errorf("there is a row %v already", id)
	}
	table[id] = row
	return nil
}

// slot returns an instant on every grid of whole seconds.
func slot(seconds int) time.Time {
	return time.Date(2000, time.January, 1, 0, 0, seconds, 0, time.UTC) // synctest's clock starts here
}

func condition(tb testing.TB, expr string) domain.Condition {
	tb.Helper()
	c, err := domain.ParseCondition(expr)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// downRule fires at once for every target that is down.
func downRule(tb testing.TB, name string) *domain.Rule {
	tb.Helper()
	return &domain.Rule{
		ID: domain.RuleID("test", name), Group: "test", Name: name, Condition: condition(tb, "up == 0"), Interval: time.Second,
	}
}

func pager() []app.Sink { return []app.Sink{{Name: "pager", Lane: 1}} }

func newMonitor(tb testing.TB, uow app.UnitOfWork, c app.Config) *app.Monitor {
	tb.Helper()
	if c.Replica == "" {
		c.Replica = "a"
	}
	if c.Sinks == nil {
		c.Sinks = pager()
	}
	m, err := app.New(uow, c)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// seen is what was read in a slot: one value of up for each instance.
func seen(at time.Time, up map[string]float64) app.Snapshot {
	s := app.Snapshot{Slot: at}
	for _, instance := range slices.Sorted(maps.Keys(up)) {
		s.Samples = append(s.Samples, domain.Sample{
			Labels: domain.LabelsOf(domain.MetricName, app.MetricUp, "instance", instance), Value: up[instance], At: at,
		})
	}
	return s
}

func down(at time.Time) app.Snapshot { return seen(at, map[string]float64{"db": 0, "web": 1}) }
func well(at time.Time) app.Snapshot { return seen(at, map[string]float64{"db": 1, "web": 1}) }
