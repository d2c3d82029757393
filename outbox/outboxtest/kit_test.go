package outboxtest_test

import (
	"context"
	"testing"

	"example.com/once/outbox/outboxtest"
)

func openMemory(testing.TB) outboxtest.Backend {
	m := &outboxtest.Memory{}
	return outboxtest.Backend{
		Store: m,
		Begin: func(context.Context) (outboxtest.Tx, error) { return m.Begin(), nil },
	}
}

func TestMemoryInVirtualTime(t *testing.T) {
	outboxtest.RunStore(t, openMemory, outboxtest.Virtual())
}

func TestForgetfulMemory(t *testing.T) {
	outboxtest.RunStore(t, func(testing.TB) outboxtest.Backend {
		m := &outboxtest.Memory{Forgetful: true, Shards: 3}
		return outboxtest.Backend{Store: m, Begin: func(context.Context) (outboxtest.Tx, error) { return m.Begin(), nil }}
	}, outboxtest.Virtual())
}

// A store that is not in this process has real time only. The kit must pass a right one
// there too.
func TestMemoryInRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases")
	}
	outboxtest.RunStore(t, openMemory)
}
