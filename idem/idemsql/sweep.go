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
		inside := s.within(tx)
		var now int64
		if err := tx.QueryRowContext(ctx, s.e.clock).Scan(&now); err != nil {
			return s.e.failed("sweep", err)
		}
		ended := now - s.e.tick.Microseconds() // one instant for both statements
		switch raised, err := inside.changed(ctx, "sweep", s.e.floor, ended, limit); {
		case err != nil:
			return err
		case !raised:
			return errors.New("idemsql: sweep: the table was not made by Migrate or the statements of Schema")
		}
		res, err := tx.ExecContext(ctx, s.e.sweep, ended, limit)
		if err != nil {
			return s.e.failed("sweep", err)
		}
		n, err = res.RowsAffected()
		return s.e.failed("sweep", err)
	})
	if err != nil {
		return 0, err
	}
	return int(n), nil
}
