package outboxsql_test

import (
	"fmt"
	"strings"

	"example.com/once/outbox/outboxsql"
)

// The statements for a migration tool, here of an outbox with names of its own.
func ExampleSchema() {
	ddl, err := outboxsql.Schema(outboxsql.SQLite, outboxsql.Config{Prefix: "mail", Shards: 16})
	if err != nil {
		fmt.Println(err)
		return
	}
	for statement := range strings.SplitSeq(ddl, ";\n\n") {
		first, _, _ := strings.Cut(statement, "\n")
		fmt.Println(first)
	}
	// Output:
	// CREATE TABLE IF NOT EXISTS "mail" (
	// CREATE INDEX IF NOT EXISTS "mail_by_shard" ON "mail" (shard, seq)
	// CREATE TABLE IF NOT EXISTS "mail_parked" (
	// CREATE INDEX IF NOT EXISTS "mail_parked_due" ON "mail_parked" (shard, due) WHERE state = 0
	// CREATE INDEX IF NOT EXISTS "mail_parked_key" ON "mail_parked" (shard, msg_key, seq) WHERE msg_key <> '' AND not_before IS NULL AND state <> 2
	// CREATE INDEX IF NOT EXISTS "mail_parked_since" ON "mail_parked" (MAX(created, COALESCE(not_before, created)), state) WHERE state < 2
	// CREATE INDEX IF NOT EXISTS "mail_parked_dead" ON "mail_parked" (shard, seq, state) WHERE state >= 2
	// CREATE TABLE IF NOT EXISTS "mail_shard" (
	// CREATE TABLE IF NOT EXISTS "mail_relay" (
	// CREATE TABLE IF NOT EXISTS "mail_meta" (
	// INSERT INTO sqlite_sequence (name, seq) SELECT name, 0 FROM sqlite_master
	// INSERT INTO "mail_meta" (name, value) VALUES ('shards', 16) ON CONFLICT (name) DO NOTHING
	// INSERT INTO "mail_meta" (name, value) VALUES ('version', 1) ON CONFLICT (name) DO NOTHING
}
