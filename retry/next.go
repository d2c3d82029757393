package retry

import "time"

// nextHorizon is how far Next follows a schedule: by then every schedule waits its longest.
const nextHorizon = 1000

// Next is one durable step without sleeping, for rows and queues: attempt number attempt, from 1, has just failed with
// err. A nil reason means: go on after wait. It ignores Budget, Breaker and MaxElapsed, since it
// knows nothing of the attempts before, and takes a requested wait uncapped. It makes no [Event].
//
// The schedule is made anew and followed to its attempt-th wait, at most to its 1000th.
func (p *Policy) Next(attempt int, err error) (wait time.Duration, reason error) {
	if p == nil {
		p = &Policy{}
	}
	v, _ := p.judge(err)
	if reason = p.refuses(attempt, v); reason != nil {
		return 0, reason
	}
	schedule := p.schedule()
	for range min(max(attempt, 1), nextHorizon) {
		if wait = schedule.NextBackOff(); wait < 0 {
			return 0, ErrBackoff
		}
	}
	asked := v.After
	if v.Overload && asked == 0 {
		asked = overloadFloor
	}
	return stretch(wait, asked), nil
}
