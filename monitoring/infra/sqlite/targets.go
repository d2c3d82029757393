package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"example.com/once/monitoring/app"
)

// beatsKept is how many fetches of a target are kept.
const beatsKept = 60

// RecordTargets implements [app.TargetLog]. Of two fetches in one slot the one recorded
// later counts; a slot that is recorded late does not hide a newer one.
func (d *DB) RecordTargets(ctx context.Context, statuses []app.TargetStatus) error {
	err := d.inTx(ctx, func(tx *sql.Tx) error {
		for _, s := range statuses {
			if err := recordTarget(ctx, tx, s); err != nil {
				return fmt.Errorf("target %q: %w", s.Target, err)
			}
		}
		return nil
	})
	return wrap(err)
}

func recordTarget(ctx context.Context, tx *sql.Tx, s app.TargetStatus) error {
	status, err := json.Marshal(s)
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller, as all below
	}
	slot := encodeTime(s.Slot)
	_, err = tx.ExecContext(ctx, `INSERT INTO target (target, slot, up, status) VALUES (?, ?, ?, ?)
ON CONFLICT (target) DO UPDATE SET slot = excluded.slot, up = excluded.up, status = excluded.status WHERE excluded.slot >= slot`,
		s.Target, slot, s.Up, string(status))
	if err != nil {
		return err //nolint:wrapcheck // see above
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO beat (target, slot, up, seconds) VALUES (?, ?, ?, ?)
ON CONFLICT (target, slot) DO UPDATE SET up = excluded.up, seconds = excluded.seconds`, s.Target, slot, s.Up, s.Seconds)
	if err != nil {
		return err //nolint:wrapcheck // see above
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM beat WHERE target = ?1 AND slot <=
	(SELECT slot FROM beat WHERE target = ?1 ORDER BY slot DESC LIMIT 1 OFFSET ?2)`, s.Target, beatsKept)
	return err //nolint:wrapcheck // see above
}

// Targets implements [app.Reader].
func (d *DB) Targets(ctx context.Context) ([]app.TargetView, error) {
	var out []app.TargetView
	err := d.snapshot(ctx, func(tx *sql.Tx) error {
		at := make(map[string]int)
		err := each(ctx, tx, func(rows *sql.Rows) error {
			var v app.TargetView
			var status []byte
			if err := rows.Scan(&status); err != nil {
				return err //nolint:wrapcheck // wrapped below
			}
			if err := json.Unmarshal(status, &v.TargetStatus); err != nil {
				return fmt.Errorf("status of a target: %w", err)
			}
			at[v.Target] = len(out)
			out = append(out, v)
			return nil
		}, `SELECT status FROM target ORDER BY target`)
		if err != nil {
			return err
		}
		return each(ctx, tx, func(rows *sql.Rows) error {
			var target string
			var slot int64
			var b app.TargetBeat
			if err := rows.Scan(&target, &slot, &b.Up, &b.Seconds); err != nil {
				return err //nolint:wrapcheck // wrapped below
			}
			b.Slot = decodeTime(slot)
			if i, ok := at[target]; ok {
				out[i].Recent = append(out[i].Recent, b)
			}
			return nil
		}, `SELECT target, slot, up, seconds FROM beat ORDER BY target, slot`)
	})
	return out, wrap(err)
}

// each calls fn for each row.
func each(ctx context.Context, tx *sql.Tx, fn func(*sql.Rows) error, query string, args ...any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the method that was called
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err() //nolint:wrapcheck // wrapped by the method that was called
}

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return app.ErrNotFound
	}
	return err
}
