package outboxsql

import (
	"context"
	"time"

	"example.com/once/outbox"
)

var _ outbox.Notifier = (*Store)(nil)

// pulse is how often Listen looks.
const pulse = 20 * time.Millisecond

// Listen implements [outbox.Notifier]. SQLite tells nobody of a commit, but whether there
// was a message in one takes a single lookup to find out, which costs much less than what
// every worker of a relay does to read its shards.
func (s *Store) Listen(ctx context.Context, wake func()) error {
	ticker := time.NewTicker(pulse)
	defer ticker.Stop()
	for last := int64(-1); ; {
		var seq int64
		err := each(ctx, s.read, s.e.pulse, func(scan func(...any) error) error { return scan(&seq) })
		if err != nil {
			return s.e.failed("listen", err)
		}
		if seq != last && last >= 0 {
			wake()
		}
		last = seq
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
