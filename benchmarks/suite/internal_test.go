package suite

import (
	"testing"

	"example.com/once/idem"
)

func TestKeysAndTokensAreNeverUsedTwice(t *testing.T) {
	keys := make(map[idem.Key]bool)
	for _, key := range knownKeys() {
		keys[key] = true
	}
	tokens := make(map[[16]byte]bool)
	all := seats(4)
	const each = 20_000
	for i := range all {
		for range each {
			keys[all[i].key()] = true
			tokens[all[i].token()] = true
		}
	}
	if len(keys) != known+4*each || len(tokens) != 4*each {
		t.Errorf("%d keys and %d tokens, want %d and %d", len(keys), len(tokens), known+4*each, 4*each)
	}
}

func TestALoopThatCallsTooOftenIsNoticed(t *testing.T) {
	twice := retryCase{loop: func(b *testing.B, c *callee) error {
		ctx := b.Context()
		for b.Loop() {
			if err := c.call(ctx); err != nil {
				return err
			}
			if err := c.call(ctx); err != nil {
				return err
			}
		}
		return nil
	}}
	var err error
	testing.Benchmark(func(b *testing.B) { err = twice.counted(0)(b) })
	if err == nil {
		t.Error("two calls for one were not noticed")
	}
	testing.Benchmark(func(b *testing.B) { err = twice.counted(failures)(b) })
	if err == nil {
		t.Error("a call that failed was not noticed")
	}
}
