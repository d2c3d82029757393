package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"example.com/once/monitoring/app"
)

// Totals implements [app.Reader].
func (d *DB) Totals(ctx context.Context) (app.Totals, error) {
	var t app.Totals
	err := d.snapshot(ctx, func(tx *sql.Tx) error {
		err := each(ctx, tx, func(rows *sql.Rows) error {
			var name string
			var n int
			if err := rows.Scan(&name, &n); err != nil {
				return err //nolint:wrapcheck // wrapped below
			}
			switch name {
			case "evaluations":
				t.Evaluations = n
			case "missed":
				t.Missed = n
			case "transitions":
				t.Transitions = n
			case "messages":
				t.Messages = n
			case "attempts":
				t.Attempts = n
			case "dead":
				t.Dead = n
			}
			return nil
		}, `SELECT name, n FROM tally`)
		if err != nil {
			return err
		}
		var dead, skipped int
		// As the function state has it, counted from the outbox's side, which is short.
		err = tx.QueryRowContext(ctx, `SELECT
	(SELECT COUNT(*) FROM `+hotTable+` JOIN message ON id = msg_id WHERE result IS NOT 'delivered')
		+ (SELECT COUNT(*) FROM `+coldTable+` JOIN message ON id = msg_id WHERE result IS NOT 'delivered' AND NOT (`+coldDead+`)),
	(SELECT COUNT(*) FROM `+coldTable+` JOIN message ON id = msg_id WHERE result IS NOT 'delivered' AND `+coldDead+`),
	(SELECT COUNT(*) FROM message WHERE result = 'dead-lettered'
		AND id NOT IN (SELECT msg_id FROM `+hotTable+`) AND id NOT IN (SELECT msg_id FROM `+coldTable+`)),
	(SELECT COALESCE(SUM(firing), 0) FROM rule), (SELECT COALESCE(SUM(pending), 0) FROM rule),
	(SELECT COUNT(*) FROM target WHERE up), (SELECT COUNT(*) FROM target WHERE NOT up)`).
			Scan(&t.Waiting, &dead, &skipped, &t.Firing, &t.Pending, &t.TargetsUp, &t.TargetsDown)
		if err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		t.Dead += dead + skipped
		t.Delivered = t.Messages - t.Waiting - t.Dead
		return nil
	})
	if err != nil {
		return app.Totals{}, fmt.Errorf("sqlite: totals: %w", err)
	}
	return t, nil
}
