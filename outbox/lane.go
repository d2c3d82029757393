package outbox

import (
	"slices"
	"sync"
	"time"
)

// lane is the breaker of one isolation class: shut it lets everything through, open it
// lets one message through per probe interval.
type lane struct {
	number uint8
	probe  time.Duration

	mu      sync.Mutex
	open    bool
	probing bool          // one worker is trying
	next    time.Time     // of the next probe
	stuck   int           // publish calls that ignore their context
	accused []Ref         // the latest messages that looked as if the destination were down
	single  int           // so many messages are sent one by one, to find which one opens it
	changed chan struct{} // closed when the lane may be served again
}

// maxAccused is how many messages a lane remembers.
const maxAccused = 64

type passage uint8

const (
	pass  passage = iota + 1 // everything
	probe                    // one message; then tell the lane
	shut                     // nothing before the returned wait is over
)

func newLane(number uint8, probe time.Duration) *lane {
	return &lane{number: number, probe: probe, changed: make(chan struct{})}
}

// enter asks whether the lane may be served. Whoever is answered probe must call one of
// up, down and pause.
func (l *lane) enter(now time.Time) (passage, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stuck > 0:
		return shut, l.probe
	case !l.open:
		return pass, 0
	case l.probing || now.Before(l.next):
		return shut, max(l.next.Sub(now), l.probe/8)
	}
	l.probing = true
	return probe, 0
}

// wait returns a channel that is closed when the lane is served again.
func (l *lane) wait() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// up shuts the breaker, since something got through, and says whether it was open.
func (l *lane) up() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.open
	l.open, l.probing = false, false
	if was {
		l.signal()
	}
	return was
}

// down opens the breaker for at least after, since nothing got through and the suspects
// failed as if the destination were down. It says whether the breaker was shut.
func (l *lane) down(now time.Time, after time.Duration, suspects []Ref) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := !l.open
	switch {
	case !was: // a probe says nothing about a message
	case len(suspects) == 1:
		l.remember(suspects[0])
	case len(suspects) > 1:
		l.single = len(suspects)
	}
	l.open, l.probing = true, false
	if next := now.Add(max(after, jitter(l.probe, 0.1))); next.After(l.next) {
		l.next = next
	}
	return was
}

// accuse remembers a message that failed as if the destination were down, while others got
// through.
func (l *lane) accuse(r Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remember(r)
}

func (l *lane) remember(r Ref) {
	if slices.Contains(l.accused, r) {
		return
	}
	if len(l.accused) == maxAccused {
		l.accused = slices.Delete(l.accused, 0, 1)
	}
	l.accused = append(l.accused, r)
}

// blames says whether the message has failed as if the destination were down before, and
// others have got through since: so it is the message's fault.
func (l *lane) blames(r Ref) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.open && slices.Contains(l.accused, r)
}

// alone says whether the next message is to be sent by itself.
func (l *lane) alone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.single == 0 {
		return false
	}
	l.single--
	return true
}

// pause gives a probe back that proved nothing.
func (l *lane) pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.probing = false
}

// stick counts publish calls that do not return, and their returns.
func (l *lane) stick(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stuck += n
	if l.stuck == 0 {
		l.signal()
	}
}

func (l *lane) isOpen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

func (l *lane) isStuck() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stuck > 0
}

func (l *lane) signal() {
	close(l.changed)
	l.changed = make(chan struct{})
}
