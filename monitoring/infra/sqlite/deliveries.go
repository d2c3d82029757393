package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// place is where a message is in the outbox.
type place uint8

const (
	placeGone place = iota // acknowledged, or skipped by an operator
	placeLive              // to be published
	placeDead              // a dead letter
)

// state says where a message stands. What its attempts came to and where it is in the outbox
// are written at different moments, by a relay that may die between them; the two together
// tell. That the sink has it beats everything else.
func state(result string, at place, attempts int) app.DeliveryState {
	switch {
	case result == string(app.AttemptDelivered):
		return app.DeliveryDelivered
	case at == placeDead:
		return app.DeliveryDead
	case at == placeLive && attempts > 0:
		return app.DeliveryRetrying
	case at == placeLive:
		return app.DeliveryWaiting
	case result == string(app.AttemptDeadLettered):
		return app.DeliveryDead // and then skipped by an operator
	default:
		return app.DeliveryDelivered // acknowledged; the end of the attempt was not recorded
	}
}

// deliveries reads messages with their attempts; rest is the query after FROM.
func (d *DB) deliveries(ctx context.Context, tx *sql.Tx, rest string, args ...any) ([]app.DeliveryView, error) {
	var out []app.DeliveryView
	var results, ids []string
	at := make(map[string]int) // by id, in hexadecimal
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var v app.DeliveryView
		var id, fingerprint []byte
		var slot int64
		var to string
		var result sql.NullString
		err := rows.Scan(&id, &v.Sink, &v.Ref.RuleID, &fingerprint, &slot, &to, &result)
		if err != nil {
			return err //nolint:wrapcheck // wrapped by the method that was called
		}
		if v.To, err = domain.ParsePhase(to); err != nil {
			return err
		}
		v.MessageID = app.FormatMessageID([16]byte(id))
		v.Slot = decodeTime(slot)
		copy(v.Ref.Fingerprint[:], fingerprint)
		key := hex.EncodeToString(id)
		at[key] = len(out)
		ids, results, out = append(ids, key), append(results, result.String), append(out, v)
		return nil
	}, `SELECT id, sink, rule_id, fingerprint, slot, to_phase, result FROM message `+rest, args...)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, fmt.Errorf("list of messages: %w", err)
	}
	err = each(ctx, tx, func(rows *sql.Rows) error {
		var id []byte
		var v app.AttemptView
		var begun, wait int64
		if err := rows.Scan(&id, &v.Number, &v.Replica, &begun, &v.Result, &v.Error, &wait, &v.Seconds); err != nil {
			return err //nolint:wrapcheck // wrapped by the method that was called
		}
		v.At, v.Wait = decodeTime(begun), time.Duration(wait)
		i := at[hex.EncodeToString(id)]
		out[i].Attempts = append(out[i].Attempts, v)
		return nil
	}, `SELECT message_id, number, replica, at, result, error, wait, seconds FROM
	(SELECT id, message_id, number, replica, at, result, error, wait, seconds, ROW_NUMBER() OVER (PARTITION BY message_id ORDER BY id DESC) AS back FROM attempt
		WHERE message_id IN (SELECT unhex(value) FROM json_each(?)))
WHERE back <= ? ORDER BY id`, string(list), attemptsShown)
	if err != nil {
		return nil, err
	}
	places, err := d.places(ctx, tx, string(list))
	if err != nil {
		return nil, err
	}
	for i, key := range ids {
		out[i].State = state(results[i], places[key], len(out[i].Attempts))
	}
	return out, nil
}
