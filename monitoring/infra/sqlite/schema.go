package sqlite

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
)

// What the header of the file says: whose it is, and in which form.
const (
	applicationID = 0x6f6e636d // "oncm"
	schemaVersion = 1
)

//go:embed schema.sql
var schema string

// migrate makes the tables in an empty file and refuses every file that is not the monitor's
// own, in this version. Several processes may do it at once.
func (d *DB) migrate(ctx context.Context) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return err //nolint:wrapcheck // explained by the caller
	}
	defer func() { _ = tx.Rollback() }()
	var id, version, tables int
	err = tx.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
	(SELECT user_version FROM pragma_user_version), (SELECT COUNT(*) FROM sqlite_schema)`).Scan(&id, &version, &tables)
	switch {
	case err != nil:
		return err //nolint:wrapcheck // explained by the caller
	case id == applicationID && version == schemaVersion:
		return nil
	case id == applicationID:
		return &openError{d.path, fmt.Sprintf("holds version %d of the monitor's tables and this program needs version %d; "+
			"run the program that it belongs to, or name another file", version, schemaVersion), nil}
	case id != 0 || version != 0 || tables > 0:
		return &openError{d.path, "is the SQLite database of another application; name another file", nil}
	}
	return d.create(ctx, tx)
}

func (d *DB) create(ctx context.Context, tx *sql.Tx) error {
	marks := fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d;", applicationID, schemaVersion)
	if _, err := tx.ExecContext(ctx, schema+marks); err != nil {
		return fmt.Errorf("make the tables: %w", err)
	}
	return tx.Commit() //nolint:wrapcheck // explained by the caller
}
