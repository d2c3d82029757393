package docscheck_test

import "fmt"

// The code of docs/guide.md, section "What idempotent means".

type account struct{ limit, balance int }

func (a *account) setLimit(n int) { a.limit = n }    // idempotent
func (a *account) deposit(n int)  { a.balance += n } // not

func Example_setAndAdd() {
	var a account
	for range 2 { // the caller retries
		a.setLimit(100)
		a.deposit(100)
	}
	fmt.Println(a.limit, a.balance)
	// Output: 100 200
}

// ledger holds deposits by their identity.
type ledger map[string]int

// deposit books n once for each id and says whether this call did it.
func (l ledger) deposit(id string, n int) (first bool) {
	_, booked := l[id]
	l[id] = n
	return !booked
}

func (l ledger) balance() (sum int) {
	for _, n := range l {
		sum += n
	}
	return sum
}

func Example_sameEffectOtherAnswer() {
	l := ledger{}
	fmt.Println(l.deposit("wire-4711", 100), l.balance())
	fmt.Println(l.deposit("wire-4711", 100), l.balance()) // the retry
	// Output:
	// true 100
	// false 100
}
