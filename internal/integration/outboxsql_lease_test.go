package integration_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
)

// balance lets each owner ask and give back what it is told to, and returns how many shards
// of each lane they hold at the end.
func (o *outboxDB) balance(tb testing.TB, rounds int, owners ...string) map[string]map[uint8]int {
	tb.Helper()
	counts := map[string]map[uint8]int{}
	for round := range rounds {
		taken := map[int]string{}
		for _, owner := range owners {
			counts[owner] = map[uint8]int{}
			var surplus []outbox.Lease
			for _, l := range o.lease(tb, owner) {
				if l.Surplus {
					surplus = append(surplus, l)
					continue
				}
				if other := taken[l.Shard]; other != "" {
					tb.Fatalf("shard %d belongs to %s and %s", l.Shard, other, owner)
				}
				taken[l.Shard] = owner
				counts[owner][l.Lane]++
			}
			if surplus == nil {
				continue
			}
			if round == rounds-1 {
				tb.Errorf("%s still has a surplus of %v", owner, surplus)
			}
			if err := o.Release(tb.Context(), owner, surplus); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return counts
}

func TestOutboxSharesAreFair(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		o.write(t, outbox.Message{Topic: "t", Lane: 2})
		owners := []string{"a", "b", "c"}
		for n := 1; n <= 3; n++ {
			got := o.balance(t, 3, owners[:n]...)
			for _, lane := range []uint8{0, 2} {
				sum := 0
				for owner, counts := range got {
					sum += counts[lane]
					if c := counts[lane]; c < 8/n || c > (8+n-1)/n {
						t.Errorf("of %d owners %s holds %d shards of lane %d", n, owner, c, lane)
					}
				}
				if sum != 8 {
					t.Errorf("%d owners hold %d shards of lane %d", n, sum, lane)
				}
			}
		}
		if err := o.Release(t.Context(), "a", nil); err != nil {
			t.Fatal(err)
		}
		got := o.balance(t, 2, "b", "c")
		if got["b"][0] != 4 || got["c"][0] != 4 {
			t.Errorf("after a has left: %v", got)
		}
	})
}

func TestOutboxSkippedLanesAreLeftAlone(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{Shards: 4})
		o.write(t, outbox.Message{Topic: "t", Lane: 1}, outbox.Message{Topic: "t", Lane: 5, NotBefore: time.Now().Add(time.Hour)})
		lanes := func(held []outbox.Lease) map[uint8]int {
			n := map[uint8]int{}
			for _, l := range held {
				n[l.Lane]++
				if l.Shard/4 != int(l.Lane) || l.Epoch < 1 || l.Left != time.Minute {
					t.Errorf("odd lease: %+v", l)
				}
			}
			return n
		}
		if got := lanes(o.lease(t, "a")); got[0] != 4 || got[1] != 4 || got[5] != 4 {
			t.Fatalf("a holds %v", got)
		}
		if got := lanes(o.lease(t, "a", 1, 200)); got[0] != 4 || got[1] != 0 || got[5] != 4 {
			t.Fatalf("without lane 1, a holds %v", got)
		}
		// It does not count there any more, so that all of the lane is another's at once.
		if got := lanes(o.lease(t, "b", 0, 5)); got[1] != 4 || len(got) != 1 {
			t.Fatalf("b holds %v", got)
		}
	})
}

// TestOutboxFencing: what a relay held and another has now is out of its reach, but for what
// it has published.
func TestOutboxFencing(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{Shards: 1})
		o.write(t, outbox.Message{Topic: "t"}, outbox.Message{Topic: "t"}, outbox.Message{Topic: "t"},
			outbox.Message{Topic: "t"}, outbox.Message{Topic: "t"})
		old := o.lease(t, "a")[0]
		park := func(l outbox.Lease, seq int64, f outbox.Fate) error {
			return o.Park(t.Context(), l, []outbox.Outcome{{Seq: seq, Fate: f}})
		}
		settle := func(l outbox.Lease, items ...outbox.Outcome) error { return o.Settle(t.Context(), l, items) }
		for seq := int64(1); seq <= 3; seq++ {
			if err := park(old, seq, outbox.Again); err != nil {
				t.Fatal(err)
			}
		}
		exec(t, o.db, "UPDATE once_outbox_shard SET until = ?", 0) // time passes
		if err := park(old, 4, outbox.Again); err != nil {
			t.Errorf("a late lease that nobody took must stand: %v", err)
		}
		current := o.lease(t, "b")
		if len(current) != 1 || current[0].Epoch <= old.Epoch {
			t.Fatalf("after %+v b holds %+v", old, current)
		}
		if err := park(old, 5, outbox.Dead); !errors.Is(err, outbox.ErrLeaseLost) {
			t.Errorf("park: %v", err)
		}
		err := settle(old, outbox.Outcome{Seq: 1, Fate: outbox.Dead}, outbox.Outcome{Seq: 2, Fate: outbox.Published}, outbox.Outcome{Seq: 3, Fate: outbox.Again, Wait: time.Hour})
		if !errors.Is(err, outbox.ErrLeaseLost) {
			t.Errorf("settle: %v", err)
		}
		if err := o.Release(t.Context(), "a", []outbox.Lease{old}); err != nil {
			t.Errorf("release: %v", err)
		}
		if hot := o.fetch(t, current); len(hot) != 1 || hot[0].Seq != 5 {
			t.Errorf("hot: %v", hot)
		}
		due := o.due(t, current)
		if len(due) != 3 || due[0].Seq != 1 || due[1].Seq != 3 || due[2].Seq != 4 {
			t.Errorf("due: %v, want 1, 3 and 4", due)
		}
		if err := o.Ack(t.Context(), []outbox.Ref{{Shard: 0, Seq: 5}}); err != nil || len(o.fetch(t, current)) != 0 {
			t.Errorf("an ack is not fenced: %v", err)
		}
		if err := settle(current[0], outbox.Outcome{Seq: 1, Fate: outbox.Dead}); err != nil {
			t.Errorf("the current lease: %v", err)
		}
		if err := o.Release(t.Context(), "b", current); err != nil {
			t.Fatal(err)
		}
		if err := settle(current[0], outbox.Outcome{Seq: 3, Fate: outbox.Again}); !errors.Is(err, outbox.ErrLeaseLost) {
			t.Errorf("a released lease: %v", err)
		}
		if again := o.lease(t, "b"); again[0].Epoch <= current[0].Epoch {
			t.Errorf("taken after a release: %+v, before: %+v", again, current)
		}
		if err := settle(outbox.Lease{Shard: 99, Epoch: 1}, outbox.Outcome{Seq: 3, Fate: outbox.Again}); !errors.Is(err, outbox.ErrLeaseLost) {
			t.Errorf("a shard that is not there: %v", err)
		}
	})
}

