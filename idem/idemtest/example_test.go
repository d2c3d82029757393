package idemtest_test

import (
	"testing"

	"example.com/once/idem"
	"example.com/once/idem/idemtest"
)

// Put these ten lines in a test file of your store, as TestStore and BenchmarkStore.
func Example() {
	open := func(tb testing.TB) idem.Store {
		tb.Helper()
		return &idem.Memory{} // your store, with no keys in it; close it with tb.Cleanup
	}
	testStore := func(t *testing.T) { idemtest.Run(t, open) }
	benchmarkStore := func(b *testing.B) { idemtest.Bench(b, open) }
	_, _ = testStore, benchmarkStore
	// Output:
}
