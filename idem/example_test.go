package idem_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"example.com/once/idem"
)

// A caller who retries does not send the mail again.
func ExampleDo() {
	ctx := context.Background()
	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	welcome := func(context.Context) error {
		fmt.Println("mail sent")
		return nil
	}
	for range 3 {
		err := idem.Do(ctx, guard, idem.NewKey("welcome-mail", "user-17"), welcome)
		fmt.Println("error:", err)
	}
	// Output:
	// mail sent
	// error: <nil>
	// error: <nil>
	// error: <nil>
}

// Every caller gets the result of the one run. Report tells who made it.
func ExampleDoValue() {
	type receipt struct{ Number int }
	ctx := context.Background()
	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	charges := 0
	charge := func(context.Context) (receipt, error) {
		charges++
		return receipt{Number: 100 + charges}, nil
	}
	for range 2 {
		var info idem.Info
		r, err := idem.DoValue(ctx, guard, idem.NewKey("charge", "order-1138"), charge, idem.Report(&info))
		fmt.Println(r.Number, err, "replayed:", info.Replayed)
	}
	// Output:
	// 101 <nil> replayed: false
	// 101 <nil> replayed: true
}

// The scope says whose key it is, so that two tenants never share one.
func ExampleNewKey() {
	fmt.Println(idem.NewKey("tenant-a", "charge", "1138"))
	fmt.Println(idem.NewKey("tenant-b", "charge", "1138"))
	fmt.Println(idem.NewKey("a", "bc") == idem.NewKey("ab", "c"))
	// Output:
	// 8:tenant-a6:charge4:1138
	// 8:tenant-b6:charge4:1138
	// false
}

// A declined card stays declined: the answer is recorded like a result.
func ExampleFinal() {
	ctx := context.Background()
	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	charge := func(context.Context) error {
		fmt.Println("asking the bank")
		return idem.Final(errors.New("card declined"))
	}
	for range 2 {
		err := idem.Do(ctx, guard, "charge 1138", charge)
		fmt.Println(err, "- recorded:", errors.Is(err, idem.ErrRecorded))
	}
	// Output:
	// asking the bank
	// card declined - recorded: false
	// card declined - recorded: true
}

// A run that failed is repeated, and passes the same keys on to the services that it calls.
func ExampleCurrent() {
	ctx := context.Background()
	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ship := func(ctx context.Context) error {
		attempt, _ := idem.Current(ctx)
		fmt.Println("attempt", attempt.Number, "label", attempt.SubKey("label"))
		if attempt.Number == 1 {
			return errors.New("the carrier did not answer")
		}
		return nil
	}
	for range 2 {
		fmt.Println(idem.Do(ctx, guard, "ship 1138", ship))
	}
	// Output:
	// attempt 1 label 3fd6b317-43b7-57b2-98ab-305f75564698
	// the carrier did not answer
	// attempt 2 label 3fd6b317-43b7-57b2-98ab-305f75564698
	// <nil>
}

// What is done stays done when a later part fails: the second attempt does not charge again.
func ExampleStep() {
	ctx := context.Background()
	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	carrier := errors.New("the carrier does not answer")
	order := func(ctx context.Context) (string, error) {
		payment, err := idem.Step(ctx, "charge", func(context.Context) (string, error) {
			fmt.Println("charging")
			return "payment 1", nil
		})
		if err != nil {
			return "", err
		}
		label, err := idem.Step(ctx, "ship", func(context.Context) (string, error) {
			return "label 1", carrier
		})
		if err != nil {
			return "", err
		}
		return payment + ", " + label, nil
	}
	fmt.Println(idem.DoValue(ctx, guard, "order 1138", order))
	carrier = nil
	fmt.Println(idem.DoValue(ctx, guard, "order 1138", order))
	// Output:
	// charging
	//  the carrier does not answer
	// payment 1, label 1 <nil>
}

