package outboxsql

// holdings describe one lane to the relay that asks for its share.
type holdings struct {
	shards int
	mine   int
	others []int // shards of each other living relay
	free   int
}

// share returns how many free shards the relay may take, and how many it should give back.
//
// When the shards are divided, each relay is owed the least that everybody gets, and one
// more is the most that anybody gets. So a relay takes what it is owed, and then up to the
// most of what nobody is owed. It gives back what others are owed and cannot find free, down
// to the least, and what it has beyond the most, unless enough is free for the others.
func (h holdings) share() (take, surplus int) {
	relays := len(h.others) + 1
	least, most := h.shards/relays, (h.shards+relays-1)/relays
	owed, room := 0, 0 // by how much the others are below the least, and below the most
	for _, n := range h.others {
		owed += max(0, least-n)
		room += max(0, most-n)
	}
	take = max(0, min(least-h.mine, h.free))
	take += max(0, min(most-h.mine-take, h.free-take-owed))
	surplus = max(0, min(h.mine-least, owed-h.free), min(h.mine-most, room-h.free))
	return take, surplus
}
