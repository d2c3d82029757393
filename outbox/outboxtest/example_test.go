package outboxtest_test

import (
	"context"
	"fmt"
	"testing"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
)

// In a test, a store in memory takes the place of a database.
func ExampleMemory() {
	ctx := context.Background()
	store := &outboxtest.Memory{}
	tx := store.Begin()
	if err := tx.Write(ctx, outbox.Message{Topic: "order.paid", Payload: []byte(`{"order":42}`)}); err != nil {
		fmt.Println(err)
		return
	}
	before, err := store.Stats(ctx)
	fmt.Println(before.Hot, "before the commit,", err)
	if err := tx.Commit(); err != nil {
		fmt.Println(err)
		return
	}
	after, err := store.Stats(ctx)
	fmt.Println(after.Hot, "after it,", err)
	// Output:
	// 0 before the commit, <nil>
	// 1 after it, <nil>
}

// What a test of a store looks like.
func ExampleRunStore() {
	_ = func(t *testing.T) { // TestStore
		outboxtest.RunStore(t, func(testing.TB) outboxtest.Backend {
			store := &outboxtest.Memory{} // yours, empty; close it with Cleanup
			return outboxtest.Backend{
				Store: store,
				Begin: func(context.Context) (outboxtest.Tx, error) { return store.Begin(), nil },
			}
		}, outboxtest.Virtual()) // only a store in this process can be tested in virtual time
	}
	// Output:
}
