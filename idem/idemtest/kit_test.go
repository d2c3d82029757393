package idemtest_test

import (
	"testing"

	"example.com/once/idem"
	"example.com/once/idem/idemtest"
	"example.com/once/idem/internal/model"
)

func TestModelInVirtualTime(t *testing.T) {
	idemtest.Run(t, func(testing.TB) idem.Store { return model.New(model.None) }, idemtest.Virtual())
}

func TestModelInRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases")
	}
	idemtest.Run(t, func(testing.TB) idem.Store { return model.New(model.None) })
}
