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
		what, _, _ := strings.Cut(statement, " (")
		fmt.Println(what)
	}
	// Output:
	// CREATE TABLE IF NOT EXISTS "mail"
	// CREATE INDEX IF NOT EXISTS "mail_by_shard" ON "mail"
	// CREATE TABLE IF NOT EXISTS "mail_parked"
	// CREATE INDEX IF NOT EXISTS "mail_parked_due" ON "mail_parked"
	// CREATE INDEX IF NOT EXISTS "mail_parked_key" ON "mail_parked"
	// CREATE INDEX IF NOT EXISTS "mail_parked_since" ON "mail_parked"
	// CREATE INDEX IF NOT EXISTS "mail_parked_dead" ON "mail_parked"
	// CREATE TABLE IF NOT EXISTS "mail_shard"
	// CREATE TABLE IF NOT EXISTS "mail_relay"
	// CREATE TABLE IF NOT EXISTS "mail_meta"
	// INSERT INTO sqlite_sequence
	// INSERT INTO "mail_meta"
	// INSERT INTO "mail_meta"
}
