package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"example.com/once/monitoring/domain"
)

const (
	sweepEvery = time.Minute
	sweepBatch = 500 // rows looked at in one transaction, so that a unit of work waits for milliseconds
	// A target that was not fetched for so long, while others were, is watched no more.
	targetKept = 2 * domain.MaxInterval
)

// Run removes what is older than [Config.Keep], and claims that have ended, in small batches
// until ctx ends; it then returns nil. A sweep that fails is logged and tried again at its next
// turn. Every replica may run it.
func (d *DB) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.guard.Run(ctx) }) // it returns nil, always
	defer wg.Wait()
	for {
		// Not in step with the other replicas.
		t := time.NewTimer(sweepEvery/2 + rand.N(sweepEvery))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		if err := d.sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
			d.log.WarnContext(ctx, "old records are not removed; it is tried again", "err", err)
		}
	}
}

// sweep removes what is too old at the given time.
func (d *DB) sweep(ctx context.Context, now time.Time) error {
	before := encodeTime(now.Add(-d.c.Keep))
	for _, table := range []string{"evaluation", "transition", "message"} {
		if err := d.sweepTable(ctx, table, before); err != nil {
			return fmt.Errorf("sqlite: sweep %s: %w", table, err)
		}
	}
	if err := d.sweepRetired(ctx); err != nil {
		return fmt.Errorf("sqlite: sweep rules and targets: %w", err)
	}
	return nil
}

// sweepTable walks a table from its oldest row to the first batch that holds nothing old.
// Rows are in the order of their commits, which is nearly that of their slots, so that no
// index of slots is needed. A message that the outbox still holds is passed over.
func (d *DB) sweepTable(ctx context.Context, table string, before int64) error {
	free := ""
	if table == "message" {
		free = ` AND id NOT IN (SELECT msg_id FROM ` + hotTable + `) AND id NOT IN (SELECT msg_id FROM ` + coldTable + `)`
	}
	window := `(SELECT n, slot FROM ` + table + ` WHERE n > ? ORDER BY n LIMIT ?)`
	for after := int64(0); ctx.Err() == nil; {
		var old int
		var end sql.NullInt64
		err := d.inTx(ctx, func(tx *sql.Tx) error {
			err := tx.QueryRowContext(ctx, `SELECT COUNT(CASE WHEN slot < ? THEN 1 END), MAX(n) FROM `+window, before, after, sweepBatch).Scan(&old, &end)
			if err != nil || old == 0 {
				return err //nolint:wrapcheck // wrapped by the caller
			}
			remove := `DELETE FROM ` + table + ` WHERE n IN (SELECT n FROM ` + window + ` WHERE slot < ?)` + free //nolint:gosec // names of our own
			_, err = tx.ExecContext(ctx, remove, after, sweepBatch, before)
			return err //nolint:wrapcheck // wrapped by the caller
		})
		if err != nil || old == 0 {
			return err
		}
		after = end.Int64
	}
	return nil
}

// sweepRetired removes rules and targets that others have left behind. They are measured
// against the newest of their kind and not against the clock, so that a monitor that was
// switched off for a month finds its alerts as it left them.
func (d *DB) sweepRetired(ctx context.Context) error {
	return d.inTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM rule WHERE slot < (SELECT MAX(slot) FROM rule) - ?`, int64(d.c.Keep))
		if err != nil {
			return err //nolint:wrapcheck // wrapped by the caller
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM target WHERE slot < (SELECT MAX(slot) FROM target) - ?`, int64(targetKept))
		if err != nil {
			return err //nolint:wrapcheck // wrapped by the caller
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM beat WHERE ? AND target NOT IN (SELECT target FROM target)`, true)
		return err //nolint:wrapcheck // wrapped by the caller
	})
}
