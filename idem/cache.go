package idem

import (
	"bytes"
	"container/list"
	"hash/maphash"
	"sync"
	"time"
)

const (
	cacheShards   = 16
	cacheOverhead = 300         // bytes an entry costs beside its key and contents, about
	cacheFor      = time.Minute // the longest that an entry is believed
	minCache      = 64 << 10
)

// cache remembers the outcomes of finished keys in this process. It may: an outcome does not
// change before its retention ends, which an entry never outlives, since it counts from
// before the store was asked. Only forgetting a key changes it, and another process's
// forgetting is seen when the entry is not believed any more.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]cacheShard
}

// cacheShard is a part of the keys with a lock of its own.
type cacheShard struct {
	mu      sync.Mutex
	room    int64 // bytes left
	entries map[Key]*list.Element
	recent  *list.List // of *cached, the latest used first
}

type cached struct {
	rec  Record
	size int64
	ends time.Time
}

// newCache makes a cache of so many bytes, or none for 0.
func newCache(size int64) *cache {
	if size == 0 {
		return nil
	}
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i] = cacheShard{room: size / cacheShards, entries: make(map[Key]*list.Element), recent: list.New()}
	}
	return c
}

func (c *cache) shard(k Key) *cacheShard {
	return &c.shards[maphash.String(c.seed, string(k))%cacheShards]
}

// answer is what the store would answer a claim of a finished key, if the cache knows.
func (c *cache) answer(k Key, fingerprint []byte) (Record, bool) {
	if c == nil {
		return Record{}, false
	}
	sh := c.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	el := sh.entries[k]
	if el == nil {
		return Record{}, false
	}
	e := el.Value.(*cached) //nolint:forcetypeassert // nothing else is in the list
	if left := time.Until(e.ends); left <= 0 {
		sh.drop(el)
		return Record{}, false
	}
	sh.recent.MoveToFront(el)
	rec := e.rec
	if fingerprint != nil && rec.Fingerprint != nil && !bytes.Equal(fingerprint, rec.Fingerprint) {
		rec.State, rec.Result = Mismatch, nil
	}
	return rec, true
}

// remember keeps a record that is Done and that the store gave in answer to a call sent at
// sent. The least recently used make room for it.
func (c *cache) remember(rec Record, sent time.Time) {
	if c == nil || rec.State != Done {
		return
	}
	k := rec.Lease.Key
	e := &cached{
		rec:  rec,
		size: cacheOverhead + int64(2*len(k)+len(rec.Fingerprint)+len(rec.Result)),
		ends: sent.Add(min(rec.Left, cacheFor)),
	}
	sh := c.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if el := sh.entries[k]; el != nil {
		sh.drop(el)
	}
	for sh.room < e.size && sh.recent.Len() > 0 {
		sh.drop(sh.recent.Back())
	}
	if sh.room < e.size {
		return
	}
	sh.room -= e.size
	sh.entries[k] = sh.recent.PushFront(e)
}

// forget drops what is known of k.
func (c *cache) forget(k Key) {
	if c == nil {
		return
	}
	sh := c.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if el := sh.entries[k]; el != nil {
		sh.drop(el)
	}
}

func (sh *cacheShard) drop(el *list.Element) {
	e := sh.recent.Remove(el).(*cached) //nolint:forcetypeassert // nothing else is in the list
	delete(sh.entries, e.rec.Lease.Key)
	sh.room += e.size
}
