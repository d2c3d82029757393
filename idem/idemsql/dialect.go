package idemsql

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Dialect names a database engine. Its zero value is invalid, so that forgetting it is
// noticed.
type Dialect uint8

// SQLite is the dialect of SQLite 3.35 and newer, through any driver.
const SQLite Dialect = iota + 1

// String returns the engine's name.
func (d Dialect) String() string {
	if e, ok := d.engine(); ok {
		return e.name
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

// engine returns what is known of d.
func (d Dialect) engine() (*engine, bool) {
	switch d {
	case SQLite:
		return sqlite(), true
	default:
		return nil, false
	}
}

// engine is what the code needs to know of a database: data, and nothing that runs by
// itself. Statements are templates; see [engine.expand].
//
// Every statement that changes rows has a bind parameter and is harmless when it runs
// twice: drivers repeat what may have been applied, above all statements without arguments.
type engine struct {
	name   string
	tables int           // longest table name, in bytes
	now    string        // the clock: an expression for microseconds since 1970, read at each statement
	tick   time.Duration // the clock's resolution
	schema []string      // each harmless when repeated

	lock     string // first statement of a transaction: waits for the right to write, so that nothing later has to
	get      string // key → row, result
	insert   string // a new key → row, or nothing if the key exists
	restart  string // a key past retention → row, or nothing if it has changed since it was read
	takeOver string // likewise, a key that is free
	reclaim  string // likewise, a key that the claimer holds
	renew    string // changes nothing if the lease is lost
	complete string // → row, or nothing if the lease is lost
	release  string // changes nothing if the lease is lost or given up
	forget   string // likewise
	remove   string // a key in whatever state
	resolve  string // → row, or nothing if it has changed since it was read
	list     string // → row, key
	clock    string // → now
	floor    string // raises the floor of new keys' fences to what sweep removes
	sweep    string // removes what has ended
	version  string // → version of the schema

	savepoint, rollbackTo, releaseSavepoint string

	settings func(relaxed bool) []setting // what Check looks at
	code     func(error) failure
}

// failure says what an engine's error means.
type failure uint8

const (
	failureOther    failure = iota
	failureBusy             // a lock was not to be had: nothing was changed
	failureRefused          // the engine refused the statement or commit: nothing was changed
	failureTooLarge         // a value exceeds the engine's limits: nothing was changed
)

// rowColumns are what [row.dest] takes, times relative to the statement's clock.
const rowColumns = `phase, token, fence, rev, attempt, fingerprint, progress_seq, progress,
	lease_until - {now}, keep_until - {now}, {now} - created`

// expand returns e with its templates filled in: {table}, {bare} and {index} for names,
// {now} for the clock, {row} for the columns of a row, {live} for "its retention is not
// over" and {alive} for "its lease is not over".
func (e *engine) expand(t table) *engine {
	tick := strconv.FormatInt(e.tick.Microseconds(), 10)
	// Two passes, because a replacement is not itself looked into.
	outer := strings.NewReplacer("{row}", rowColumns,
		"{live}", "keep_until > {now} - "+tick, "{alive}", "lease_until > {now} - "+tick)
	inner := strings.NewReplacer("{table}", t.qualified, "{bare}", t.bare, "{index}", t.index, "{now}", e.now)
	fill := func(s string) string { return inner.Replace(outer.Replace(s)) }
	full := *e
	full.schema = make([]string, len(e.schema))
	for i, s := range e.schema {
		full.schema[i] = fill(s)
	}
	for _, s := range []*string{
		&full.lock, &full.get, &full.insert, &full.restart, &full.takeOver, &full.reclaim, &full.renew, &full.complete,
		&full.release, &full.forget, &full.remove, &full.resolve, &full.list, &full.clock, &full.floor, &full.sweep, &full.version,
	} {
		*s = fill(*s)
	}
	return &full
}
