package outboxsql

import "time"

// sqlite is the SQLite engine. Its clock is the host's, read by SQLite, to the millisecond:
// julianday and unixepoch('subsec') both stop there. It is read anew at each statement.
//
// SQLite has one writer at a time, and AUTOINCREMENT never goes back, not even when the
// table is empty. So a message becomes visible after all that have a lower Seq.
func sqlite() engine {
	const (
		two      = `(?, ?)`
		six      = `(?, ?, ?, ?, ?, ?)`
		values   = `) AS v`
		since    = `MAX(created, COALESCE(not_before, created))`
		keyed    = `msg_key <> '' AND not_before IS NULL`
		orderKey = `CASE WHEN ` + keyed + ` THEN msg_key ELSE '' END`
		// holds says that a row keeps later ones of its key waiting, in the words of the index.
		holds = keyed + ` AND state <> 2`
		// first says that nobody of its key is ahead of c.
		first = `NOT EXISTS (SELECT 1 FROM {cold} WHERE shard = c.shard AND msg_key = c.msg_key AND c.not_before IS NULL AND seq < c.seq AND ` + holds + `)`
	)
	return engine{
		name:   "SQLite",
		prefix: 48,
		shards: 8,
		now:    `CAST((julianday('now') - 2440587.5) * 86400000.0 + 0.5 AS INTEGER) * 1000`,
		tick:   time.Millisecond,
		rows:   200,
		schema: []string{
			`CREATE TABLE IF NOT EXISTS {hot} (
	seq     INTEGER PRIMARY KEY AUTOINCREMENT,
	shard   INTEGER NOT NULL, -- lane * shards a lane + hash of the key
	msg_id  BLOB    NOT NULL,
	created INTEGER NOT NULL, -- microseconds since 1970, as all times
	topic   TEXT    NOT NULL,
	msg_key TEXT    NOT NULL, -- '' = none
	headers BLOB,
	payload BLOB
)`,
			`CREATE INDEX IF NOT EXISTS {hot.index} ON {.hot} (shard, seq)`,
			`CREATE TABLE IF NOT EXISTS {cold} (
	seq        INTEGER PRIMARY KEY, -- from the same sequence
	shard      INTEGER NOT NULL,
	state      INTEGER NOT NULL, -- 0 to be tried when due, 1 behind another of its key, 2 dead, 3 dead and its key waits
	attempts   INTEGER NOT NULL,
	due        INTEGER NOT NULL,
	died       INTEGER,
	not_before INTEGER, -- set on delayed messages
	msg_id     BLOB    NOT NULL,
	created    INTEGER NOT NULL,
	topic      TEXT    NOT NULL,
	msg_key    TEXT    NOT NULL,
	last_error TEXT,
	headers    BLOB,
	payload    BLOB
)`,
			`CREATE INDEX IF NOT EXISTS {cold.due} ON {.cold} (shard, due) WHERE state = 0`,
			`CREATE INDEX IF NOT EXISTS {cold.key} ON {.cold} (shard, msg_key, seq) WHERE ` + holds,
			`CREATE INDEX IF NOT EXISTS {cold.since} ON {.cold} (` + since + `, state) WHERE state < 2`,
			`CREATE INDEX IF NOT EXISTS {cold.dead} ON {.cold} (shard, seq, state) WHERE state >= 2`,
			`CREATE TABLE IF NOT EXISTS {shard} (
	shard INTEGER PRIMARY KEY,
	lane  INTEGER NOT NULL,
	owner TEXT, -- NULL = free
	epoch INTEGER NOT NULL DEFAULT 0, -- grows with every change of owner
	until INTEGER NOT NULL DEFAULT 0
)`,
			`CREATE TABLE IF NOT EXISTS {relay} (
	lane  INTEGER NOT NULL,
	owner TEXT    NOT NULL,
	until INTEGER NOT NULL,
	PRIMARY KEY (lane, owner)
) WITHOUT ROWID`,
			`CREATE TABLE IF NOT EXISTS {meta} (
	name  TEXT    NOT NULL PRIMARY KEY,
	value INTEGER NOT NULL
) WITHOUT ROWID`,
			`INSERT INTO {sequence} (name, seq) SELECT name, 0 FROM {master}
WHERE type = 'table' AND {named} AND NOT EXISTS (SELECT 1 FROM {sequence} WHERE {named})`,
			`INSERT INTO {meta} (name, value) VALUES ('shards', {shards}) ON CONFLICT (name) DO NOTHING`,
			`INSERT INTO {meta} (name, value) VALUES ('version', {version}) ON CONFLICT (name) DO NOTHING`,
		},

		// The constant condition keeps it from changing anything, not from taking the lock.
		lock:  `DELETE FROM {meta} WHERE name = ? AND 1 = 0`,
		clock: `SELECT {now}`,
		meta:  `SELECT name, value FROM {meta}`,

		insert: list{
			`INSERT INTO {hot} (shard, msg_id, created, topic, msg_key, headers, payload)
SELECT column1, column2, {now}, column3, column4, column5, column6 FROM (VALUES `, six, `)
WHERE (SELECT value FROM {meta} WHERE name = 'shards') = ?`,
		},
		// The sequence of an AUTOINCREMENT column is a table like any other.
		delay: list{
			`INSERT INTO {cold} (seq, shard, state, attempts, due, msg_id, created, topic, msg_key, headers, payload, not_before)
SELECT s.seq + v.column1, v.column2, 0, 0, v.column6, v.column3, {now}, v.column4, v.column5, v.column7, v.column8, v.column6 FROM (VALUES `,
			`(?, ?, ?, ?, ?, ?, ?, ?)`, values + `, {sequence} AS s
WHERE s.{named} AND (SELECT value FROM {meta} WHERE name = 'shards') = ?`,
		},
		draw:  `UPDATE {sequence} SET seq = seq + ? WHERE {named}`,
		pulse: `SELECT seq FROM {sequence} WHERE {named}`,

		// From lane to lane by the index, not row by row.
		lanes: `WITH RECURSIVE
hot(shard) AS (SELECT MIN(shard) FROM {hot} UNION ALL
	SELECT (SELECT MIN(shard) FROM {hot} WHERE shard >= (hot.shard / {shards} + 1) * {shards}) FROM hot WHERE hot.shard IS NOT NULL),
cold(shard) AS (SELECT MIN(shard) FROM {cold} WHERE state = 0 UNION ALL
	SELECT (SELECT MIN(shard) FROM {cold} WHERE state = 0 AND shard >= (cold.shard / {shards} + 1) * {shards}) FROM cold WHERE cold.shard IS NOT NULL)
SELECT shard / {shards} FROM hot WHERE shard IS NOT NULL UNION SELECT shard / {shards} FROM cold WHERE shard IS NOT NULL`,
		found:  list{`INSERT INTO {shard} (shard, lane) VALUES `, two, ` ON CONFLICT (shard) DO NOTHING`},
		held:   `SELECT shard, lane, COALESCE(owner, ''), epoch, until FROM {shard} ORDER BY shard`,
		seats:  `SELECT lane, owner FROM {relay} WHERE until > ?`,
		sit:    list{`INSERT INTO {relay} (lane, owner, until) VALUES `, `(?, ?, ?)`, ` ON CONFLICT (lane, owner) DO UPDATE SET until = excluded.until`},
		vacate: `DELETE FROM {relay} WHERE until <= ?`,
		stand:  `DELETE FROM {relay} WHERE owner = ? AND lane = ?`,
		leave:  `DELETE FROM {relay} WHERE owner = ?`,
		renew:  `UPDATE {shard} SET until = ? WHERE owner = ?`,
		take:   list{`UPDATE {shard} SET owner = ?, until = ?, epoch = epoch + 1 WHERE shard IN (`, `?`, `)`},
		unskip: `UPDATE {shard} SET owner = NULL WHERE owner = ? AND lane = ?`,
		release: list{
			`UPDATE {shard} SET owner = NULL WHERE owner = ? AND (shard, epoch) IN (VALUES `, two, `)`,
		},
		releaseAll: `UPDATE {shard} SET owner = NULL WHERE owner = ?`,

		fetch: `SELECT {message}, NULL, 0, EXISTS (SELECT 1 FROM {cold}
	WHERE shard = m.shard AND msg_key = m.msg_key AND ` + holds + `)
FROM {hot} AS m WHERE m.shard = ? AND m.seq > ? ORDER BY m.seq LIMIT ?`,
		ack: list{
			`DELETE FROM {hot} WHERE seq IN (SELECT h.seq FROM (VALUES `, two, values + ` CROSS JOIN {hot} AS h
	ON h.seq = v.column2 AND h.shard = v.column1)`,
		},
		fence: `SELECT 1 FROM {shard} WHERE shard = ? AND epoch = ? AND owner IS NOT NULL`,
		park: list{
			`INSERT INTO {cold} (seq, shard, state, attempts, due, died, last_error, msg_id, created, topic, msg_key, headers, payload)
SELECT m.seq, m.shard, v.column2, v.column3, v.column4, v.column5, v.column6,
	m.msg_id, m.created, m.topic, m.msg_key, m.headers, m.payload FROM (VALUES `, six, values + ` CROSS JOIN {hot} AS m
	ON m.seq = v.column1 WHERE m.shard = ?`,
		},
		unhot: list{`DELETE FROM {hot} WHERE shard = ? AND seq IN (`, `?`, `)`},
		lead: list{
			`UPDATE {cold} AS c SET state = 0 WHERE state = 1 AND shard = ? AND seq IN (`, `?`, `) AND ` + first,
		},

		heads: `SELECT seq, ` + orderKey + `, COALESCE(LENGTH(payload), 0) FROM {cold} AS c
WHERE shard = ? AND state = 0 AND due <= {now} AND ` + first + `
ORDER BY due LIMIT ?`,
		followers: list{
			`SELECT v.column1, f.seq, COALESCE(LENGTH(f.payload), 0), f.state <= 1 AND f.due <= {now} FROM (VALUES `, two, values + `
CROSS JOIN {cold} AS f ON f.seq IN (SELECT seq FROM {cold}
	WHERE shard = ? AND msg_key = v.column1 AND seq > v.column2 AND ` + holds + ` ORDER BY seq LIMIT ?)
ORDER BY v.column1, f.seq`,
		},
		parked: list{
			`SELECT {message}, m.not_before, m.attempts, m.state <= 1 AND m.due <= {now} FROM {cold} AS m WHERE m.shard = ? AND m.seq IN (`, `?`, `)`,
		},

		keys: list{
			`SELECT DISTINCT msg_key FROM {cold} WHERE shard = ? AND ` + holds + ` AND seq IN (`, `?`, `)`,
		},
		remove: list{`DELETE FROM {cold} WHERE shard = ? AND state <= 1 AND seq IN (`, `?`, `)`},
		settle: list{
			`UPDATE {cold} AS c SET state = v.column2, attempts = v.column3, due = v.column4, died = v.column5,
	last_error = COALESCE(v.column6, c.last_error) FROM (VALUES `, six, values + `
WHERE c.seq = v.column1 AND c.shard = ? AND c.state <= 1`,
		},
		wake: list{
			`UPDATE {cold} SET state = 0 WHERE state = 1 AND seq IN (SELECT (SELECT MIN(seq) FROM {cold}
	WHERE shard = k.column1 AND msg_key = k.column2 AND ` + holds + `) FROM (VALUES `,
			two, `) AS k)`,
		},

		stats: `SELECT
	(SELECT COUNT(*) FROM (SELECT shard FROM {hot} LIMIT ?)),
	(SELECT COUNT(*) FROM (SELECT state FROM {cold} WHERE state < 2 LIMIT ?)),
	(SELECT COUNT(*) FROM (SELECT shard FROM {cold} WHERE state >= 2 LIMIT ?)),
	{now} - (SELECT created FROM {hot} ORDER BY seq LIMIT 1),
	{now} - (SELECT ` + since + ` FROM {cold} WHERE state < 2 ORDER BY ` + since + ` LIMIT 1)`,
		dead: `SELECT {message}, m.not_before, m.attempts, m.state = 3, m.last_error, m.died FROM {cold} AS m
WHERE m.state >= 2{filter} ORDER BY m.shard, m.seq LIMIT ?`,
		matches: `SELECT m.shard, m.seq, ` + orderKey + ` FROM {cold} AS m
WHERE m.state >= 2{filter} ORDER BY m.shard, m.seq LIMIT ?`,
		redrive: list{
			`UPDATE {cold} SET state = CASE WHEN ` + keyed + ` THEN 1 ELSE 0 END, attempts = 0, due = {now}, died = NULL
WHERE state >= 2 AND seq IN (`, `?`, `)`,
		},
		skip: list{`DELETE FROM {cold} WHERE state >= 2 AND seq IN (`, `?`, `)`},

		settings: sqliteSettings,
		code:     sqliteFailure,
	}
}
