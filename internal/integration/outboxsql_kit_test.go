package integration_test

import (
	"context"
	"database/sql"
	"testing"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
	"example.com/once/outbox/outboxtest"
)

// kitTx writes through a transaction as an application does.
type kitTx struct {
	*sql.Tx
	writer *outboxsql.Writer
}

func (tx kitTx) Write(ctx context.Context, messages ...outbox.Message) error {
	return tx.writer.Write(ctx, tx.Tx, messages...)
}

func TestOutboxKit(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		outboxtest.RunStore(t, func(tb testing.TB) outboxtest.Backend {
			o := openOutbox(tb, d, "", outboxsql.Config{})
			return outboxtest.Backend{
				Store: o,
				Begin: func(ctx context.Context) (outboxtest.Tx, error) {
					tx, err := o.db.BeginTx(ctx, nil)
					return kitTx{tx, o.writer}, err
				},
			}
		}, outboxtest.OneWriter())
	})
}
