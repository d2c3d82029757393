package idemtest

import (
	"context"
	"fmt"
	"strings"

	"example.com/once/idem"
)

const racers = 100

func claimCases() []kitCase {
	return []kitCase{
		{"S1 new key", "Claim: absent gives Acquired, attempt 1, with a fence greater than 0.", s1},
		{"S2 key in flight", "Claim: lease alive gives InFlight, with what is left of the lease.", s2},
		{"S3 own token", "Claim: own token, not released, gives Acquired, same fence and attempt, lease restarted.", s3},
		{"S4 parallel claims", "Claim is one atomic step: of 100 parallel claims one is Acquired, the others are InFlight.", s4},
		{"S5 parallel takeover", "Claim: lease over gives Acquired, attempt+1, to one of 100 parallel claims, with a higher fence.", s5},
		{"S5 no early takeover", "A lease holds for as long as it was asked for, and is then claimable.", s5Early},
		{"S6 parallel claims past retention", "Claim: past retention is absent: attempt 1, a new fingerprint, and a fence higher than any before.", s6},
		{"S7 results", "Claim: Done gives the result byte for byte; nil is a tombstone and not an empty result.", s7},
		{"S8 done and another fingerprint", "Claim: both fingerprints given and different gives Mismatch, reveals nothing and changes nothing.", s8},
		{"S9 fingerprint stays bound", "The fingerprint stays bound in flight, past the lease, after Release and after a takeover.", s9},
		{"S10 no fingerprint", "A nil fingerprint compares to nothing; the first one that a granted claim gives is bound.", s10},
		{"S11 no takeover", "Claim: lease over gives Abandoned under NoTakeover, every time, and changes nothing.", s11},
		{"S12 held", "Claim: a held key is Abandoned, for everybody, its last holder included.", s12},
		{"S13 any bytes in a key", "A key is 1 to 255 bytes of any value, and another byte is another key.", s13},
		{"S14 prefixes", "A key that begins with another key is another key.", s14},
		{"S15 cancelled claim", "An error leaves a claim unknown; repeating it with the same token settles it.", s15},
		{"S16 everything repeated", "Every method is safe to repeat with the same token after a lost acknowledgement.", s16},
		{"S17 replays write nothing", "A replay writes nothing.", s17},
		{"S40 short lease", "A lease of less than a second ends, and not before its time.", s40},
		{"S41 longest times", "A lease, a renewal and a retention of any length are taken; longer than the store can count is as long as it can.", s41Longest},
		{"S41 lease longer than keep", "A record that is never completed lives at least as long as its lease.", s41},
	}
}

func s1(c *C) {
	cl := claimOf("k")
	cl.Fingerprint = []byte("f")
	rec := c.want("first claim", cl, idem.Acquired)
	if rec.Lease.Attempt != 1 {
		c.Errorf("attempt %d, want 1", rec.Lease.Attempt)
	}
	if string(rec.Fingerprint) != "f" {
		c.Errorf("fingerprint %q, want the claim's", rec.Fingerprint)
	}
	if rec.Left <= long/2 || rec.Left > long {
		c.Errorf("%v of the lease left, want up to %v", rec.Left, long)
	}
	if rec.Age < 0 || rec.Age > c.opt.timeout {
		c.Errorf("age %v", rec.Age)
	}
	if rec.Progress.Seq != 0 || rec.Progress.Data != nil {
		c.Errorf("progress %+v, want none", rec.Progress)
	}
}

func s2(c *C) {
	first := c.acquire("k")
	rec := c.want("second claim", claimOf("k"), idem.InFlight)
	if rec.Left <= long/2 || rec.Left > long {
		c.Errorf("%v of the lease left, want up to %v", rec.Left, long)
	}
	if rec.Lease.Fence != first.Fence || rec.Lease.Attempt != first.Attempt {
		c.Errorf("lease %+v, want the holder's: %+v", rec.Lease, first)
	}
	c.want("third claim", claimOf("k"), idem.InFlight)
	c.renew(first, long, nil)
}

