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
	single  int           // so many messages are sent one by one, to find which one opens it
	changed chan struct{} // closed when the lane may be served again

	// What happened before what: a call proves nothing about what came after it began.
	turn     int // counts beginnings of calls
	openedAt int
	accused  []accusation // the latest
}

// accusation is that a message failed as if the destination were down.
type accusation struct {
	message Ref
	at      int  // turn
	refuted bool // the destination was not down: others got through since
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

// begin notes that a call begins.
func (l *lane) begin() (turn int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn++
	return l.turn
}

// up is told that a call that began at the turn got something through. It shuts the breaker,
// unless the call began before the breaker opened, and says whether it was open.
func (l *lane) up(began int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.accused {
		l.accused[i].refuted = l.accused[i].refuted || l.accused[i].at < began
	}
	if !l.open || began <= l.openedAt {
		return false
	}
	l.open, l.probing = false, false
	close(l.changed)
	l.changed = make(chan struct{})
	return true
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
		l.note(suspects[0])
	case len(suspects) > 1:
		l.single = len(suspects)
	}
	l.open, l.probing, l.openedAt = true, false, l.turn
	if next := now.Add(max(after, jitter(l.probe, 0.1))); next.After(l.next) {
		l.next = next
	}
	return was
}

// accuse remembers that a message failed as if the destination were down.
func (l *lane) accuse(r Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(r)
}

func (l *lane) note(r Ref) {
	l.accused = slices.DeleteFunc(l.accused, func(a accusation) bool { return a.message == r })
	if len(l.accused) == maxAccused {
		l.accused = slices.Delete(l.accused, 0, 1)
	}
	l.accused = append(l.accused, accusation{message: r, at: l.turn})
}

// blames says whether the message has failed as if the destination were down before, though
// it was not: so it is the message's fault.
func (l *lane) blames(r Ref) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.open && slices.ContainsFunc(l.accused, func(a accusation) bool { return a.message == r && a.refuted })
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
