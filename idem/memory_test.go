package idem_test

import (
	"testing"

	"example.com/once/idem"
	"example.com/once/idem/idemtest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	idemtest.Run(t, func(testing.TB) idem.Store { return &idem.Memory{} }, idemtest.Virtual())
}