// A second caller may wait for the first one's result instead of being refused.
func ExampleWithWait() {
	ctx := context.Background()
	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	began, done := make(chan struct{}), make(chan struct{})
	slow := func(ctx context.Context) (string, error) {
		close(began)
		<-done
		return "report", ctx.Err()
	}
	go func() { _, _ = idem.DoValue(ctx, guard, "report", slow) }()
	<-began

	_, err = idem.DoValue(ctx, guard, "report", slow)
	if refused, ok := errors.AsType[*idem.InFlightError](err); ok {
		fmt.Println("in flight, come back in", refused.RetryAfter)
	}
	close(done)
	fmt.Println(idem.DoValue(ctx, guard, "report", slow, idem.WithWait(time.Minute)))
	// Output:
	// in flight, come back in 1s
	// report <nil>
}

// After a crash or an error under AtMostOnce nobody runs again, until somebody who has found
// out what happened says so.
func ExampleGuard_Resolve() {
	ctx := context.Background()
	guard, err := idem.New(&idem.Memory{}, idem.Config{Mode: idem.AtMostOnce})
	if err != nil {
		fmt.Println(err)
		return
	}
	launch := func(context.Context) (string, error) { return "", errors.New("lost contact") }
	_, err = idem.DoValue(ctx, guard, "launch", launch)
	fmt.Println(err)
	_, err = idem.DoValue(ctx, guard, "launch", launch)
	fmt.Println(err)

	if _, err := guard.Resolve(ctx, "launch", "in orbit", nil); err != nil {
		fmt.Println(err)
	}
	fmt.Println(idem.DoValue(ctx, guard, "launch", launch))
	// Output:
	// lost contact
	// idem: key is abandoned, its outcome unknown until resolved
	// in orbit <nil>
}

// Results are encrypted with the current key, and opened with any key on the ring.
func ExampleNewKeyring() {
	ctx := context.Background()
	secret := func(b byte) []byte { return bytes.Repeat([]byte{b}, 32) } // yours are random
	old, err := idem.NewKeyring(idem.SealKey{ID: "2024", Secret: secret(1)})
	if err != nil {
		fmt.Println(err)
		return
	}
	next, err := idem.NewKeyring(idem.SealKey{ID: "2025", Secret: secret(2)}, idem.SealKey{ID: "2024", Secret: secret(1)})
	if err != nil {
		fmt.Println(err)
		return
	}
	store := &idem.Memory{}
	for _, ring := range []*idem.Keyring{old, next} {
		guard, err := idem.New(store, idem.Config{Seal: ring})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(idem.DoValue(ctx, guard, "charge 1138", func(context.Context) (string, error) {
			fmt.Println("charging")
			return "receipt 1", nil
		}))
	}
	// Output:
	// charging
	// receipt 1 <nil>
	// receipt 1 <nil>
}

// The transfer and its record are committed together, or not at all. A store that can do that
// is made by package idemsql.
func ExampleDoTx() {
	transfer := func(ctx context.Context, store idem.TxStore[*sql.Tx], id string, cents int) (balance int, err error) {
		guard, err := idem.NewTx(store, idem.Config{}) // once, when the service starts
		if err != nil {
			return 0, err
		}
		return idem.DoTx(ctx, guard, idem.NewKey("transfer", id), func(ctx context.Context, tx *sql.Tx) (int, error) {
			err := tx.QueryRowContext(ctx, `UPDATE account SET cents = cents - ? WHERE cents >= ? RETURNING cents`, cents, cents).Scan(&balance)
			if errors.Is(err, sql.ErrNoRows) {
				return 0, idem.Final(errors.New("not enough money"))
			}
			return balance, err
		})
	}
	_ = transfer
	// Output:
}

// JoinTx is for a transaction that is already open, and that its owner commits.
func ExampleJoinTx() {
	ship := func(ctx context.Context, db *sql.DB, guard *idem.TxGuard[*sql.Tx], id string) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(ctx, `UPDATE orders SET seen = seen + 1 WHERE id = ?`, id); err != nil {
			return err
		}
		_, err = idem.JoinTx(ctx, guard, tx, idem.NewKey("ship", id), func(ctx context.Context) (struct{}, error) {
			_, err := tx.ExecContext(ctx, `INSERT INTO shipment (id) VALUES (?)`, id)
			return struct{}{}, err
		})
		if err != nil {
			return err
		}
		return tx.Commit()
	}
	_ = ship
	// Output:
}
