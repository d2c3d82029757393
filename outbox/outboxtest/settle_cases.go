package outboxtest

import (
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
)

func settleCases() []kitCase[*C] {
	return []kitCase[*C]{
		{"S1 published", "A published message is gone, and the next of its key is due at once.", s1},
		{"S2 again", "A message that fails again keeps its followers waiting, and counts its attempts.", s2},
		{"S3 dead", "After a dead letter the next of its key is due at once.", s3},
		{"S4 block", "After a blocking dead letter nothing of its key is due.", s4},
		{"S5 fence", "With a lost lease Settle removes what was published, changes nothing else and returns ErrLeaseLost.", s5},
		{"S6 repeat", "Repeating a Settle changes nothing more.", s6},
		{"S7 several", "All items of a Settle take effect, whatever their fates.", s7},
		{"S8 dead letters stay", "Settle leaves dead letters alone.", s8},
	}
}

// waiting parks a key's messages, the first of them due.
func (r *relay) waiting(key string, n int) []outbox.Row {
	r.put(key, sequence(key, n)...)
	r.parkHot(failed(1, 0), key+"00")
	rows := of(r.due(), key)
	if len(rows) != n {
		r.Fatalf("%d of %d messages of key %s are due", len(rows), n, key)
	}
	return rows
}

func s1(c *C) {
	r := c.relay("a")
	rows := r.waiting("k", 3)
	r.settle(published(), rows[0])
	c.ordered("due", r.due(), "k01", "k02")
	r.settle(published(), rows[1])
	r.settle(published(), rows[2])
	c.want("due in the end", r.due())
	c.put("k", "new")
	if r.row(r.hot(), "new").Behind {
		c.Errorf("a key is held up by nothing")
	}
}

func s2(c *C) {
	r := c.relay("a")
	rows := r.waiting("k", 3)
	r.settle(failed(2, long), rows[0])
	c.want("due", r.due())
	rows = r.waiting("j", 2)
	r.settle(failed(7, c.opt.wait), rows[0])
	c.past(c.opt.wait)
	due := r.due()
	c.ordered("due after the wait", due, "j00", "j01")
	if due[0].Attempt != 8 || due[1].Attempt != 1 {
		c.Errorf("attempts %d and %d, want 8 and 1", due[0].Attempt, due[1].Attempt)
	}
}

func s3(c *C) {
	r := c.relay("a")
	rows := r.waiting("k", 3)
	r.settle(dead(5), rows[0])
	c.ordered("due", r.due(), "k01", "k02")
}

func s4(c *C) {
	r := c.relay("a")
	rows := r.waiting("k", 3)
	other := r.waiting("j", 1)
	r.settle(block(5), rows[0])
	c.want("due", r.due(), names(other)...)
	c.put("k", "new")
	if !r.row(r.hot(), "new").Behind {
		c.Errorf("a blocked key goes on")
	}
}

func s5(c *C) {
	a := &relay{C: c, name: "a"}
	a.lease(c.opt.wait)
	rows := map[string][]outbox.Row{}
	for _, key := range []string{"p", "q", "r", "s"} {
		rows[key] = a.waiting(key, 2)
	}
	c.past(c.opt.wait)
	b := c.relay("b")
	c.lost("published", a.trySettle(published(), rows["p"][0]))
	c.lost("failed", a.trySettle(failed(9, long), rows["q"][0]))
	c.lost("dead", a.trySettle(dead(9), rows["r"][0]))
	c.lost("blocking", a.trySettle(block(9), rows["s"][0]))
	due := b.due()
	c.want("due for the new owner", due, "p01", "q00", "q01", "r00", "r01", "s00", "s01")
	for _, name := range []string{"q00", "r00", "s00"} {
		if got := b.row(due, name).Attempt; got != 2 {
			c.Errorf("%s: attempt %d after a stale Settle, want 2", name, got)
		}
	}
}

func s6(c *C) {
	r := c.relay("a")
	rows := r.waiting("k", 4)
	for range 2 {
		r.settle(published(), rows[0])
	}
	for range 2 {
		r.settle(dead(3), rows[1])
	}
	for range 2 {
		r.settle(failed(3, 0), rows[2])
	}
	due := r.due()
	c.ordered("due", due, "k02", "k03")
	if due[0].Attempt != 4 {
		c.Errorf("attempt %d, want 4", due[0].Attempt)
	}
}

func s7(c *C) {
	r := c.relay("a")
	rows := r.waiting("k", 4)
	items := []outbox.Outcome{published(), dead(2), failed(6, 0)}
	for i := range items {
		items[i].Seq = rows[i].Seq
	}
	if err := r.Store.Settle(c.ctx, r.held[rows[0].Shard], items); err != nil {
		c.Fatalf("settle: %v", err)
	}
	due := r.due()
	c.ordered("due", due, "k02", "k03")
	if due[0].Attempt != 7 {
		c.Errorf("attempt %d, want 7", due[0].Attempt)
	}
}

