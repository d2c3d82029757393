package idemsql

import (
	"context"
	"fmt"
	"strings"
)

// schemaVersion is the version of the table that this package reads and writes.
const schemaVersion = 1

// Schema returns the statements that make the table, for a migration tool of one's own.
// They are harmless when repeated. An empty table name is [DefaultTable].
func Schema(d Dialect, table string) (string, error) {
	e, ok := d.engine()
	if !ok {
		return "", errDialect(d)
	}
	t, err := e.parseTable(table)
	if err != nil {
		return "", err
	}
	return strings.Join(e.expand(t).schema, ";\n\n") + ";\n", nil
}

// Migrate makes the table if it is not there yet. It needs the right to define tables;
// nothing else does. Repeating it is fine, also from several processes at once.
func (s *Store) Migrate(ctx context.Context) error {
	for _, statement := range s.e.schema {
		if _, err := s.db.ExecContext(ctx, statement); err != nil {
			return s.e.failed("migrate", err)
		}
	}
	return s.checkVersion(ctx)
}

func (s *Store) checkVersion(ctx context.Context) error {
	var version int
	if err := s.db.QueryRowContext(ctx, s.e.version).Scan(&version); err != nil {
		return fmt.Errorf("idemsql: read the schema's version from table %s, which Migrate or the statements of Schema make: %w", s.table.qualified, err)
	}
	if version != schemaVersion {
		return fmt.Errorf("idemsql: table %s has version %d, this package needs %d", s.table.qualified, version, schemaVersion)
	}
	return nil
}
