package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// Rules implements [app.Reader].
func (d *DB) Rules(ctx context.Context) ([]app.RuleView, error) {
	var out []app.RuleView
	err := d.snapshot(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(rows *sql.Rows) error {
			var v app.RuleView
			var slot int64
			if err := rows.Scan(&v.ID, &slot, &v.Revision, &v.Replica, &v.Alerts, &v.Failure); err != nil {
				return err //nolint:wrapcheck // wrapped below
			}
			v.Slot = decodeTime(slot)
			out = append(out, v)
			return nil
		}, `SELECT rule.rule_id, rule.slot, COALESCE(revision, ''), COALESCE(replica, ''), COALESCE(alerts, pending + firing), COALESCE(failure, '')
FROM rule LEFT JOIN evaluation ON evaluation.rule_id = rule.rule_id AND evaluation.slot = rule.slot ORDER BY rule.rule_id`)
	})
	return out, wrap(err)
}

// Alerts implements [app.Reader].
func (d *DB) Alerts(ctx context.Context) ([]app.AlertView, error) {
	return d.alerts(ctx, func(domain.Alert) bool { return true })
}

// Firing implements [app.Reader].
func (d *DB) Firing(ctx context.Context, resolvedSince time.Time) ([]app.AlertView, error) {
	return d.alerts(ctx, func(a domain.Alert) bool {
		return a.Phase == domain.Firing || a.Phase == domain.Resolved && !a.ResolvedAt.Before(resolvedSince)
	})
}

func (d *DB) alerts(ctx context.Context, wanted func(domain.Alert) bool) ([]app.AlertView, error) {
	var out []app.AlertView
	err := d.snapshot(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(rows *sql.Rows) error {
			var rule string
			var slot int64
			var state sql.RawBytes
			if err := rows.Scan(&rule, &slot, &state); err != nil {
				return err //nolint:wrapcheck // wrapped below
			}
			s, err := decodeState(slot, state)
			if err != nil {
				return fmt.Errorf("rule %q: %w", rule, err)
			}
			for _, a := range s.Alerts {
				if wanted(a) {
					out = append(out, app.AlertView{RuleID: rule, Alert: a})
				}
			}
			return nil
		}, `SELECT rule_id, slot, state FROM rule WHERE state <> '[]'`)
	})
	slices.SortFunc(out, byUrgency)
	return out, wrap(err)
}

// byUrgency puts firing alerts first, then pending, then resolved ones, the latest first.
func byUrgency(a, b app.AlertView) int {
	rank := func(p domain.Phase) int {
		return slices.Index([]domain.Phase{domain.Firing, domain.Pending, domain.Resolved}, p)
	}
	return cmp.Or(
		cmp.Compare(rank(a.Phase), rank(b.Phase)),
		enteredAt(b.Alert).Compare(enteredAt(a.Alert)),
		cmp.Compare(a.RuleID, b.RuleID),
		bytes.Compare(a.Fingerprint[:], b.Fingerprint[:]),
	)
}

// enteredAt is the slot in which the alert entered its phase.
func enteredAt(a domain.Alert) time.Time {
	switch a.Phase {
	case domain.Firing:
		return a.FiredAt
	case domain.Resolved:
		return a.ResolvedAt
	case domain.Inactive, domain.Pending:
	}
	return a.ActiveAt
}

// alert returns an alert that is in its rule's state, or false.
func alert(ctx context.Context, tx *sql.Tx, ref app.AlertRef) (domain.Alert, bool, error) {
	u := unit{tx: tx}
	s, err := u.State(ctx, ref.RuleID)
	if err != nil {
		return domain.Alert{}, false, err
	}
	a, ok := s.Alert(ref.Fingerprint)
	return a, ok, nil
}
