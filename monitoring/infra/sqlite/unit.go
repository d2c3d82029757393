package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"example.com/once/idem"
	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/outbox"
)

// Once implements [app.UnitOfWork].
func (d *DB) Once(ctx context.Context, key idem.Key, fn func(context.Context, app.Tx) (app.Outcome, error)) (app.Outcome, bool, error) {
	var info idem.Info
	out, err := idem.DoTx(ctx, d.guard, key, func(ctx context.Context, tx *sql.Tx) (app.Outcome, error) {
		return fn(ctx, &unit{tx: tx, db: d})
	}, idem.Report(&info))
	if err != nil {
		return app.Outcome{}, false, fmt.Errorf("sqlite: unit of work: %w", err)
	}
	return out, info.Replayed, nil
}

// unit is one unit of work.
type unit struct {
	tx *sql.Tx
	db *DB
}

var _ app.Tx = (*unit)(nil)

// State implements [app.Tx].
func (u *unit) State(ctx context.Context, ruleID string) (domain.State, error) {
	var slot int64
	var state []byte
	err := u.tx.QueryRowContext(ctx, `SELECT slot, state FROM rule WHERE rule_id = ?`, ruleID).Scan(&slot, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return domain.State{}, nil
	}
	if err != nil {
		return domain.State{}, fmt.Errorf("sqlite: %w", err)
	}
	return decodeState(slot, state)
}

// SetState implements [app.Tx].
func (u *unit) SetState(ctx context.Context, ruleID string, s domain.State) error {
	state, err := encodeState(s)
	if err != nil {
		return err
	}
	count := make(map[domain.Phase]int)
	for _, a := range s.Alerts {
		count[a.Phase]++
	}
	_, err = u.tx.ExecContext(ctx, `INSERT INTO rule (rule_id, slot, state, pending, firing) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (rule_id) DO UPDATE SET slot = excluded.slot, state = excluded.state, pending = excluded.pending, firing = excluded.firing`,
		ruleID, encodeTime(s.Slot), state, count[domain.Pending], count[domain.Firing])
	return wrap(err)
}

// History implements [app.Tx].
func (u *unit) History(ctx context.Context, ruleID string, since, before time.Time) ([]domain.Sample, error) {
	rows, err := u.tx.QueryContext(ctx, `SELECT input FROM evaluation WHERE rule_id = ? AND slot >= ? AND slot < ? ORDER BY slot`,
		ruleID, encodeTime(since), encodeTime(before))
	if err != nil {
		return nil, wrap(err)
	}
	defer rows.Close()
	var samples []domain.Sample
	for rows.Next() {
		var data sql.RawBytes
		if err := rows.Scan(&data); err != nil {
			return nil, wrap(err)
		}
		in, err := decodeInput(data)
		if err != nil {
			return nil, err
		}
		samples = append(samples, in.Samples...)
	}
	return samples, wrap(rows.Err())
}

// Record implements [app.Tx].
func (u *unit) Record(ctx context.Context, e app.Evaluation) error {
	input, err := u.db.encodeInput(e.Input)
	if err != nil {
		return err
	}
	var first, last any // NULL if nothing was missed
	if e.Missed.Count > 0 {
		first, last = encodeTime(e.Missed.First), encodeTime(e.Missed.Last)
	}
	_, err = u.tx.ExecContext(ctx, `INSERT INTO evaluation
	(rule_id, slot, revision, replica, input, alerts, failure, missed, missed_first, missed_last, at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		e.RuleID, encodeTime(e.Slot), e.Revision, e.Replica, input, e.Alerts, e.Failure, e.Missed.Count, first, last, encodeTime(e.At))
	if err != nil {
		return fmt.Errorf("sqlite: record of rule %q at %s: %w", e.RuleID, e.Slot.Format(time.RFC3339Nano), err)
	}
	for _, t := range e.Transitions {
		labels, annotations, err := encodeTexts(t.Labels, t.Annotations)
		if err != nil {
			return err
		}
		_, err = u.tx.ExecContext(ctx, `INSERT INTO transition
	(rule_id, fingerprint, slot, from_phase, to_phase, labels, annotations, value, active_at, revision, replica)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			t.RuleID, t.Fingerprint[:], encodeTime(t.Slot), t.From.String(), t.To.String(), labels, annotations,
			domain.FormatValue(t.Value), encodeTime(t.ActiveAt), e.Revision, e.Replica)
		if err != nil {
			return fmt.Errorf("sqlite: transition of rule %q, alert %s, at %s: %w", t.RuleID, t.Fingerprint, t.Slot.Format(time.RFC3339Nano), err)
		}
	}
	return nil
}

// Enqueue implements [app.Tx].
func (u *unit) Enqueue(ctx context.Context, messages ...app.Message) error {
	out := make([]outbox.Message, len(messages))
	for i, m := range messages {
		_, err := u.tx.ExecContext(ctx, `INSERT INTO message (id, sink, rule_id, fingerprint, slot, to_phase) VALUES (?, ?, ?, ?, ?, ?)`,
			m.ID[:], m.Sink, m.Alert.RuleID, m.Alert.Fingerprint[:], encodeTime(m.Slot), m.To.String())
		if err != nil {
			return fmt.Errorf("sqlite: message %s: %w", app.FormatMessageID(m.ID), err)
		}
		out[i] = outbox.Message{ID: m.ID, Topic: m.Sink, Key: m.Key, Payload: m.Payload, Lane: m.Lane}
	}
	return wrap(u.db.writer.Write(ctx, u.tx, out...))
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqlite: %w", err)
}
