package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"example.com/once/monitoring/app"
)

// Limits of what is kept of attempts: a sink may be away for days, and is tried all the time.
const (
	attemptsKept  = 1000 // of one message, the latest
	attemptsShown = 100
	maxErrorText  = 2000 // bytes
)

// Begin implements [app.AttemptLog].
func (d *DB) Begin(ctx context.Context, a app.Attempt) (int64, error) {
	var id int64
	err := d.inTx(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `INSERT INTO attempt (message_id, sink, number, replica, at, result) VALUES (?, ?, ?, ?, ?, ?) RETURNING id`,
			a.MessageID[:], a.Sink, a.Number, a.Replica, encodeTime(a.At), app.AttemptRunning).Scan(&id)
		if err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		// Tried again: an operator has brought it back from the dead.
		_, err = tx.ExecContext(ctx, `UPDATE message SET result = NULL WHERE id = ? AND result = ?`, a.MessageID[:], app.AttemptDeadLettered)
		if err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM attempt WHERE message_id = ?1 AND id <=
	(SELECT id FROM attempt WHERE message_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)`, a.MessageID[:], attemptsKept)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return 0, fmt.Errorf("sqlite: begin an attempt at message %s: %w", app.FormatMessageID(a.MessageID), err)
	}
	return id, nil
}

// End implements [app.AttemptLog]. A message that has been delivered stays so, whatever
// later attempts come to. An id that is not there gives [app.ErrNotFound].
func (d *DB) End(ctx context.Context, id int64, e app.AttemptEnd) error {
	switch e.Result {
	case app.AttemptDelivered, app.AttemptFailed, app.AttemptDeadLettered:
	case app.AttemptRunning:
		fallthrough
	default:
		return fmt.Errorf("sqlite: end of attempt %d: Result is %q; want %q, %q or %q", id, e.Result,
			app.AttemptDelivered, app.AttemptFailed, app.AttemptDeadLettered)
	}
	err := d.inTx(ctx, func(tx *sql.Tx) error {
		var message []byte
		err := tx.QueryRowContext(ctx, `UPDATE attempt SET result = ?, error = ?, wait = ?, seconds = ? WHERE id = ? RETURNING message_id`,
			e.Result, cut(e.Error), int64(e.Wait), e.Seconds, id).Scan(&message)
		if err != nil {
			return notFound(err)
		}
		if e.Result == app.AttemptFailed {
			return nil
		}
		_, err = tx.ExecContext(ctx, `UPDATE message SET result = ? WHERE id = ? AND result IS NOT ?`, e.Result, message, app.AttemptDelivered)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return fmt.Errorf("sqlite: end of attempt %d: %w", id, err)
	}
	return nil
}

// cut bounds a text that a sink may have had a hand in.
func cut(text string) string {
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + " [cut off]"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