func s3(c *C) {
	cl := claimOf("k")
	cl.Lease = long / 4
	first := c.want("claim", cl, idem.Acquired)
	cl.Lease = long
	again := c.want("the same claim again", cl, idem.Acquired)
	if again.Lease != first.Lease {
		c.Errorf("lease %+v, want that of the first time: %+v", again.Lease, first.Lease)
	}
	if again.Left <= long/2 {
		c.Errorf("%v of the lease left; it was not restarted", again.Left)
	}
	c.want("a claim by another", claimOf("k"), idem.InFlight)
	c.complete(first.Lease, []byte("r"))

	short := claimOf("late")
	short.Lease = c.opt.lease
	first = c.want("claim", short, idem.Acquired)
	c.past(short.Lease)
	again = c.want("the same claim after its lease, with nobody else there", short, idem.Acquired)
	if again.Lease != first.Lease {
		c.Errorf("lease %+v, want that of the first time: %+v", again.Lease, first.Lease)
	}
}

func s4(c *C) {
	won := c.winner(claimOf("k"))
	if won.Lease.Attempt != 1 {
		c.Errorf("attempt %d, want 1", won.Lease.Attempt)
	}
	c.complete(won.Lease, []byte("winner"))
	c.replays("after the race", "k", []byte("winner"))
}

func s5(c *C) {
	cl := claimOf("k")
	cl.Lease = c.opt.lease
	first := c.want("first claim", cl, idem.Acquired)
	c.past(cl.Lease)
	won := c.winner(claimOf("k"))
	if won.Lease.Attempt != 2 {
		c.Errorf("attempt %d, want 2", won.Lease.Attempt)
	}
	if won.Lease.Fence <= first.Lease.Fence {
		c.Errorf("fence %d, want more than %d", won.Lease.Fence, first.Lease.Fence)
	}
	if won.Age < cl.Lease/2 {
		c.Errorf("age %v, want the time since the first claim of the record", won.Age)
	}
	c.complete(won.Lease, []byte("winner"))
}

func s6(c *C) {
	keep := c.opt.lease
	cl := claimOf("k")
	cl.Fingerprint = []byte("old")
	first := c.want("first claim", cl, idem.Acquired)
	if _, err := c.store.Complete(c.ctx, first.Lease, []byte("r"), keep); err != nil {
		c.Fatalf("complete: %v", err)
	}
	c.past(keep)
	next := claimOf("k")
	next.Fingerprint = []byte("another")
	won := c.winner(next)
	if won.Lease.Attempt != 1 {
		c.Errorf("attempt %d, want 1", won.Lease.Attempt)
	}
	if won.Lease.Fence <= first.Lease.Fence {
		c.Errorf("fence %d, want more than %d", won.Lease.Fence, first.Lease.Fence)
	}
	if string(won.Fingerprint) != "another" {
		c.Errorf("fingerprint %q, want the new one", won.Fingerprint)
	}
}

func s7(c *C) {
	size := 1 << 20
	if c.opt.maxResult > 0 {
		size = min(size, c.opt.maxResult)
	}
	large, all := make([]byte, size), make([]byte, 256)
	for i := range large {
		large[i] = byte(i * i >> 7)
	}
	for i := range all {
		all[i] = byte(i)
	}
	for name, result := range map[string][]byte{
		"tombstone": nil, "empty": {}, "zero byte": {0}, "text": []byte("receipt"), "all byte values": all, "large": large,
	} {
		key := idem.Key(name)
		l := c.acquire(key)
		given := append([]byte(nil), result...)
		if result != nil && given == nil {
			given = []byte{}
		}
		c.complete(l, given)
		for i := range given {
			given[i]++ // the store must have its own
		}
		for range 2 {
			c.replays("replay of "+name, key, result)
		}
	}
}

func s8(c *C) {
	cl := claimOf("k")
	cl.Fingerprint = []byte("mine")
	first := c.want("first claim", cl, idem.Acquired)
	c.complete(first.Lease, []byte("secret"))
	other := claimOf("k")
	other.Fingerprint = []byte("yours")
	c.mismatch("after completion", other)
	same := claimOf("k")
	same.Fingerprint = []byte("mine")
	if rec := c.want("the same request again", same, idem.Done); string(rec.Result) != "secret" {
		c.Errorf("result %q after a mismatch, want what was recorded", rec.Result)
	}
}

