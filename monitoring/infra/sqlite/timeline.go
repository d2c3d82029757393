package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// Limits of what is read at a time.
const (
	alertEvents = 200  // of one alert
	maxShown    = 1000 // events or deliveries, whatever was asked for
)

// Alert implements [app.Reader].
func (d *DB) Alert(ctx context.Context, ref app.AlertRef) (app.AlertDetail, error) {
	var out app.AlertDetail
	err := d.snapshot(ctx, func(tx *sql.Tx) error {
		a, current, err := alert(ctx, tx, ref)
		if err != nil {
			return err
		}
		events, err := d.events(ctx, tx, `WHERE rule_id = ? AND fingerprint = ? ORDER BY slot DESC LIMIT ?`, ref.RuleID, ref.Fingerprint[:], alertEvents)
		if err != nil {
			return err
		}
		if !current {
			if len(events) == 0 {
				return app.ErrNotFound
			}
			a = last(events[0].Transition)
		}
		slices.Reverse(events)
		out = app.AlertDetail{AlertView: app.AlertView{RuleID: ref.RuleID, Alert: a}, Events: events}
		return nil
	})
	if err != nil {
		return app.AlertDetail{}, fmt.Errorf("sqlite: alert %s of rule %q: %w", ref.Fingerprint, ref.RuleID, err)
	}
	return out, nil
}

// last is what is left to be known of an alert that has gone from its rule's state.
func last(t domain.Transition) domain.Alert {
	a := domain.Alert{
		Fingerprint: t.Fingerprint, Labels: t.Labels, Annotations: t.Annotations, Phase: t.To, Value: t.Value, ActiveAt: t.ActiveAt,
	}
	switch t.To {
	case domain.Firing:
		a.FiredAt = t.Slot
	case domain.Resolved:
		a.ResolvedAt = t.Slot
	case domain.Inactive, domain.Pending:
	}
	return a
}

// Events implements [app.Reader]. At most 1000 are returned.
func (d *DB) Events(ctx context.Context, limit int) ([]app.EventView, error) {
	var out []app.EventView
	err := d.snapshot(ctx, func(tx *sql.Tx) (err error) {
		out, err = d.events(ctx, tx, `ORDER BY n DESC LIMIT ?`, bounded(limit))
		return err
	})
	return out, wrap(err)
}

// Deliveries implements [app.Reader]. At most 1000 are returned, each with at most its
// latest 100 attempts.
func (d *DB) Deliveries(ctx context.Context, limit int) ([]app.DeliveryView, error) {
	var out []app.DeliveryView
	err := d.snapshot(ctx, func(tx *sql.Tx) (err error) {
		out, err = d.deliveries(ctx, tx, `ORDER BY n DESC LIMIT ?`, bounded(limit))
		return err
	})
	return out, wrap(err)
}

func bounded(limit int) int { return min(max(limit, 0), maxShown) }

// events reads transitions with their messages; rest is the query after FROM.
func (d *DB) events(ctx context.Context, tx *sql.Tx, rest string, args ...any) ([]app.EventView, error) {
	type identity struct {
		ref  app.AlertRef
		slot int64
	}
	var out []app.EventView
	var wanted [][3]any
	at := make(map[identity]int)
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var e app.EventView
		var slot int64
		var err error
		if slot, err = scanEvent(rows, &e); err != nil {
			return err
		}
		at[identity{app.AlertRef{RuleID: e.RuleID, Fingerprint: e.Fingerprint}, slot}] = len(out)
		wanted = append(wanted, [3]any{e.RuleID, e.Fingerprint.String(), slot})
		out = append(out, e)
		return nil
	}, `SELECT rule_id, fingerprint, slot, from_phase, to_phase, labels, annotations, value, active_at, revision, replica FROM transition `+rest, args...)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	list, err := json.Marshal(wanted)
	if err != nil {
		return nil, fmt.Errorf("list of events: %w", err)
	}
	deliveries, err := d.deliveries(ctx, tx, `WHERE (rule_id, fingerprint, slot) IN
	(SELECT value ->> 0, unhex(value ->> 1), value ->> 2 FROM json_each(?)) ORDER BY n`, string(list))
	if err != nil {
		return nil, err
	}
	for _, v := range deliveries {
		if i, ok := at[identity{v.Ref, encodeTime(v.Slot)}]; ok {
			out[i].Deliveries = append(out[i].Deliveries, v)
		}
	}
	return out, nil
}

func scanEvent(rows *sql.Rows, e *app.EventView) (int64, error) {
	var slot, activeAt int64
	var fingerprint, labels, annotations []byte
	var from, to, value string
	err := rows.Scan(&e.RuleID, &fingerprint, &slot, &from, &to, &labels, &annotations, &value, &activeAt, &e.Revision, &e.Replica)
	if err != nil {
		return 0, err //nolint:wrapcheck // wrapped by the method that was called
	}
	copy(e.Fingerprint[:], fingerprint)
	e.Slot, e.ActiveAt = decodeTime(slot), decodeTime(activeAt)
	e.Key = e.RuleID + " " + e.Slot.Format(time.RFC3339Nano)
	if e.From, err = domain.ParsePhase(from); err != nil {
		return 0, err
	}
	if e.To, err = domain.ParsePhase(to); err != nil {
		return 0, err
	}
	if err := json.Unmarshal(labels, &e.Labels); err != nil {
		return 0, err //nolint:wrapcheck // see above
	}
	if err := json.Unmarshal(annotations, &e.Annotations); err != nil {
		return 0, err //nolint:wrapcheck // see above
	}
	e.Value, err = decodeValue(value)
	return slot, err
}
