package outboxtest

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"

	"example.com/once/outbox"
)

func fetchCases() []kitCase[*C] {
	return []kitCase[*C]{
		{"F1 order and cursors", "Fetch reads hot messages beyond each cursor, in order of Seq within a shard.", f1},
		{"F2 limit", "Fetch reads at most Limit messages of a shard, and says when there may be more.", f2},
		{"F3 bytes", "Reading ends once the page has Bytes of payload, but never before the first message.", f3},
		{"F4 behind", "Behind is set exactly if another message of the key is parked and live, or blocks the key.", f4},
		{"F5 late commits", "A message that is committed late appears, and Safe stays below it until it has.", f5},
		{"F6 only what is asked for", "Fetch reads the shards of the cursors, no others.", f6},
		{"F7 no locks", "Fetch waits for no writer.", f7},
		{"A1 ack", "Ack removes the messages named and no others; what is not there is passed over.", a1},
		{"A2 ack by a stale relay", "Ack is not fenced: the message did go out.", a2},
		{"A3 ack of a parked message", "Ack removes hot messages only.", a3},
	}
}

func f1(c *C) {
	for i := range 100 {
		c.put(fmt.Sprint("k", i%7), fmt.Sprintf("%03d", i))
	}
	r := c.relay("a")
	rows := r.hot()
	if len(rows) != 100 {
		c.Fatalf("%d of 100 messages are read", len(rows))
	}
	last := map[int]int64{}
	for _, row := range rows {
		if row.Seq <= last[row.Shard] {
			c.Fatalf("shard %d: Seq %d after %d", row.Shard, row.Seq, last[row.Shard])
		}
		last[row.Shard] = row.Seq
	}
	// Beyond the middle of each shard.
	half := map[int]int64{}
	for n := range last {
		mine := ofShard(rows, n)
		half[n] = mine[len(mine)/2].Seq
	}
	from := r.from()
	for i := range from {
		from[i].After = half[from[i].Shard]
	}
	for _, row := range r.fetch(outbox.FetchRequest{From: from, Limit: 1000, Bytes: math.MaxInt32}).Rows {
		if row.Seq <= half[row.Shard] {
			c.Errorf("shard %d: Seq %d is not beyond %d", row.Shard, row.Seq, half[row.Shard])
		}
		delete(half, row.Shard)
	}
	for n, at := range half {
		if last[n] > at {
			c.Errorf("shard %d: nothing is read beyond %d, though %d is there", n, at, last[n])
		}
	}
}

func ofShard(rows []outbox.Row, n int) (of []outbox.Row) {
	for _, row := range rows {
		if row.Shard == n {
			of = append(of, row)
		}
	}
	return of
}

func f2(c *C) {
	c.put("k", sequence("m", 10)...)
	r := c.relay("a")
	for _, q := range []struct {
		limit, want int
		more        bool
	}{{3, 3, true}, {9, 9, true}, {11, 10, false}, {100, 10, false}} {
		page := r.fetch(outbox.FetchRequest{From: r.from(), Limit: q.limit, Bytes: math.MaxInt32})
		c.ordered(fmt.Sprint("limit ", q.limit), page.Rows, sequence("m", 10)[:q.want]...)
		if page.More != q.more {
			c.Errorf("limit %d of 10 messages: more %t", q.limit, page.More)
		}
	}
	for i := range 60 {
		c.put(fmt.Sprint("other", i), fmt.Sprint("o", i))
	}
	seen := map[int]int{}
	for _, row := range r.fetch(outbox.FetchRequest{From: r.from(), Limit: 2, Bytes: math.MaxInt32}).Rows {
		if seen[row.Shard]++; seen[row.Shard] > 2 {
			c.Errorf("shard %d: more than 2 messages", row.Shard)
		}
	}
}

func f3(c *C) {
	big := strings.Repeat("x", 1000)
	for i := range 20 {
		c.put(fmt.Sprint("k", i), big)
	}
	r := c.relay("a")
	for _, q := range []struct{ bytes, least, most int }{{1, 1, 1}, {2500, 3, 3}, {20_000, 20, 20}} {
		page := r.fetch(outbox.FetchRequest{From: r.from(), Limit: 1000, Bytes: q.bytes})
		if n := len(page.Rows); n < q.least || n > q.most {
			c.Errorf("%d messages of 1000 bytes in a page of %d", n, q.bytes)
		}
		if !page.More && len(page.Rows) < 20 {
			c.Errorf("a page of %d bytes ended after %d of 20 messages and says that there is no more", q.bytes, len(page.Rows))
		}
	}
	for _, row := range r.hot() {
		if !bytes.Equal(row.Payload, []byte(big)) {
			c.Errorf("a payload is not what was written")
		}
	}
}

