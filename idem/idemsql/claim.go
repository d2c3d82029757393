package idemsql

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"example.com/once/idem"
)

// rounds is how often a statement is tried again because the key changed between reading
// and writing. Each round that fails is somebody else's success.
const rounds = 64

// Claim implements [idem.Store]. What is not for the claimer to take is answered from one
// SELECT. A key to take costs one statement more; it compares what was read, so that of
// several claimers one wins and the others read again.
func (s *records) Claim(ctx context.Context, c idem.Claim) (idem.Record, error) {
	if err := checkClaim(c); err != nil {
		return idem.Record{}, err
	}
	if err := s.lock(ctx); err != nil {
		return idem.Record{}, err
	}
	from := s.read
	for range rounds {
		r, err := s.get(ctx, "claim", from, c.Key)
		if err != nil {
			return idem.Record{}, err
		}
		state, statement := s.decide(r, c)
		if state != idem.Acquired {
			return r.record(c.Key, state), nil
		}
		r, err = s.take(ctx, statement, r, c)
		if err != nil {
			return idem.Record{}, err
		}
		if r != nil {
			return r.record(c.Key, idem.Acquired), nil
		}
		from = s.write // the reader may lag behind
	}
	return idem.Record{}, &unchangedError{s.e.failed("claim", errBusyKey)}
}

// decide is the order of [idem.Store.Claim]. For Acquired it names the statement that takes
// the key.
func (s *records) decide(r *row, c idem.Claim) (idem.State, string) {
	switch {
	case r == nil:
		return idem.Acquired, s.e.insert
	case !r.live():
		return idem.Acquired, s.e.restart
	case c.Fingerprint != nil && r.fingerprint != nil && !bytes.Equal(c.Fingerprint, r.fingerprint):
		return idem.Mismatch, ""
	case r.phase == done, r.phase == doneBare:
		return idem.Done, ""
	case r.phase == held:
		return idem.Abandoned, ""
	case r.phase == released:
		return idem.Acquired, s.e.takeOver
	case bytes.Equal(r.token, c.Token[:]):
		return idem.Acquired, s.e.reclaim
	case r.alive():
		return idem.InFlight, ""
	case c.NoTakeover:
		return idem.Abandoned, ""
	default:
		return idem.Acquired, s.e.takeOver
	}
}

// take runs the statement that decide named. It returns nil if the key has changed.
func (s *records) take(ctx context.Context, statement string, r *row, c idem.Claim) (*row, error) {
	lease := ceil(c.Lease)
	args := []any{c.Token[:], blob(c.Fingerprint), lease, max(ceil(c.Keep), lease)}
	if r == nil {
		args = append([]any{[]byte(c.Key)}, args...)
	} else {
		args = append(args, []byte(c.Key), r.fence, r.rev)
	}
	return s.one(ctx, "claim", s.write, statement, noMore, args...)
}

func checkClaim(c idem.Claim) error {
	if err := checkKey(c.Key); err != nil {
		return err
	}
	switch {
	case c.Token == uuid.Nil:
		return errors.New("idemsql: Claim.Token is zero, it must be random")
	case c.Lease <= 0:
		return fmt.Errorf("idemsql: Claim.Lease is %v, it must be positive", c.Lease)
	default:
		return nil
	}
}