func s8(c *C) {
	r := c.relay("a")
	rows := r.waiting("k", 2)
	r.settle(dead(3), rows[0])
	r.settle(failed(1, 0), rows[0])
	c.ordered("due", r.due(), "k01")
	if _, ok := c.Store.(outbox.Inspector); ok {
		if l := c.letters(outbox.Filter{}); len(l) != 1 || l[0].Attempt != 3 {
			c.Errorf("dead letters %+v", l)
		}
	}
}

func inspectCases() []kitCase[*C] {
	return []kitCase[*C]{
		{"I1 stats", "Stats counts what is hot, parked and dead, and knows the age of the oldest live message.", i1},
		{"I2 dead letters", "Dead yields each dead letter that matches once, by shard and Seq, with what failed.", i2},
		{"I3 filters", "Filters select by ID, topic, key and lane, and bound the number.", i3},
		{"I4 redrive", "A redriven message is due at once with no attempts spent; it comes before what is parked behind it.", i4},
		{"I5 redrive keeps the order", "Within a key the earliest goes first, and what is hot follows.", i5},
		{"I6 skip", "A skipped message is gone for good, and its key goes on.", i6},
		{"N1 notifications", "Listen calls wake after a commit, until its context ends.", n1},
	}
}

func i1(c *C) {
	inspector := c.inspector()
	stats := func(what string, hot, parked, dead int64) time.Duration {
		s, err := inspector.Stats(c.ctx)
		if err != nil {
			c.Fatalf("stats: %v", err)
		}
		if s.Hot != hot || s.Parked != parked || s.Dead != dead {
			c.Errorf("%s: %+v, want %d hot, %d parked, %d dead", what, s, hot, parked, dead)
		}
		return s.Oldest
	}
	r := c.relay("a")
	if age := stats("empty", 0, 0, 0); age != 0 {
		c.Errorf("the oldest of nothing is %v old", age)
	}
	begun := time.Now()
	c.put("k", "m0", "m1")
	c.past(c.opt.wait)
	if age := stats("two hot", 2, 0, 0); age < c.opt.wait || age > time.Since(begun)+c.opt.margin {
		c.Errorf("the oldest is %v old, written %v ago", age, time.Since(begun))
	}
	c.put("x", "x0")
	c.put("y", "y0")
	r.parkHot(failed(1, long), "m0")
	r.parkHot(dead(1), "x0")
	r.parkHot(block(1), "y0")
	if age := stats("parked", 0, 2, 2); age < c.opt.wait {
		c.Errorf("the oldest is %v old, a parked one counts", age)
	}
	c.put("z", "z0")
	stats("one more", 1, 2, 2)
}

// cemetery leaves dead letters of several topics, keys and lanes.
func (c *C) cemetery(r *relay) []outbox.Message {
	messages := []outbox.Message{
		{ID: uuid.New(), Topic: "a", Key: "k", Payload: []byte("0")},
		{ID: uuid.New(), Topic: "b", Key: "k", Payload: []byte("1")},
		{ID: uuid.New(), Topic: "a", Key: "j", Payload: []byte("2")},
		{ID: uuid.New(), Topic: "b", Key: "j", Payload: []byte("3"), Lane: 1},
		{ID: uuid.New(), Topic: "a", Payload: []byte("4"), Headers: []outbox.Header{{Key: "h", Value: "v"}}},
	}
	c.send(messages...)
	r.again()
	for _, row := range r.hot() {
		r.park(dead(3), row)
	}
	c.put("alive", "alive")
	return messages
}

func i2(c *C) {
	r := c.relay("a")
	messages := c.cemetery(r)
	letters := c.letters(outbox.Filter{})
	if len(letters) != len(messages) {
		c.Fatalf("%d dead letters, want %d", len(letters), len(messages))
	}
	lastShard, lastSeq := -1, int64(0)
	for _, l := range letters {
		if l.Shard < lastShard || l.Shard == lastShard && l.Seq <= lastSeq {
			c.Errorf("shard %d, Seq %d after shard %d, Seq %d", l.Shard, l.Seq, lastShard, lastSeq)
		}
		lastShard, lastSeq = l.Shard, l.Seq
		if l.Err != "it failed" || l.Attempt != 3 || l.Blocks || l.DiedAt.IsZero() {
			c.Errorf("%q: %q after %d attempts at %v, blocks %t", l.Payload, l.Err, l.Attempt, l.DiedAt, l.Blocks)
		}
	}
	c.put("b", "blocking")
	r.parkHot(block(1), "blocking")
	if l := c.letters(outbox.Filter{Key: "b"}); len(l) != 1 || !l[0].Blocks {
		c.Errorf("the blocking letter is %+v", l)
	}
	for range c.inspector().Dead(c.ctx, outbox.Filter{}) {
		break // a caller may stop early
	}
	// What failed before stays recorded if nothing new is said.
	c.put("e", "twice")
	r.parkHot(failed(1, 0), "twice")
	r.settle(outbox.Outcome{Fate: outbox.Dead, Attempts: 2}, r.row(r.due(), "twice"))
	if l := c.letters(outbox.Filter{Key: "e"}); len(l) != 1 || l[0].Err != "it failed" {
		c.Errorf("the letter that says nothing new is %+v", l)
	}
}

