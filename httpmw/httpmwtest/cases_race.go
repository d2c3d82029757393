package httpmwtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// race sends the same request several times at once.
func (s *session) race(ctx context.Context, key string) ([]reply, error) {
	replies := make([]reply, s.Parallel)
	errs := make([]error, s.Parallel)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range replies {
		all.Go(func() {
			<-start
			replies[i], errs[i] = s.once(ctx, 0, key)
		})
	}
	close(start)
	all.Wait()
	return replies, errors.Join(errs...)
}

// duplicatesHaveOneEffect races duplicates a few times: whoever is not refused must get the same answer, and so must
// everybody afterwards.
func duplicatesHaveOneEffect(ctx context.Context, s *session) error {
	for range 5 {
		before, err := s.count(ctx)
		if err != nil {
			return err
		}
		key := newKey()
		replies, err := s.race(ctx, key)
		if err != nil {
			return err
		}
		final, err := s.settled(ctx, key)
		if err != nil {
			return err
		}
		for _, r := range replies {
			if r.status != http.StatusConflict && !r.same(final) {
				return fmt.Errorf("of duplicates at once one got %s, others %s", r, final)
			}
		}
		if err := s.tookEffect(ctx, before, 1); err != nil {
			return err
		}
	}
	return nil
}

// settled repeats a request until it is not in flight any more, and must then succeed.
func (s *session) settled(ctx context.Context, key string) (reply, error) {
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		r, err := s.once(ctx, 0, key)
		if err != nil {
			return r, err
		}
		if r.status != http.StatusConflict {
			if !r.succeeded() {
				return r, fmt.Errorf("after a while answered with %s", r)
			}
			return r, nil
		}
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-limit.C:
			next.Stop()
			return r, fmt.Errorf("still answered with %s after a minute", r)
		case <-ctx.Done():
			next.Stop()
			return r, &unreachableError{context.Cause(ctx)}
		}
	}
}

// duplicatesAreRefused asks what happens to those that come while the first runs. A service that lets them wait
// refuses none; a fast one may not get to it.
func duplicatesAreRefused(ctx context.Context, s *session) error {
	replies, err := s.race(ctx, newKey())
	if err != nil {
		return err
	}
	conflicts := 0
	for _, r := range replies {
		switch {
		case r.status == http.StatusConflict && !r.explains():
			return fmt.Errorf("neither a problem document nor a link: %s", r)
		case r.status == http.StatusConflict:
			conflicts++
		case !r.succeeded():
			return fmt.Errorf("a duplicate was answered with %s", r)
		}
	}
	if conflicts == 0 {
		return skipError("no duplicate was refused: they wait, or the operation is too fast to tell")
	}
	return nil
}

// leavingLosesNothing breaks the connection off while the request is under way.
func leavingLosesNothing(ctx context.Context, s *session) error {
	before, err := s.count(ctx)
	if err != nil {
		return err
	}
	const rounds = 5
	for round := range rounds {
		key := newKey()
		leaving, leave := context.WithCancel(ctx)
		left := make(chan struct{})
		go func() {
			defer close(left)
			_, _ = s.once(leaving, 0, key) // it is meant to fail, early or late
		}()
		wait := time.NewTimer(time.Duration(round) * time.Millisecond)
		select {
		case <-wait.C:
		case <-left:
			wait.Stop()
		}
		leave()
		<-left
		first, err := s.settled(ctx, key)
		if err != nil {
			return err
		}
		again, err := s.once(ctx, 0, key)
		if err != nil {
			return err
		}
		if !again.same(first) {
			return fmt.Errorf("after a client left, the next got %s, then %s", first, again)
		}
	}
	return s.tookEffect(ctx, before, rounds)
}
