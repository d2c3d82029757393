package app

import (
	"context"
	"fmt"
	"time"

	"example.com/once/monitoring/domain"
)

// EvaluateSlot evaluates one rule in one slot, exactly once among all replicas: one
// transaction claims the key (rule id, evaluation timestamp), sets the rule's state,
// logs the transitions and writes the outbox. If another call has committed the key before,
// this one changes nothing and returns that call's outcome, with replayed set.
//
// A slot before or at the one that the rule's state belongs to is not evaluated: its
// outcome says Skipped. This also covers keys so old that their claim is forgotten.
//
// An error says that nothing was committed or that it is not known; repeat the call
// with the same arguments.
func (m *Monitor) EvaluateSlot(ctx context.Context, r *domain.Rule, snap Snapshot) (out Outcome, replayed bool, err error) {
	key := Key(r.ID, snap.Slot)
	out, replayed, err = m.uow.Once(ctx, key, func(ctx context.Context, tx Tx) (Outcome, error) {
		prev, err := tx.State(ctx, r.ID)
		if err != nil {
			return Outcome{}, fmt.Errorf("load the state: %w", err)
		}
		if !prev.Slot.IsZero() && !snap.Slot.After(prev.Slot) {
			return Outcome{RuleID: r.ID, Slot: snap.Slot, Replica: m.c.Replica, Skipped: true}, nil
		}
		return m.evaluate(ctx, tx, r, snap, prev)
	})
	if err != nil {
		m.count.failures.Add(1)
		return Outcome{}, false, fmt.Errorf("app: rule %q at %s: %w", r.ID, snap.Slot.Format(time.RFC3339Nano), err)
	}
	m.count.outcome(out, replayed)
	if out.Messages > 0 && m.c.Committed != nil {
		m.c.Committed() // the relay that leases the shard may be this replica's, whoever committed
	}
	return out, replayed, nil
}

// evaluate writes one evaluation into the transaction.
func (m *Monitor) evaluate(ctx context.Context, tx Tx, r *domain.Rule, snap Snapshot, prev domain.State) (Outcome, error) {
	in := domain.Input{Slot: snap.Slot, Unknown: snap.Unknown}
	for _, s := range snap.Samples {
		if r.Condition.Reads(s.Labels) {
			in.Samples = append(in.Samples, s)
		}
	}
	if w := r.Condition.Window(); w > 0 {
		var err error
		// What earlier slots saw is read from their records, not from this replica's memory:
		// whoever evaluates a slot works on the same past.
		if in.History, err = tx.History(ctx, r.ID, snap.Slot.Add(-w), snap.Slot); err != nil {
			return Outcome{}, fmt.Errorf("load the history: %w", err)
		}
	}
	next, transitions, failure := domain.Evaluate(r, in, prev)
	in.History = nil // each record keeps its own slot; the past is in the earlier ones
	e := Evaluation{
		RuleID: r.ID, Revision: r.Revision(), Slot: snap.Slot, Replica: m.c.Replica, Input: in,
		Transitions: transitions, Alerts: len(next.Alerts), At: time.Now().UTC(),
	}
	out := Outcome{RuleID: r.ID, Slot: snap.Slot, Replica: m.c.Replica}
	if failure != nil {
		e.Failure, out.Failure = failure.Error(), failure.Error()
	}
	if !prev.Slot.IsZero() {
		e.Missed.First, e.Missed.Last, e.Missed.Count = r.Grid().Missed(prev.Slot, snap.Slot)
		out.Missed = e.Missed.Count
	}
	if err := tx.SetState(ctx, r.ID, next); err != nil {
		return Outcome{}, fmt.Errorf("set the state: %w", err)
	}
	if err := tx.Record(ctx, e); err != nil {
		return Outcome{}, fmt.Errorf("record the evaluation: %w", err)
	}
	var messages []Message
	for _, t := range transitions {
		out.Transitions = append(out.Transitions, Transition{t.Fingerprint, t.From, t.To})
		made, err := m.messages(e.Revision, t)
		if err != nil {
			return Outcome{}, err
		}
		messages = append(messages, made...)
	}
	if len(messages) > 0 {
		if err := tx.Enqueue(ctx, messages...); err != nil {
			return Outcome{}, fmt.Errorf("write the outbox: %w", err)
		}
	}
	out.Messages = len(messages)
	return out, nil
}
