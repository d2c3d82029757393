package suite

import (
	"context"
	"database/sql"
	"errors"

	"example.com/once/benchmarks/backend"
	"example.com/once/benchmarks/measure"
	"example.com/once/idem"
)

// bareTx is the caller's own transaction, without a key.
const bareTx = "bare-tx"

// Tx compares a transaction that records a key with the same transaction that does not. Each
// inserts one row of the caller's own.
func Tx(b backend.Backend, dir string) measure.Group {
	return measure.Group{
		Suite: "tx", Backend: b.Name, Durability: b.Durability,
		Ops: []measure.Op{
			{Name: bareTx, Open: openTx(b, dir, callBareTx, false)},
			{Name: "DoTx", Bare: bareTx, Open: openTx(b, dir, callDoTx, true)},
			{Name: "JoinTx", Bare: bareTx, Open: openTx(b, dir, callJoinTx, true)},
		},
	}
}

// txCall is one transaction.
type txCall func(ctx context.Context, tx *backend.Tx, g *idem.TxGuard[*sql.Tx], seat *seat) error

func openTx(b backend.Backend, dir string, call txCall, recorded bool) func(context.Context, int) (*measure.Job, error) {
	return func(ctx context.Context, callers int) (*measure.Job, error) {
		s, err := place(ctx, b, dir)
		if err != nil {
			return nil, err
		}
		if s.Tx == nil {
			return nil, errors.Join(errors.New("the backend has no transactions"), s.Close())
		}
		g, err := idem.NewTx(s.Tx.Store, idem.Config{})
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		all := seats(callers)
		return &measure.Job{
			Call: func(ctx context.Context, caller int) error { return call(ctx, s.Tx, g, &all[caller]) },
			Check: func(ctx context.Context, calls int64) error {
				effects, err := s.Tx.Effects(ctx)
				wrong := want("effects", effects, calls, err)
				if !recorded {
					return wrong
				}
				n, err := countDone(ctx, s.Idem, calls)
				return errors.Join(wrong, want("keys done", n, calls, err))
			},
			Close: s.Close,
		}, nil
	}
}

func callBareTx(ctx context.Context, tx *backend.Tx, _ *idem.TxGuard[*sql.Tx], seat *seat) error {
	t, err := tx.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback() }()
	if err := tx.Insert(ctx, t, int64(seat.next())); err != nil {
		return err
	}
	return t.Commit()
}

func callDoTx(ctx context.Context, tx *backend.Tx, g *idem.TxGuard[*sql.Tx], seat *seat) error {
	n := seat.next()
	_, err := idem.DoTx(ctx, g, keyOf(n), func(ctx context.Context, t *sql.Tx) (int64, error) {
		return int64(n), tx.Insert(ctx, t, int64(n))
	})
	return err
}

func callJoinTx(ctx context.Context, tx *backend.Tx, g *idem.TxGuard[*sql.Tx], seat *seat) error {
	n := seat.next()
	t, err := tx.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback() }()
	_, err = idem.JoinTx(ctx, g, t, keyOf(n), func(ctx context.Context) (int64, error) {
		return int64(n), tx.Insert(ctx, t, int64(n))
	})
	if err != nil {
		return err
	}
	return t.Commit()
}
