package outboxsql

import (
	"math/rand/v2"
	"testing"
)

// TestShareIsFair lets relays come, go and ask in random order, and then only ask: in two
// rounds everybody must have a fair share, and nobody may give back in a third.
func TestShareIsFair(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		shards := 1 + rnd.IntN(16)
		held := map[int]int{}
		free := shards
		ask := func(relay int, giveBack bool) (take, surplus int) {
			h := holdings{shards: shards, mine: held[relay], free: free}
			for other, n := range held {
				if other != relay {
					h.others = append(h.others, n)
				}
			}
			take, surplus = h.share()
			if take < 0 || take > free || surplus < 0 || surplus > held[relay] || take > 0 && surplus > 0 {
				t.Fatalf("seed %d: %+v: take %d, surplus %d", seed, h, take, surplus)
			}
			held[relay] += take
			free -= take
			if giveBack {
				held[relay] -= surplus
				free += surplus
			}
			return take, surplus
		}
		for range 30 {
			relay := rnd.IntN(5)
			if n, ok := held[relay]; ok && rnd.IntN(4) == 0 {
				free += n
				delete(held, relay)
				continue
			}
			ask(relay, rnd.IntN(2) == 0)
		}
		if len(held) == 0 {
			continue
		}
		for range 2 {
			for relay := range held {
				ask(relay, true)
			}
		}
		for relay := range held {
			if take, surplus := ask(relay, true); take != 0 || surplus != 0 {
				t.Errorf("seed %d: relay %d still takes %d and gives %d: %v of %d, %d free", seed, relay, take, surplus, held, shards, free)
			}
		}
		least := shards / len(held)
		for relay, n := range held {
			if n < least || n > least+1 {
				t.Errorf("seed %d: relay %d holds %d of %d shards among %d", seed, relay, n, shards, len(held))
			}
		}
		if free != 0 {
			t.Errorf("seed %d: %d shards are nobody's", seed, free)
		}
	}
}
