package idemsql

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

// Check implements [idem.Checker]: it returns an error if the table is missing or of another
// version, or if a setting of the connection that it happens to get voids a promise of this
// package. It reads only.
func (s *Store) Check(ctx context.Context) error {
	if err := s.checkVersion(ctx); err != nil {
		return err
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
			return fmt.Errorf("idemsql: %s is %s: %s", set.name, value, set.fix)
		}
	}
	return nil
}