// TestOutboxLeasesRunOutByThemselves waits for the database's clock.
func TestOutboxLeasesRunOutByThemselves(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		const ttl = 50 * time.Millisecond
		asked := time.Now()
		held, err := o.Lease(t.Context(), outbox.LeaseRequest{Owner: "a", TTL: ttl})
		if err != nil || len(held) != 8 {
			t.Fatal(held, err)
		}
		for {
			taken := o.lease(t, "b")
			if len(taken) == 0 {
				continue
			}
			if age := time.Since(asked); age < ttl {
				t.Errorf("taken after %v", age)
			}
			break
		}
		for {
			if taken := o.lease(t, "b"); len(taken) == 8 {
				break // a is not counted any more
			}
		}
	})
}

func TestOutboxLateRenewalKeepsTheEpoch(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{})
		held := o.lease(t, "a")
		exec(t, o.db, "UPDATE once_outbox_shard SET until = ?", 0)
		exec(t, o.db, "DELETE FROM once_outbox_relay WHERE 1 = ?", 1)
		if again := o.lease(t, "a"); !slices.Equal(again, held) {
			t.Errorf("got %v, want %v", again, held)
		}
	})
}

// TestOutboxLeasesAreExclusive has many relays ask at once, through connections that do not
// take the right to write from the start.
func TestOutboxLeasesAreExclusive(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		first := openOutbox(t, d, "", outboxsql.Config{})
		type key struct {
			shard int
			epoch int64
		}
		var mu sync.Mutex
		holders := map[key]string{}
		var wg sync.WaitGroup
		for _, owner := range []string{"a", "b", "c", "d"} {
			s, err := outboxsql.New(d.deferred(t, first.path), outboxsql.SQLite, outboxsql.Config{})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				for i := range 40 {
					held, err := s.Lease(context.Background(), outbox.LeaseRequest{Owner: owner, TTL: time.Minute})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for _, l := range held {
						k := key{l.Shard, l.Epoch}
						if other := holders[k]; other != "" && other != owner {
							t.Errorf("%v belongs to %s and %s", k, other, owner)
						}
						holders[k] = owner
					}
					mu.Unlock()
					if len(held) > 0 && i%3 == 0 {
						if err := s.Release(context.Background(), owner, held[:1]); err != nil {
							t.Error(err)
						}
					}
					if i%10 == 9 {
						if err := s.Release(context.Background(), owner, nil); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		if len(holders) < 20 {
			t.Errorf("only %d holdings were seen", len(holders))
		}
	})
}

// TestOutboxRelaysWithoutShardsCount as long as they ask in time.
func TestOutboxRelaysWithoutShardsCount(t *testing.T) {
	onSQLite(t, func(t *testing.T, d sqliteDriver) {
		o := openOutbox(t, d, "", outboxsql.Config{Shards: 2})
		surplus := func() (n int) {
			for _, l := range o.lease(t, "a") {
				if l.Surplus {
					n++
				}
			}
			return n
		}
		if n := surplus(); n != 0 {
			t.Fatalf("alone, %d too many", n)
		}
		for _, ttl := range []time.Duration{time.Minute, time.Hour} {
			if held, err := o.Lease(t.Context(), outbox.LeaseRequest{Owner: "b", TTL: ttl}); err != nil || len(held) != 0 {
				t.Fatal(held, err)
			}
		}
		for range 2 { // half an hour passes
			exec(t, o.db, "UPDATE once_outbox_relay SET until = until - ? WHERE owner = 'b'", (29 * time.Minute).Microseconds())
			if n := surplus(); n != 1 {
				t.Errorf("with another, %d too many, want 1", n)
			}
		}
		exec(t, o.db, "UPDATE once_outbox_relay SET until = until - ? WHERE owner = 'b'", (29 * time.Minute).Microseconds())
		if n := surplus(); n != 0 {
			t.Errorf("after the other has gone, %d too many", n)
		}
		if n := count(t, o.db, "SELECT COUNT(*) FROM once_outbox_relay"); n != 1 {
			t.Errorf("%d relays are kept in mind", n)
		}
	})
}
