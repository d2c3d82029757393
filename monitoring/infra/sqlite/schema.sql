-- The state of each rule: set, never counted up.
CREATE TABLE rule (
	rule_id TEXT    NOT NULL PRIMARY KEY,
	slot    INTEGER NOT NULL, -- latest slot evaluated
	state   TEXT    NOT NULL, -- its alerts, as JSON
	pending INTEGER NOT NULL, -- how many of them are pending
	firing  INTEGER NOT NULL  -- how many of them fire
) STRICT;

-- One row for each rule and slot that was evaluated.
CREATE TABLE evaluation (
	n            INTEGER PRIMARY KEY, -- in the order of commits
	rule_id      TEXT    NOT NULL,
	slot         INTEGER NOT NULL,
	revision     TEXT    NOT NULL,
	replica      TEXT    NOT NULL,
	input        BLOB    NOT NULL, -- samples used, as JSON, packed by zlib if it is long
	alerts       INTEGER NOT NULL, -- in the state after it
	failure      TEXT    NOT NULL, -- '' if there was none
	missed       INTEGER NOT NULL, -- slots just before it that nobody evaluated
	missed_first INTEGER,
	missed_last  INTEGER,
	at           INTEGER NOT NULL,
	UNIQUE (rule_id, slot)
) STRICT;

-- One row for each rule, slot and alert that changed its phase in it.
CREATE TABLE transition (
	n           INTEGER PRIMARY KEY,
	rule_id     TEXT    NOT NULL,
	fingerprint BLOB    NOT NULL,
	slot        INTEGER NOT NULL,
	from_phase  TEXT    NOT NULL,
	to_phase    TEXT    NOT NULL,
	labels      TEXT    NOT NULL,
	annotations TEXT    NOT NULL,
	value       TEXT    NOT NULL, -- SQLite's numbers have no NaN
	active_at   INTEGER NOT NULL,
	revision    TEXT    NOT NULL,
	replica     TEXT    NOT NULL,
	UNIQUE (rule_id, fingerprint, slot)
) STRICT;

-- One row for each message ever put into the outbox. The outbox forgets a message that is
-- acknowledged; this table does not.
CREATE TABLE message (
	n           INTEGER PRIMARY KEY,
	id          BLOB    NOT NULL UNIQUE,
	sink        TEXT    NOT NULL,
	rule_id     TEXT    NOT NULL,
	fingerprint BLOB    NOT NULL,
	slot        INTEGER NOT NULL,
	to_phase    TEXT    NOT NULL,
	result      TEXT    CHECK (result IN ('delivered', 'dead-lettered')) -- what its attempts came to; NULL = nothing yet
) STRICT;
CREATE INDEX message_of ON message (rule_id, fingerprint, slot);
CREATE INDEX message_dead ON message (id) WHERE result = 'dead-lettered';

CREATE TABLE attempt (
	id         INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, since it is a handle
	message_id BLOB    NOT NULL,
	sink       TEXT    NOT NULL,
	number     INTEGER NOT NULL,
	replica    TEXT    NOT NULL,
	at         INTEGER NOT NULL,
	result     TEXT    NOT NULL,
	error      TEXT    NOT NULL DEFAULT '',
	wait       INTEGER NOT NULL DEFAULT 0, -- nanoseconds
	seconds    REAL    NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX attempt_of ON attempt (message_id, id);

CREATE TABLE target (
	target TEXT    NOT NULL PRIMARY KEY,
	slot   INTEGER NOT NULL,
	up     INTEGER NOT NULL,
	status TEXT    NOT NULL -- of the latest fetch, as JSON
) STRICT;

CREATE TABLE beat (
	target  TEXT    NOT NULL,
	slot    INTEGER NOT NULL,
	up      INTEGER NOT NULL,
	seconds REAL    NOT NULL,
	PRIMARY KEY (target, slot)
) STRICT, WITHOUT ROWID;

-- How many rows there are, so that a page that shows it need not count millions. The
-- triggers move a count in the statement that adds the row, and no identity can be added twice.
CREATE TABLE tally (
	name TEXT    NOT NULL PRIMARY KEY,
	n    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO tally (name, n) VALUES ('evaluations', 0), ('missed', 0), ('transitions', 0),
	('messages', 0), -- ever written
	('attempts', 0), -- ever begun
	('dead', 0);     -- given up and swept since

CREATE TRIGGER evaluation_added AFTER INSERT ON evaluation BEGIN
	UPDATE tally SET n = n + 1 WHERE name = 'evaluations';
	UPDATE tally SET n = n + NEW.missed WHERE name = 'missed' AND NEW.missed > 0;
END;
CREATE TRIGGER evaluation_swept AFTER DELETE ON evaluation BEGIN
	UPDATE tally SET n = n - 1 WHERE name = 'evaluations';
	UPDATE tally SET n = n - OLD.missed WHERE name = 'missed' AND OLD.missed > 0;
END;
CREATE TRIGGER transition_added AFTER INSERT ON transition BEGIN
	UPDATE tally SET n = n + 1 WHERE name = 'transitions';
END;
CREATE TRIGGER transition_swept AFTER DELETE ON transition BEGIN
	UPDATE tally SET n = n - 1 WHERE name = 'transitions';
END;
CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
	UPDATE tally SET n = n + 1 WHERE name = 'messages';
END;
CREATE TRIGGER message_swept AFTER DELETE ON message BEGIN
	DELETE FROM attempt WHERE message_id = OLD.id;
	UPDATE tally SET n = n + 1 WHERE name = 'dead' AND OLD.result = 'dead-lettered';
END;
CREATE TRIGGER attempt_added AFTER INSERT ON attempt BEGIN
	UPDATE tally SET n = n + 1 WHERE name = 'attempts';
END;
