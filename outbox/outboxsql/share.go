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
// Each relay is owed the least that everybody gets when the shards are divided; what then
// remains goes to whoever comes first. So a relay takes what it is owed, and of the rest
// only what nobody is owed; it gives back what it has beyond the least, as far as others
// lack theirs and too few shards are free for them.
func (h holdings) share() (take, surplus int) {
	relays := len(h.others) + 1
	least, most := h.shards/relays, (h.shards+relays-1)/relays
	owed := 0
	for _, n := range h.others {
		owed += max(0, least-n)
	}
	take = max(0, min(least-h.mine, h.free))
	take += max(0, min(most-h.mine-take, h.free-take-owed))
	surplus = max(0, min(h.mine-least, owed-h.free))
	return take, surplus
}
