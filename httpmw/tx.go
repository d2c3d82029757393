package httpmw

import (
	"context"
	"errors"

	"example.com/once/idem"
)

// NewTxIdempotency makes an Idempotency whose handlers run inside a transaction of g's
// store: what they write through it (see [TxFrom]) and the record of their answer are committed
// together, and the answer is sent after the commit. So the effect is there exactly once
// if and only if the answer is recorded, whatever crashes.
//
// An answer that is not recorded rolls the transaction back, and the key is then as if it had
// not been used; so does an answer that is too large. A transaction that the database refused
// without having changed anything (a serialization failure, a deadlock) is repeated twice, so
// the handler may run again: what it does outside of its transaction it does again. A
// handler must neither commit nor roll back: the request is then answered with
// 500 transaction-ended, and what it committed has no record. It can neither flush nor
// hijack. The error names the argument or field that is wrong.
func NewTxIdempotency[Tx any](g *idem.TxGuard[Tx], scope Scope, c IdempotencyConfig) (*Idempotency, error) {
	if g == nil || g.Guard == nil {
		return nil, errors.New("httpmw: NewTxIdempotency: the TxGuard is nil: make one with idem.NewTx")
	}
	return newIdempotency(g.Guard, scope, c, true,
		func(ctx context.Context, key idem.Key, fn func(context.Context, any) ([]byte, error), opts ...idem.CallOption) ([]byte, error) {
			return idem.DoTx(ctx, g, key, func(ctx context.Context, tx Tx) ([]byte, error) { return fn(ctx, tx) }, opts...)
		})
}

// TxFrom returns the transaction that the handler with context ctx runs in. It reports
// false outside of a [NewTxIdempotency], and for a request that carried no key: such a
// request has no transaction, unless keys are Required.
func TxFrom[Tx any](ctx context.Context) (Tx, bool) {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	for ; x != nil; x = x.parent {
		if tx, ok := x.tx.(Tx); ok {
			return tx, true
		}
	}
	var none Tx
	return none, false
}