// mismatch expects that cl is refused and told nothing.
func (c *C) mismatch(what string, cl idem.Claim) {
	rec := c.want(what, cl, idem.Mismatch)
	if rec.Result != nil || rec.Progress.Data != nil {
		c.Errorf("%s: a mismatch reveals result %q and progress %q", what, rec.Result, rec.Progress.Data)
	}
}

func s9(c *C) {
	mine, yours := claimOf("k"), claimOf("k")
	mine.Fingerprint, yours.Fingerprint = []byte("mine"), []byte("yours")
	mine.Lease = c.opt.lease
	c.want("first claim", mine, idem.Acquired)
	c.mismatch("in flight", yours)
	c.past(mine.Lease)
	c.mismatch("after the lease", yours)
	heir := claimOf("k") // has no fingerprint
	taken := c.want("takeover", heir, idem.Acquired)
	c.mismatch("after the takeover", yours)
	c.release(taken.Lease, idem.DispositionRetry)
	c.mismatch("after release", yours)
	mine = claimOf("k")
	mine.Fingerprint = []byte("mine")
	again := c.want("the same request after release", mine, idem.Acquired)
	c.release(again.Lease, idem.DispositionHold)
	c.mismatch("held", yours)
}

func s10(c *C) {
	mine := claimOf("k")
	mine.Fingerprint = []byte("mine")
	l := c.want("first claim", mine, idem.Acquired).Lease
	c.want("no fingerprint, in flight", claimOf("k"), idem.InFlight)
	c.complete(l, []byte("r"))
	c.replays("no fingerprint, done", "k", []byte("r"))

	l = c.acquire("late")
	loser := claimOf("late")
	loser.Fingerprint = []byte("loser")
	c.want("a claim that is refused", loser, idem.InFlight)
	c.release(l, idem.DispositionRetry)
	binder := claimOf("late")
	binder.Fingerprint = []byte("binder")
	rec := c.want("the first granted claim with a fingerprint", binder, idem.Acquired)
	if string(rec.Fingerprint) != "binder" {
		c.Errorf("fingerprint %q, want the claim's", rec.Fingerprint)
	}
	c.release(rec.Lease, idem.DispositionRetry)
	c.mismatch("another fingerprint after it", loser)
}

func s11(c *C) {
	cl := claimOf("k")
	cl.Lease, cl.NoTakeover = c.opt.lease, true
	c.want("first claim", cl, idem.Acquired)
	c.past(cl.Lease)
	other := claimOf("k")
	other.NoTakeover = true
	for range 3 {
		if rec := c.want("a claim after the lease", other, idem.Abandoned); rec.Lease.Token != cl.Token || rec.Lease.Attempt != 1 {
			c.Errorf("lease %+v, want that of the last holder", rec.Lease)
		}
	}
	if rec := c.want("one that may take over", claimOf("k"), idem.Acquired); rec.Lease.Attempt != 2 {
		c.Errorf("attempt %d, want 2", rec.Lease.Attempt)
	}

	first := c.acquire("released")
	c.release(first, idem.DispositionRetry)
	other = claimOf("released")
	other.NoTakeover = true
	if rec := c.want("a claim after release", other, idem.Acquired); rec.Lease.Attempt != 2 {
		c.Errorf("attempt %d, want 2", rec.Lease.Attempt)
	}
}

func s12(c *C) {
	cl := claimOf("k")
	first := c.want("first claim", cl, idem.Acquired)
	c.release(first.Lease, idem.DispositionHold)
	for range 2 {
		c.want("a claim of a held key", claimOf("k"), idem.Abandoned)
		c.want("its last holder's claim", cl, idem.Abandoned)
	}
	careful := claimOf("k")
	careful.NoTakeover = true
	c.want("a claim under NoTakeover", careful, idem.Abandoned)
	rec, err := c.store.Complete(c.ctx, first.Lease, []byte("r"), longKeep)
	c.lost("completion of a held key", err)
	if rec.State == idem.Done {
		c.Errorf("a held key was completed")
	}
}

