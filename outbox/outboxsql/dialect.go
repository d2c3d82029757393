package outboxsql

import (
	"fmt"
	"slices"
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
func (d Dialect) engine() (engine, bool) {
	switch d {
	case SQLite:
		return sqlite(), true
	default:
		return engine{}, false
	}
}

// engine is what the code needs to know of a database: data, and nothing that runs by
// itself. Statements are templates; see [engine.expand]. "→" names what a query yields,
// "←" what it takes.
//
// Every statement that changes rows has a bind parameter and is harmless when it runs
// twice, but for those of a [Writer], which run in the caller's transaction.
type engine struct {
	name   string
	prefix int           // longest prefix, in bytes
	shards int           // of a lane, unless configured
	now    string        // the clock: an expression for microseconds since 1970, read at each statement
	tick   time.Duration // the clock's resolution
	rows   int           // so many rows a statement, at most
	schema []string      // each harmless when repeated
	lock   string        // first statement of a transaction: waits for the right to write, so that nothing later has to
	clock  string        // → now
	meta   string        // → name, value

	insert list   // hot messages ← (shard, id, topic, key, headers, payload)…, shards a lane
	delay  list   // delayed messages ← (ordinal, shard, id, topic, key, due, headers, payload)…, shards a lane
	draw   string // takes the Seqs that delay used ← how many

	pulse      string // → a number that a commit with messages changes
	lanes      string // → lanes that have messages
	found      list   // makes shards that are new ← (shard, lane)…
	held       string // → every shard: number, lane, owner, epoch, until
	seats      string // → relays that live after an instant: lane, owner ← instant
	sit        list   // ← (lane, owner, until)…
	vacate     string // removes the others ← instant
	stand      string // an owner leaves a lane ← owner, lane
	leave      string // an owner leaves every lane ← owner
	renew      string // ← until, owner
	take       list   // ← owner, until, shards…
	unskip     string // releases what an owner holds of a lane ← owner, lane
	release    list   // ← owner, (shard, epoch)…
	releaseAll string // ← owner

	fetch string // → a hot row ← shard, after, limit
	ack   list   // ← (shard, seq)…
	fence string // → 1 if the lease stands ← shard, epoch
	park  list   // hot to cold ← (seq, state, attempts, due, died, error)…, shard
	unhot list   // ← shard, seq…
	lead  list   // followers that have nobody ahead of them become heads ← shard, seq…

	heads     string // → seq, key, bytes: parked messages that are due and first of their key ← shard, limit
	followers list   // → key, seq, bytes, due: what is behind heads ← (key, seq)…, shard, limit a key
	parked    list   // → a parked row ← shard, seq…

	keys   list // → ordering keys ← shard, seq…
	remove list // live parked messages ← shard, seq…
	settle list // ← (seq, state, attempts, due, died, error)…, shard
	wake   list // the first of each key becomes a head ← (shard, key)…

	stats   string // → hot, parked, dead, age of the oldest hot one, of the oldest parked one ← count limit, thrice
	dead    string // → a dead letter ← {filter}, limit
	matches string // → shard, seq, key ← {filter}, limit
	redrive list   // makes them followers of their keys; wake comes after it ← seq…
	skip    list   // ← seq…

	settings func(relaxed bool) []setting // what Check looks at
	code     func(error) failure
}

// list is a statement over any number of rows.
type list struct{ before, row, after string }

// of returns the statement for n rows.
func (l list) of(n int) string {
	var b strings.Builder
	b.Grow(len(l.before) + n*(len(l.row)+2) + len(l.after))
	b.WriteString(l.before)
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(l.row)
	}
	b.WriteString(l.after)
	return b.String()
}

// failure says what an engine's error means.
type failure uint8

const (
	failureOther   failure = iota
	failureBusy            // a lock was not to be had: nothing was changed
	failureRefused         // the engine refused the statement or commit: nothing was changed
)

// expand returns e with its templates filled in: {hot}, {cold}, {shard}, {relay} and
// {meta} for the tables, {message} for the columns of a message and {now} for the clock;
// see [names.replacements] for the rest. {filter} stays.
func (e engine) expand(n names) engine {
	outer := strings.NewReplacer("{message}", messageColumns)
	inner := strings.NewReplacer(append(n.replacements(), "{now}", e.now)...)
	fill := func(s string) string { return inner.Replace(outer.Replace(s)) }
	e.schema = slices.Clone(e.schema)
	for i, s := range e.schema {
		e.schema[i] = fill(s)
	}
	for _, s := range []*string{
		&e.lock, &e.clock, &e.meta, &e.draw, &e.pulse, &e.lanes, &e.held, &e.seats, &e.vacate, &e.stand, &e.leave,
		&e.renew, &e.unskip, &e.releaseAll, &e.fetch, &e.fence, &e.heads, &e.stats, &e.dead, &e.matches,
	} {
		*s = fill(*s)
	}
	for _, l := range []*list{
		&e.insert, &e.delay, &e.found, &e.sit, &e.take, &e.release, &e.ack, &e.park, &e.unhot, &e.lead,
		&e.followers, &e.parked, &e.keys, &e.remove, &e.settle, &e.wake, &e.redrive, &e.skip,
	} {
		l.before, l.row, l.after = fill(l.before), fill(l.row), fill(l.after)
	}
	return e
}
