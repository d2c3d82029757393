package outboxsql

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// setting is one setting of an engine and the values it may have.
type setting struct {
	name  string
	query string
	good  []string // allowed values; nil = all but bad
	bad   []string
	fix   string // what to do
}

// Check implements [outbox.Checker]: it returns an error if the tables are missing, of
// another version or made for another number of shards, or if a setting of the connection
// that it happens to get voids a promise of this package. It reads only.
func (s *Store) Check(ctx context.Context) error {
	if err := s.checkMeta(ctx, s.db); err != nil {
		return err
	}
	if s.read != s.db {
		if err := s.checkMeta(ctx, s.read); err != nil {
			return fmt.Errorf("Config.Reader, which must be a pool on the same database: %w", err)
		}
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return s.e.failed("check", err)
	}
	defer func() { _ = conn.Close() }()
	for _, set := range s.e.settings(s.relaxed) {
		var value string
		if err := conn.QueryRowContext(ctx, set.query).Scan(&value); err != nil {
			return s.e.failed("check "+set.name, err)
		}
		value = strings.ToLower(value)
		if slices.Contains(set.bad, value) || set.good != nil && !slices.Contains(set.good, value) {
			return fmt.Errorf("outboxsql: %s is %s: %s", set.name, value, set.fix)
		}
	}
	return nil
}
