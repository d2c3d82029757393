package outboxsql

import (
	"database/sql"
	"fmt"
)

// maxShards is how many shards a lane may have: those of 256 lanes fit a small integer.
const maxShards = 128

// Config is the configuration of a [Store] and a [Writer]; the zero value works. Both must
// be given the same.
type Config struct {
	// Prefix begins the tables' names, with a schema before a dot if need be. "" =
	// [DefaultPrefix]. The tables belong where the effects are that messages tell of: SQLite
	// commits to attached files one after the other.
	Prefix string
	// Shards is how many shards a lane has, and so how many relays can share its work. It
	// is recorded when the tables are made and must then stay as it is: whoever says
	// otherwise is refused. 0 = 8 on SQLite; at most 128.
	Shards int
	// Reader is a pool on the same database for looking for messages, so that this need not
	// queue for the connection that writes. It must see what was committed: not a replica.
	// nil = the store's own pool.
	Reader *sql.DB
	// Relaxed makes Check accept settings under which a power cut may undo the latest
	// commits, so that messages vanish which have been published, and messages return that
	// will be published again. false = complain.
	Relaxed bool
}

// engine returns the engine of d with its statements filled in, and the tables' names.
func (c *Config) engine(d Dialect) (engine, names, error) {
	e, ok := d.engine()
	if !ok {
		return engine{}, names{}, errDialect(d)
	}
	n, err := e.parsePrefix(c.Prefix)
	if err != nil {
		return engine{}, names{}, err
	}
	if c.Shards < 0 || c.Shards > maxShards {
		return engine{}, names{}, fmt.Errorf("outboxsql: Config.Shards is %d: it must be 1 to %d, or 0 for %d", c.Shards, maxShards, e.shards)
	}
	if n.shards = c.Shards; n.shards == 0 {
		n.shards = e.shards
	}
	return e.expand(n), n, nil
}
