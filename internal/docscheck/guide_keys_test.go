package docscheck_test

import (
	"context"
	"errors"
	"fmt"

	"example.com/once/idem"
)

// The code of docs/guide.md, section "Keys and deduplication".

func Example_key() {
	fmt.Println(idem.NewKey("mailer", "tenant-7", "invoice-2024-117"))
	fmt.Println(idem.NewKey("mailer", "a", "bc") == idem.NewKey("mailer", "ab", "c"))
	// Output:
	// 6:mailer8:tenant-716:invoice-2024-117
	// false
}

func Example_replay() {
	ctx := context.Background()
	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	charges := 0
	charge := func(context.Context) (string, error) {
		charges++
		return fmt.Sprintf("receipt %d", charges), nil
	}

	key := idem.NewKey("checkout", "customer-7", "order-1138")
	for range 3 {
		var info idem.Info
		receipt, err := idem.DoValue(ctx, guard, key, charge, idem.Report(&info))
		fmt.Println(receipt, err, info.Replayed)
	}
	// Output:
	// receipt 1 <nil> false
	// receipt 1 <nil> true
	// receipt 1 <nil> true
}

func Example_fingerprint() {
	ctx := context.Background()
	guard, _ := idem.New(&idem.Memory{}, idem.Config{})
	pay := func(context.Context) error { return nil }

	first := idem.Do(ctx, guard, "order-1138", pay, idem.WithFingerprint([]byte("digest of {amount: 10}")))
	reused := idem.Do(ctx, guard, "order-1138", pay, idem.WithFingerprint([]byte("digest of {amount: 99}")))

	fmt.Println(first, errors.Is(reused, idem.ErrMismatch))
	// Output: <nil> true
}

func Example_finalError() {
	ctx := context.Background()
	guard, _ := idem.New(&idem.Memory{}, idem.Config{})
	runs := 0
	charge := func(context.Context) error {
		runs++
		return idem.Final(errors.New("card declined"))
	}

	fmt.Println(idem.Do(ctx, guard, "order-1138", charge))
	err := idem.Do(ctx, guard, "order-1138", charge)
	fmt.Println(err, errors.Is(err, idem.ErrRecorded), runs)
	// Output:
	// card declined
	// card declined true 1
}

func Example_subKey() {
	ctx := context.Background()
	guard, _ := idem.New(&idem.Memory{}, idem.Config{})
	pay := func(_ context.Context, key string) error {
		fmt.Println("payment with key", key)
		return errors.New("no answer")
	}

	order := func(ctx context.Context) error {
		attempt, _ := idem.Current(ctx)
		return pay(ctx, attempt.SubKey("payment")) // the same key on every attempt
	}

	for range 2 { // the first attempt fails, so the second one runs
		_ = idem.Do(ctx, guard, "order-1138", order)
	}
	// Output:
	// payment with key a5040432-8332-52d7-8e80-fa5450496bd6
	// payment with key a5040432-8332-52d7-8e80-fa5450496bd6
}

func Example_step() {
	ctx := context.Background()
	guard, _ := idem.New(&idem.Memory{}, idem.Config{})
	pay := func(context.Context) (string, error) {
		fmt.Println("paid")
		return "receipt 1", nil
	}
	away := true
	ship := func(_ context.Context, receipt string) error {
		if away {
			return errors.New("no answer")
		}
		fmt.Println("shipped, with", receipt)
		return nil
	}

	order := func(ctx context.Context) error {
		receipt, err := idem.Step(ctx, "payment", pay) // kept with the key
		if err != nil {
			return err
		}
		return ship(ctx, receipt)
	}

	fmt.Println(idem.Do(ctx, guard, "order-1138", order))
	away = false
	fmt.Println(idem.Do(ctx, guard, "order-1138", order))
	// Output:
	// paid
	// no answer
	// shipped, with receipt 1
	// <nil>
}

// file keeps the highest fence that it has seen and refuses lower ones.
type file struct {
	fence int64
	text  string
}

var errStale = errors.New("a later holder has written already")

func (f *file) write(fence int64, text string) error {
	if fence < f.fence {
		return errStale
	}
	f.fence, f.text = fence, text
	return nil
}

func Example_fence() {
	var f file
	fmt.Println(f.write(7, "by the holder that was paused"))
	fmt.Println(f.write(8, "by the one that took over"))
	fmt.Println(f.write(7, "by the first one, awake again"))
	fmt.Println(f.text)
	// Output:
	// <nil>
	// <nil>
	// a later holder has written already
	// by the one that took over
}

func Example_atMostOnce() {
	ctx := context.Background()
	guard, _ := idem.New(&idem.Memory{}, idem.Config{Mode: idem.AtMostOnce})
	runs := 0
	launch := func(context.Context) error {
		runs++
		return errors.New("no answer") // launched, or not?
	}

	fmt.Println(idem.Do(ctx, guard, "rocket-1", launch))
	fmt.Println(idem.Do(ctx, guard, "rocket-1", launch)) // does not run

	// Somebody has looked: the rocket is gone. So the key is done.
	if _, err := guard.Resolve(ctx, "rocket-1", nil, nil); err != nil {
		fmt.Println(err)
	}
	fmt.Println(idem.Do(ctx, guard, "rocket-1", launch))
	fmt.Println(runs, "launch")
	// Output:
	// no answer
	// idem: key is abandoned, its outcome unknown until resolved
	// <nil>
	// 1 launch
}
