package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
)

// The tables of package outboxsql, read here and written there alone. The version of their
// form is checked by its Check when the file is opened.
const (
	hotTable  = "once_outbox"
	coldTable = "once_outbox_parked"
	coldDead  = "state >= 2"
)

// places says where messages are in the outbox; ids is a JSON list of hexadecimal ids. What
// is not in the answer is not in the outbox.
func (d *DB) places(ctx context.Context, tx *sql.Tx, ids string) (map[string]place, error) {
	out := make(map[string]place)
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var id []byte
		var dead bool
		if err := rows.Scan(&id, &dead); err != nil {
			return err //nolint:wrapcheck // wrapped by the method that was called
		}
		if key := hex.EncodeToString(id); dead {
			out[key] = placeDead
		} else {
			out[key] = placeLive
		}
		return nil
	}, `WITH wanted (id) AS MATERIALIZED (SELECT unhex(value) FROM json_each(?))
SELECT msg_id, 0 FROM `+hotTable+` WHERE msg_id IN wanted
UNION ALL SELECT msg_id, `+coldDead+` FROM `+coldTable+` WHERE msg_id IN wanted`, ids)
	return out, err
}
