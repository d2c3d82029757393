package httpmw_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"example.com/once/httpmw"
)

// eventLog collects what Observe is told.
type eventLog struct {
	mu   sync.Mutex
	list []httpmw.IdempotencyEvent
	more chan struct{}
}

func (l *eventLog) add(_ context.Context, e httpmw.IdempotencyEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, e)
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// wait returns the n-th event, counted from 0, once there is one. An answer may reach
// the client before its event is told.
func (l *eventLog) wait(t *testing.T, n int) httpmw.IdempotencyEvent {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		l.mu.Lock()
		if len(l.list) > n {
			e := l.list[n]
			l.mu.Unlock()
			return e
		}
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		select {
		case <-more:
		case <-limit:
			t.Fatalf("no event %d", n)
		}
	}
}

func (l *eventLog) want(t *testing.T, results ...string) {
	t.Helper()
	for i, r := range results {
		if e := l.wait(t, i); e.Result != r {
			t.Fatalf("event %d is %q (%v), want %q", i, e.Result, e.Err, r)
		}
	}
}