func i3(c *C) {
	r := c.relay("a")
	messages := c.cemetery(r)
	one := uint8(1)
	zero := uint8(0)
	for what, q := range map[string]struct {
		f    outbox.Filter
		want []int
	}{
		"ID":            {outbox.Filter{ID: messages[2].ID}, []int{2}},
		"topic":         {outbox.Filter{Topic: "a"}, []int{0, 2, 4}},
		"key":           {outbox.Filter{Key: "j"}, []int{2, 3}},
		"lane 1":        {outbox.Filter{Lane: &one}, []int{3}},
		"lane 0":        {outbox.Filter{Lane: &zero}, []int{0, 1, 2, 4}},
		"topic and key": {outbox.Filter{Topic: "b", Key: "k"}, []int{1}},
		"nothing":       {outbox.Filter{Key: "unknown"}, nil},
	} {
		want := map[uuid.UUID]bool{}
		for _, i := range q.want {
			want[messages[i].ID] = true
		}
		letters := c.letters(q.f)
		for _, l := range letters {
			if !want[l.ID] {
				c.Errorf("by %s: %q is there", what, l.Payload)
			}
		}
		if len(letters) != len(want) {
			c.Errorf("by %s: %d letters, want %d", what, len(letters), len(want))
		}
	}
	if l := c.letters(outbox.Filter{Limit: 2}); len(l) != 2 {
		c.Errorf("%d letters, the limit is 2", len(l))
	}
	inspector := c.inspector()
	c.resolve("redrive by topic", inspector.Redrive, outbox.Filter{Topic: "b", Limit: 1}, 1)
	c.resolve("skip by key", inspector.Skip, outbox.Filter{Key: "unknown"}, 0)
	if l := c.letters(outbox.Filter{}); len(l) != 4 {
		c.Errorf("%d letters are left of 5 after one was redriven", len(l))
	}
}

func i4(c *C) {
	inspector := c.inspector()
	r := c.relay("a")
	c.put("k", "m0", "m1", "m2")
	r.parkHot(block(9), "m0")
	c.want("blocked", r.due())
	c.resolve("redrive", inspector.Redrive, outbox.Filter{Key: "k"}, 1)
	c.resolve("redrive again", inspector.Redrive, outbox.Filter{Key: "k"}, 0)
	due := r.due()
	c.ordered("due", due, "m0", "m1", "m2")
	if due[0].Attempt != 1 {
		c.Errorf("attempt %d after a redrive, want 1", due[0].Attempt)
	}
	if l := c.letters(outbox.Filter{}); len(l) != 0 {
		c.Errorf("%d dead letters are left", len(l))
	}
	r.settle(published(), due...)
	c.want("due in the end", r.due())
}

func i5(c *C) {
	inspector := c.inspector()
	r := c.relay("a")
	c.put("k", "m0", "m1", "m2", "m3")
	rows := r.hot()
	r.park(dead(1), rows[2], rows[0]) // in the wrong order
	r.ack(rows[1])
	c.resolve("redrive", inspector.Redrive, outbox.Filter{}, 2)
	c.put("k", "m4")
	for _, row := range r.hot() {
		if !row.Behind {
			c.Errorf("%s is not behind what was redriven", row.Payload)
		}
		r.park(outbox.Outcome{Fate: outbox.Behind}, row)
	}
	c.ordered("due", r.due(), "m0", "m2", "m3", "m4")
}

func i6(c *C) {
	inspector := c.inspector()
	r := c.relay("a")
	c.put("k", "m0", "m1")
	r.parkHot(block(9), "m0")
	c.resolve("skip", inspector.Skip, outbox.Filter{Key: "k"}, 1)
	c.resolve("skip again", inspector.Skip, outbox.Filter{Key: "k"}, 0)
	c.ordered("due", r.due(), "m1")
	if l := c.letters(outbox.Filter{}); len(l) != 0 {
		c.Errorf("%d dead letters are left", len(l))
	}
}
