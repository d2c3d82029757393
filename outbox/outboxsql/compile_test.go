package outboxsql_test

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"strings"
	"testing"
)

// TestWriteTakesTransactionsOnly compiles programs that write through this and that. A pool
// or a connection would commit the messages apart from their effect, so neither compiles.
func TestWriteTakesTransactionsOnly(t *testing.T) {
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "source", nil)
	for _, tt := range []struct {
		argument string
		refused  bool
	}{
		{"*sql.Tx", false},
		{"Wrapped", false},
		{"*sql.DB", true},
		{"*sql.Conn", true},
		{"outboxsql.Execer", true},
	} {
		t.Run(tt.argument, func(t *testing.T) {
			file, err := parser.ParseFile(fset, "user.go", `package user

import (
	"context"
	"database/sql"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
)

type Wrapped struct{ *sql.Tx }

func f(ctx context.Context, w *outboxsql.Writer, x `+tt.argument+`, _ *sql.Tx) error {
	return w.Write(ctx, x, outbox.Message{Topic: "t"})
}
`, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			var problems []string
			config := types.Config{Importer: imports, Error: func(err error) { problems = append(problems, err.Error()) }}
			_, _ = config.Check("user", fset, []*ast.File{file}, nil)
			switch {
			case !tt.refused && problems != nil:
				t.Errorf("does not compile: %v", problems)
			case tt.refused && len(problems) != 1:
				t.Errorf("%d problems, want one: %v", len(problems), problems)
			case tt.refused && !strings.Contains(problems[0], "does not implement outboxsql.Tx (missing method"):
				t.Errorf("refused for another reason: %v", problems[0])
			}
		})
	}
}
