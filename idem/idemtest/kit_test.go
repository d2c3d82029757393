package idemtest_test

import (
	"testing"

	"example.com/once/idem"
	"example.com/once/idem/idemtest"
	"example.com/once/idem/internal/model"
)

func openModel(testing.TB) idem.Store { return model.New(model.None) }

func openTxModel(testing.TB) idem.TxStore[*model.Tx] { return model.New(model.None) }

func TestModelInVirtualTime(t *testing.T) {
	idemtest.Run(t, openModel, idemtest.Virtual())
	idemtest.RunTx(t, openTxModel, idemtest.Virtual())
}

// A store that is not in this process has real time only. The kit must pass a right one
// there too.
func TestModelInRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases")
	}
	idemtest.Run(t, openModel)
	idemtest.RunTx(t, openTxModel)
}

func TestSkipAndMaxResult(t *testing.T) {
	open := func(testing.TB) idem.Store {
		s := model.New(model.None)
		s.MaxResult = 1000
		return s
	}
	idemtest.Run(t, open, idemtest.Virtual(), idemtest.MaxResult(1000), idemtest.Skip("S63", "one case is enough to see a skip"))
}

func BenchmarkModel(b *testing.B) { idemtest.Bench(b, openModel) }
