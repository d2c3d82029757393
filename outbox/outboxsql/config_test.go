package outboxsql_test

import (
	"database/sql"
	"strings"
	"testing"

	"example.com/once/outbox/outboxsql"
)

func TestMistakesAreNamed(t *testing.T) {
	db := new(sql.DB) // never used: New sends nothing
	for _, tt := range []struct {
		name   string
		db     *sql.DB
		d      outboxsql.Dialect
		config outboxsql.Config
		want   string
	}{
		{"no database", nil, outboxsql.SQLite, outboxsql.Config{}, "db is nil"},
		{"no dialect", db, 0, outboxsql.Config{}, "Dialect(0) is not a dialect"},
		{"prefix with a quote", db, outboxsql.SQLite, outboxsql.Config{Prefix: `a"; DROP TABLE x`}, "Config.Prefix"},
		{"prefix with a digit first", db, outboxsql.SQLite, outboxsql.Config{Prefix: "1a"}, "Config.Prefix"},
		{"prefix with two dots", db, outboxsql.SQLite, outboxsql.Config{Prefix: "a.b.c"}, "Config.Prefix"},
		{"prefix without a name", db, outboxsql.SQLite, outboxsql.Config{Prefix: "a."}, "Config.Prefix"},
		{"prefix too long", db, outboxsql.SQLite, outboxsql.Config{Prefix: strings.Repeat("a", 49)}, "Config.Prefix"},
		{"prefix of the engine", db, outboxsql.SQLite, outboxsql.Config{Prefix: "SQLite_x"}, "Config.Prefix"},
		{"negative shards", db, outboxsql.SQLite, outboxsql.Config{Shards: -1}, "Config.Shards is -1"},
		{"too many shards", db, outboxsql.SQLite, outboxsql.Config{Shards: 129}, "Config.Shards is 129"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := outboxsql.New(tt.db, tt.d, tt.config)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New: %v, want %q", err, tt.want)
			}
			if tt.db == nil {
				return
			}
			if _, err := outboxsql.NewWriter(tt.d, tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewWriter: %v, want %q", err, tt.want)
			}
			if _, err := outboxsql.Schema(tt.d, tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Schema: %v, want %q", err, tt.want)
			}
		})
	}
	for _, prefix := range []string{"", "a", "_", "main.outbox", strings.Repeat("a", 48)} {
		if _, err := outboxsql.New(db, outboxsql.SQLite, outboxsql.Config{Prefix: prefix, Shards: 128}); err != nil {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
}

func TestSchemaIsFilledIn(t *testing.T) {
	ddl, err := outboxsql.Schema(outboxsql.SQLite, outboxsql.Config{Prefix: "app.box", Shards: 5})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"app"."box" (`, `"app"."box_parked" (`, `'shards', 5`, `"app".sqlite_sequence`} {
		if !strings.Contains(ddl, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.ContainsAny(ddl, "{}") {
		t.Errorf("a marker is left:\n%s", ddl)
	}
	if got := outboxsql.SQLite.String(); got != "SQLite" {
		t.Error(got)
	}
}