func f4(c *C) {
	r := c.relay("a")
	c.put("failing", "failing0")
	c.put("dead", "dead0")
	c.put("blocked", "blocked0")
	c.put("", "unordered0")
	c.send(outbox.Message{Topic: "t", Key: "delayed", Payload: []byte("delayed0"), NotBefore: time.Now().Add(long)})
	r.parkHot(failed(1, long), "failing0")
	r.parkHot(dead(1), "dead0")
	r.parkHot(block(1), "blocked0")
	r.parkHot(failed(1, long), "unordered0")
	for _, key := range []string{"failing", "dead", "blocked", "delayed", "fine"} {
		c.put(key, key+"1")
	}
	c.put("", "unordered1")
	c.send(outbox.Message{Topic: "t", Key: "failing", Lane: 1, Payload: []byte("other lane")})
	r.again()
	rows := r.hot()
	for name, behind := range map[string]bool{
		"failing1": true, "blocked1": true, "dead1": false, "delayed1": false, "fine1": false, "unordered1": false, "other lane": false,
	} {
		if got := r.row(rows, name).Behind; got != behind {
			c.Errorf("%s: behind %t, want %t", name, got, behind)
		}
	}
}

func f5(c *C) {
	if c.opt.oneWriter {
		c.Skipf("the database has one writer at a time")
	}
	r := c.relay("a")
	tx := c.begin()
	c.write(tx, keyed("late", "late")...)
	c.put("k", sequence("m", 20)...)
	page := r.fetch(outbox.FetchRequest{From: r.from(), Limit: 1000, Bytes: math.MaxInt32})
	c.want("beside an open transaction", page.Rows, sequence("m", 20)...)
	r.ack(page.Rows...)
	c.commit(tx)
	rows := r.hot()
	c.want("after its commit", rows, "late")
	if page.Safe >= rows[0].Seq {
		c.Errorf("Safe was %d, and Seq %d appeared", page.Safe, rows[0].Seq)
	}
	// From the mark that Safe allows it is found, too.
	from := r.from()
	for i := range from {
		from[i].After = min(page.Safe, rows[0].Seq+100)
	}
	c.want("from Safe on", r.fetch(outbox.FetchRequest{From: from, Limit: 1000, Bytes: math.MaxInt32}).Rows, "late")
}

func f6(c *C) {
	for i := range 50 {
		c.put(fmt.Sprint("k", i), fmt.Sprint(i))
	}
	r := c.relay("a")
	all := r.hot()
	for _, from := range r.from() {
		rows := r.fetch(outbox.FetchRequest{From: []outbox.Cursor{from}, Limit: 1000, Bytes: math.MaxInt32}).Rows
		c.want(fmt.Sprint("shard ", from.Shard), rows, names(ofShard(all, from.Shard))...)
	}
	if rows := r.fetch(outbox.FetchRequest{Limit: 1000, Bytes: math.MaxInt32}).Rows; len(rows) > 0 {
		c.Errorf("%d messages of no shard", len(rows))
	}
}

func f7(c *C) {
	r := c.relay("a")
	c.put("k", "before")
	tx := c.begin()
	c.write(tx, keyed("k", "open")...)
	c.want("beside a writer", r.hot(), "before") // a reader that waits runs out of the case's time
	c.commit(tx)
	c.ordered("after its commit", r.hot(), "before", "open")
}

func a1(c *C) {
	r := c.relay("a")
	c.put("k", sequence("m", 10)...)
	rows := r.hot()
	r.ack(rows[2], rows[5])
	r.ack(rows[2], rows[5])
	ghost := outbox.Row{Delivery: outbox.Delivery{Shard: rows[0].Shard, Seq: rows[9].Seq + 1000}}
	r.ack(ghost, rows[7])
	r.ack()
	c.ordered("what is left", r.hot(), "m00", "m01", "m03", "m04", "m06", "m08", "m09")
}

func a2(c *C) {
	c.put("k", "m0", "m1")
	a := &relay{C: c, name: "a"}
	a.lease(c.opt.wait)
	rows := a.hot()
	c.past(c.opt.wait)
	a.ack(a.row(rows, "m0"))
	b := c.relay("b")
	c.ordered("after an ack past the lease", b.hot(), "m1")
	a.ack(a.row(rows, "m1"))
	c.ordered("after an ack past a take-over", b.hot())
}

func a3(c *C) {
	r := c.relay("a")
	c.put("k", "m0")
	rows := r.hot()
	r.park(failed(1, 0), rows...)
	r.ack(rows...)
	c.want("a parked message", r.due(), "m0")
}
