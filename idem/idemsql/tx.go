package idemsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"example.com/once/idem"
)

// InTx implements [idem.TxStore]. The transaction has the right to write from its start, so
// that it never fails for having read first. An error of the commit matches [idem.ErrUnknown]
// unless the engine said that it refused. So does fn's ending the transaction by itself.
func (s *Store) InTx(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.e.failed("begin", err)
	}
	defer func() { _ = tx.Rollback() }() // also when fn panics; after a commit it does nothing
	inside := s.within(tx)
	if err := inside.lock(ctx); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		if errors.Is(tx.Rollback(), sql.ErrTxDone) && ctx.Err() == nil {
			return fmt.Errorf("%w: idemsql: the function ended the transaction by itself: %w", idem.ErrUnknown, err)
		}
		return err
	}
	// Past this check, an error of the context leaves open whether the commit was sent.
	if err := ctx.Err(); err != nil {
		return s.e.failed("commit", err)
	}
	if err := tx.Commit(); err != nil {
		switch s.e.code(err) {
		case failureBusy, failureRefused:
			return &unchangedError{s.e.failed("commit", err)}
		default:
			return fmt.Errorf("%w: idemsql: commit: %w", idem.ErrUnknown, err)
		}
	}
	return nil
}

// With implements [idem.TxStore]. What is returned implements [idem.Savepointer].
func (s *Store) With(tx *sql.Tx) idem.Store { return &txRecords{s.within(tx)} }

func (s *Store) within(tx *sql.Tx) records {
	return records{e: s.e, read: tx, write: tx, inTx: true}
}

// lock makes the first statement of a transaction one that waits for the right to write.
// Where it is not the first, it does nothing. Outside of transactions nothing is to be done.
func (s *records) lock(ctx context.Context) error {
	if !s.inTx || s.e.lock == "" {
		return nil
	}
	_, err := s.write.ExecContext(ctx, s.e.lock, []byte{})
	return s.e.failed("lock", err)
}

// txRecords are the records inside a transaction.
type txRecords struct{ records }

var _ idem.Savepointer = (*txRecords)(nil)

// Savepoint implements [idem.Savepointer]. If what fn wrote cannot be undone, the error does
// not match fn's: the transaction must then be rolled back.
func (s *txRecords) Savepoint(ctx context.Context, fn func(context.Context) error) error {
	if _, err := s.write.ExecContext(ctx, s.e.savepoint); err != nil {
		return s.e.failed("savepoint", err)
	}
	settled := context.WithoutCancel(ctx) // undoing is not optional
	returned := false
	defer func() {
		if !returned { // fn panicked or ended its goroutine, which goes on whatever comes of the undoing
			_ = s.undo(settled)
		}
	}()
	failure := fn(ctx)
	returned = true
	if failure != nil {
		if err := s.undo(settled); err != nil {
			return fmt.Errorf("after %v: %w", failure, err) //nolint:errorlint // must not match fn's error, see above
		}
		return failure
	}
	_, err := s.write.ExecContext(settled, s.e.releaseSavepoint)
	return s.e.failed("release the savepoint", err)
}

// undo takes back what was written since the savepoint, and ends it.
func (s *txRecords) undo(ctx context.Context) error {
	if _, err := s.write.ExecContext(ctx, s.e.rollbackTo); err != nil {
		return s.e.failed("undo to the savepoint", err)
	}
	_, err := s.write.ExecContext(ctx, s.e.releaseSavepoint)
	return s.e.failed("release the savepoint", err)
}
