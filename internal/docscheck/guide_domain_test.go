package docscheck_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

// The code of docs/guide.md, section "Deterministic domain operations".

type order struct {
	id        string
	shippedAt time.Time
}

// event is something that others are to be told. Its id is made from what happened, so it
// is the same whoever tells it, and however often.
type event struct{ id, kind string }

// ship is a function of its arguments: it reads no clock, draws no random number and talks
// to nobody. An order that is shipped stays as it is, and there is nothing new to tell.
func ship(o order, at time.Time) (order, []event) {
	if !o.shippedAt.IsZero() {
		return o, nil
	}
	o.shippedAt = at
	return o, []event{{id: "order/" + o.id + "/shipped", kind: "shipped"}}
}

func Example_deterministic() {
	at := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	before := order{id: "1138"}

	once, told := ship(before, at)
	fmt.Println(once.shippedAt.Format(time.DateTime), told)

	again, told := ship(before, at) // after a crash, from the state before it
	fmt.Println(again == once, told)

	twice, told := ship(once, at) // after a lost answer, from the state after it
	fmt.Println(twice == once, told)
	// Output:
	// 2024-05-01 12:00:00 [{order/1138/shipped shipped}]
	// true [{order/1138/shipped shipped}]
	// true []
}

func TestShippingTwiceIsShippingOnce(t *testing.T) {
	at := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, before := range []order{{id: "1138"}, {id: "1139", shippedAt: at.Add(-time.Hour)}} {
		once, told := ship(before, at)
		twice, toldTwice := ship(once, at)
		if !reflect.DeepEqual(once, twice) || len(toldTwice) > 0 {
			t.Errorf("%v: once %v %v, twice %v %v", before, once, told, twice, toldTwice)
		}
	}
}
