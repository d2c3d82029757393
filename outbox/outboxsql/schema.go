package outboxsql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Schema returns the statements that make the tables, for a migration tool of one's own.
// They are harmless when repeated.
func Schema(d Dialect, c Config) (string, error) {
	e, _, err := c.engine(d)
	if err != nil {
		return "", err
	}
	return strings.Join(e.schema, ";\n\n") + ";\n", nil
}

// Migrate makes the tables if they are not there yet. It needs the right to define tables;
// nothing else does. Repeating it is fine, also from several processes at once. It returns
// an error if the tables are there with another number of shards.
func (s *Store) Migrate(ctx context.Context) error {
	for _, statement := range s.e.schema {
		if _, err := s.db.ExecContext(ctx, statement); err != nil {
			return s.e.failed("migrate", err)
		}
	}
	return s.checkMeta(ctx, s.db)
}

// queryer is what *sql.DB, *sql.Tx and *sql.Conn have in common.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// checkMeta returns an error unless the tables are there, of this version, with as many
// shards as configured.
func (s *Store) checkMeta(ctx context.Context, q queryer) error {
	table := s.names.table("_meta")
	meta := map[string]int{}
	err := each(ctx, q, s.e.meta, func(scan func(...any) error) error {
		var name string
		var value int
		err := scan(&name, &value)
		meta[name] = value
		return err
	})
	if err != nil {
		return s.e.failed(fmt.Sprintf("read table %s, which Migrate or the statements of Schema make", table), err)
	}
	switch version, shards := meta["version"], meta["shards"]; {
	case version == 0:
		return fmt.Errorf("outboxsql: table %s is incomplete; run Migrate or the statements of Schema", table)
	case version != schemaVersion:
		return fmt.Errorf("outboxsql: table %s has version %d, this package needs %d", table, version, schemaVersion)
	case shards != s.names.shards:
		return fmt.Errorf("outboxsql: Config.Shards is %d, but the tables were made for %d shards a lane (table %s): use that number everywhere",
			s.names.shards, shards, table)
	default:
		return nil
	}
}
