package idemsql

import (
	"context"
	"database/sql"
	"errors"
)

// Sweep implements [idem.Sweeper]. The records it removes leave their greatest fence behind,
// so that the fence of a key grows even if the clock is set back.
func (s *Store) Sweep(ctx context.Context, limit int) (int, error) {
	if limit <= 0 {
		return 0, nil
	}
	var n int64
	err := s.InTx(ctx, func(tx *sql.Tx) error {
		var now int64
		if err := tx.QueryRowContext(ctx, s.e.clock).Scan(&now); err != nil {
			return err
		}
		ended := now - s.e.tick.Microseconds() // one instant for both statements
		res, err := tx.ExecContext(ctx, s.e.floor, ended, limit)
		if err != nil {
			return err
		}
		if raised, err := res.RowsAffected(); err != nil || raised == 0 {
			return errors.Join(errors.New("the table was not made by Migrate or the statements of Schema"), err)
		}
		if res, err = tx.ExecContext(ctx, s.e.sweep, ended, limit); err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	if err != nil {
		return 0, s.e.failed("sweep", err)
	}
	return int(n), nil
}
