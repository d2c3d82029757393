package idemsql

import (
	"fmt"
	"regexp"
	"strings"
)

// DefaultTable is the table's name unless [Config] or [Schema] is given another.
const DefaultTable = "once_idem"

// table holds the names that statements are filled in with, quoted.
type table struct {
	qualified string // with the schema, if one was given
	bare      string
	index     string // of the sweep
}

// parseTable checks name against the grammar [schema.]name, both of letters, digits and
// underscores, and quotes it. "" is DefaultTable.
func (e *engine) parseTable(name string) (table, error) {
	if name == "" {
		name = DefaultTable
	}
	schema, bare, qualified := strings.Cut(name, ".")
	if !qualified {
		schema, bare = "", name
	}
	word := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	switch {
	case !word.MatchString(bare), qualified && !word.MatchString(schema):
		return table{}, fmt.Errorf("idemsql: table name %q: want letters, digits and underscores, not a digit first, with a schema before a dot at most", name)
	case len(bare) > e.tables, len(schema) > e.tables:
		return table{}, fmt.Errorf("idemsql: table name %q: longer than %d bytes", name, e.tables)
	}
	if strings.HasPrefix(strings.ToLower(bare), "sqlite_") {
		return table{}, fmt.Errorf("idemsql: table name %q: SQLite keeps the prefix sqlite_ for itself", name)
	}
	prefix := ""
	if qualified {
		prefix = `"` + schema + `".`
	}
	return table{
		qualified: prefix + `"` + bare + `"`,
		bare:      `"` + bare + `"`,
		index:     prefix + `"` + bare + `_keep"`,
	}, nil
}
