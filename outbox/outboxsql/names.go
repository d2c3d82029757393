package outboxsql

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// DefaultPrefix begins the tables' names unless [Config] says otherwise.
const DefaultPrefix = "once_outbox"

// schemaVersion is the version of the tables that this package reads and writes.
const schemaVersion = 1

// names are what the templates of an engine are filled in with.
type names struct {
	schema string // "" or quoted, with a dot
	prefix string
	shards int
}

// parsePrefix checks prefix against the grammar [schema.]name, both of letters, digits and
// underscores. "" is DefaultPrefix.
func (e engine) parsePrefix(prefix string) (names, error) {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	schema, bare, qualified := strings.Cut(prefix, ".")
	if !qualified {
		schema, bare = "", prefix
	}
	word := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	switch {
	case !word.MatchString(bare), qualified && !word.MatchString(schema):
		return names{}, fmt.Errorf("outboxsql: Config.Prefix %q: want letters, digits and underscores, not a digit first, with a schema before a dot at most", prefix)
	case len(bare) > e.prefix, len(schema) > e.prefix:
		return names{}, fmt.Errorf("outboxsql: Config.Prefix %q: longer than %d bytes", prefix, e.prefix)
	case strings.HasPrefix(strings.ToLower(bare), "sqlite_"):
		return names{}, fmt.Errorf("outboxsql: Config.Prefix %q: SQLite keeps the prefix sqlite_ for itself", prefix)
	}
	if qualified {
		schema = `"` + schema + `".`
	}
	return names{schema: schema, prefix: bare}, nil
}

// replacements are pairs of a marker and what it stands for.
func (n names) replacements() []string {
	bare := func(suffix string) string { return `"` + n.prefix + suffix + `"` }
	pairs := []string{
		// SQLite takes names in whatever case, but writes this one down as it was first given.
		"{master}", n.schema + "sqlite_master", "{sequence}", n.schema + "sqlite_sequence", "{named}", "name = '" + n.prefix + "' COLLATE NOCASE",
		"{shards}", strconv.Itoa(n.shards), "{version}", strconv.Itoa(schemaVersion),
		"{.hot}", bare(""), "{.cold}", bare("_parked"),
		"{hot.index}", n.schema + bare("_by_shard"),
	}
	for _, table := range [][2]string{
		{"hot", ""}, {"cold", "_parked"}, {"shard", "_shard"}, {"relay", "_relay"}, {"meta", "_meta"},
	} {
		pairs = append(pairs, "{"+table[0]+"}", n.schema+bare(table[1]))
	}
	for _, index := range []string{"due", "key", "since", "dead"} {
		pairs = append(pairs, "{cold."+index+"}", n.schema+bare("_parked_"+index))
	}
	return pairs
}

// table is a table's name for an error, after the prefix.
func (n names) table(suffix string) string { return n.schema + `"` + n.prefix + suffix + `"` }