func s13(c *C) {
	keys := []idem.Key{
		"a", "A", "a ", " a", "a\x00", "\x00", "\x00\x00", "\xff", "\xff\xfe", "\x80", "a\n", "a\r\n", "\t",
		"é", "e\u0301", "日本", //nolint:gosmopolitan // that is the point
		"ı", "ß", "ss", "a.b", "a.*", "a.>", "*", ">", "a/b", "a//b", "/", "..", "%", "_", "a%", "'", "''",
		`"`, `\`, `\0`, "--", ";", "{a}", "$1", "?", ":a", "null", "NULL", "0", "00", "1e1", "-", "\u202e", "\U0001f511",
		idem.Key(strings.Repeat("x", idem.MaxKey)), idem.Key(strings.Repeat("x", idem.MaxKey-1)),
		idem.Key(strings.Repeat("\xff", idem.MaxKey)), idem.Key(strings.Repeat("é", idem.MaxKey/2)), idem.NewKey("scope", "a", "b"),
	}
	leases := make([]idem.Lease, len(keys))
	for i, k := range keys {
		rec := c.want(fmt.Sprintf("key %q", k), claimOf(k), idem.Acquired)
		if rec.Lease.Attempt != 1 {
			c.Fatalf("key %q: attempt %d; it was taken for another key", k, rec.Lease.Attempt)
		}
		leases[i] = rec.Lease
	}
	for i, l := range leases {
		c.complete(l, []byte{byte(i)})
	}
	for i, k := range keys {
		if rec := c.replays(fmt.Sprintf("key %q", k), k, []byte{byte(i)}); rec.Lease.Key != k {
			c.Errorf("the record of key %q names %q", k, rec.Lease.Key)
		}
	}
}

func s14(c *C) {
	for _, k := range []idem.Key{"a", "ab", "abc", idem.NewKey("a", "bc"), idem.NewKey("ab", "c"), idem.NewKey("abc")} {
		c.acquire(k)
	}
}

func s15(c *C) {
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	cl := claimOf("k")
	if _, err := c.store.Claim(ctx, cl); err == nil {
		c.Errorf("a claim with a cancelled context succeeded")
	}
	rec := c.want("the same claim again", cl, idem.Acquired)
	if rec.Lease.Attempt != 1 {
		c.Errorf("attempt %d, want 1", rec.Lease.Attempt)
	}
	for what, err := range map[string]error{
		"renew":   c.store.Renew(ctx, rec.Lease, long, nil),
		"release": c.store.Release(ctx, rec.Lease, idem.DispositionRetry),
	} {
		if err == nil {
			c.Errorf("%s with a cancelled context succeeded", what)
		}
	}
	if _, err := c.store.Complete(ctx, rec.Lease, []byte("r"), longKeep); err == nil {
		c.Errorf("complete with a cancelled context succeeded")
	}
}

func s16(c *C) {
	cl := claimOf("done")
	var l idem.Lease
	for i := range 3 {
		rec := c.want("repeated claim", cl, idem.Acquired)
		if i > 0 && rec.Lease != l {
			c.Fatalf("repeated claim: lease %+v, want %+v", rec.Lease, l)
		}
		l = rec.Lease
	}
	for range 3 {
		c.renew(l, long, &idem.Progress{Seq: 1, Data: []byte("p")})
	}
	for range 3 {
		if rec := c.complete(l, []byte("r")); rec.Lease != l || string(rec.Result) != "r" {
			c.Fatalf("repeated completion: %+v", rec)
		}
	}
	for _, d := range []idem.Disposition{idem.DispositionRetry, idem.DispositionForget, idem.DispositionHold} {
		l := c.acquire(idem.Key(fmt.Sprintf("released %d", d)))
		for range 3 {
			c.release(l, d)
		}
	}
}

func s17(c *C) {
	if c.opt.writes == nil {
		c.Skipf("the option Writes does not say how to count")
	}
	cl := claimOf("k")
	cl.Fingerprint = []byte("f")
	c.complete(c.want("first claim", cl, idem.Acquired).Lease, []byte("r"))
	count := func() int64 {
		n, err := c.opt.writes(c.ctx, c.store)
		if err != nil {
			c.Fatalf("count writes: %v", err)
		}
		return n
	}
	before := count()
	for range 3 {
		again := cl
		again.Token = newToken()
		c.want("replay", again, idem.Done)
	}
	if after := count(); after != before {
		c.Errorf("three replays wrote: %d before, %d after", before, after)
	}
	c.acquire("another")
	if count() == before {
		c.Errorf("a claim of a new key is not counted: the option Writes does not count what it should")
	}
}
