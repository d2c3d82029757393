package storm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/cenkalti/backoff/v4"

	"example.com/once/retry"
)

// The world: clients that each want one answer a second, and a server that has half as much
// room again as they need. It is out of order for a while. And whenever more was asked of it
// than it has room for, it answers nobody for a moment, as a server does whose queue is full of
// requests that their callers have given up.
const (
	moment   = 100 * time.Millisecond
	outageAt = 10 * time.Second
	outage   = 10 * time.Second
	end      = 60 * time.Second
)

// clients is how many there are: fewer under the race detector, under which everything takes ten
// times as long. The ratios are the same.
func clients() int {
	info, ok := debug.ReadBuildInfo()
	if testing.Short() || ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return 200
	}
	return 2000
}

var errDown = errors.New("cannot now")

type server struct {
	mu      sync.Mutex
	clients int
	start   time.Time
	asked   map[int64]int // by moment
	calls   [end/time.Second + 1]int
	succeed [end/time.Second + 1]int
}

func (s *server) call(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := time.Since(s.start)
	second := min(int(age/time.Second), len(s.calls)-1)
	s.calls[second]++
	at := int64(age / moment)
	s.asked[at]++
	if age >= outageAt && age < outageAt+outage || s.asked[at-1] > s.clients*3/2*int(moment)/int(time.Second) {
		return errDown
	}
	s.succeed[second]++
	return nil
}

// played is what became of the world.
type played struct {
	during   float64       // load in the outage, as a multiple of the clients' own
	after    float64       // load in the last ten seconds
	load     []float64     // by second
	recovers time.Duration // from the end of the outage until everybody is answered again; -1 = never
}

// play lets every client call through once a second.
func play(t *testing.T, through func(op func(context.Context) error) func(context.Context) error) (p played) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &server{clients: clients(), start: time.Now(), asked: make(map[int64]int)}
		call := through(s.call)
		ctx, cancel := context.WithTimeout(t.Context(), end)
		defer cancel()
		var wg sync.WaitGroup
		random := rand.New(rand.NewPCG(1, 2))
		for range s.clients {
			phase := time.Duration(random.Int64N(int64(time.Second)))
			wg.Go(func() {
				time.Sleep(phase)
				for ctx.Err() == nil {
					next := time.Now().Add(time.Second)
					if call(ctx) != nil && ctx.Err() != nil {
						return
					}
					time.Sleep(time.Until(next))
				}
			})
		}
		wg.Wait()
		p = s.judge()
	})
	return p
}

func (s *server) judge() (p played) {
	sum := func(counts []int) (n int) {
		for _, c := range counts {
			n += c
		}
		return n
	}
	const first, last = int(outageAt / time.Second), int((outageAt + outage) / time.Second)
	seconds := int(end / time.Second)
	p.during = float64(sum(s.calls[first:last])) / float64(s.clients*(last-first))
	p.after = float64(sum(s.calls[seconds-10:seconds])) / float64(s.clients*10)
	for second := 1; second < seconds; second++ { // in the first one the clients begin
		p.load = append(p.load, float64(s.calls[second])/float64(s.clients))
	}
	p.recovers = -1
	for second := last; second < seconds; second++ {
		if s.succeed[second] >= s.clients*95/100 {
			p.recovers = time.Duration(second-last+1) * time.Second
			break
		}
	}
	return p
}

func (p played) row(name string) string {
	recovers := "never"
	if p.recovers >= 0 {
		recovers = fmt.Sprintf("within %v", p.recovers)
	}
	return fmt.Sprintf("%s\t%.1f x\t%.1f x\t%s\n", name, p.during, p.after, recovers)
}

// under makes every call one under the policy.
func under(p *retry.Policy) func(func(context.Context) error) func(context.Context) error {
	return func(op func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error { return retry.Do(ctx, p, op) }
	}
}

// layers puts three services between the clients and the server, each of which retries.
func layers(p *retry.Policy, inner func(context.Context) context.Context) func(func(context.Context) error) func(context.Context) error {
	return func(op func(context.Context) error) func(context.Context) error {
		for range 3 {
			below := op
			op = func(ctx context.Context) error {
				return retry.Do(inner(ctx), p, below)
			}
		}
		return op
	}
}

func same(ctx context.Context) context.Context { return ctx }

func TestStorm(t *testing.T) {
	fixed := &retry.Policy{MaxAttempts: 4, Backoff: retry.Constant(200 * time.Millisecond)}
	doubling := &retry.Policy{MaxAttempts: 4, Backoff: func() retry.Schedule {
		return backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0))
	}}
	byDefault := &retry.Policy{Budget: &retry.Budget{}}
	eager := &retry.Policy{MaxAttempts: 4, Backoff: retry.Constant(0)}
	polite := &retry.Policy{MaxAttempts: 4, Backoff: retry.Exponential(50*time.Millisecond, 20*time.Second)}
	budgeted := *polite
	budgeted.Budget = &retry.Budget{}
	breaker, err := retry.NewBreaker("server", retry.BreakerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	broken := *polite
	broken.Breaker = breaker
	single := &retry.Policy{MaxAttempts: 3, Backoff: retry.Exponential(10*time.Millisecond, 100*time.Millisecond)}

	none := func(op func(context.Context) error) func(context.Context) error { return op }
	rows := []struct {
		name    string
		through func(func(context.Context) error) func(context.Context) error
		holds   func(played) bool // what docs/storms.md says of it
	}{
		{"no retries", none, func(p played) bool { return p.during < 1.1 && p.recovers == time.Second }},
		{"4 attempts, no wait", under(eager), func(p played) bool { return p.during > 3.5 && p.recovers < 0 }},
		{"4 attempts, 200 ms apart", under(fixed), func(p played) bool { return p.during > 3.5 && p.recovers < 0 }},
		{"4 attempts, doubling from 50 ms", under(doubling), func(p played) bool { return p.during > 3.5 && p.recovers < 0 }},
		{"4 attempts, full jitter", under(polite), func(p played) bool { return p.during > 2.5 && p.recovers < 0 }},
		{"4 attempts, full jitter, budget", under(&budgeted), func(p played) bool { return p.during < 1.3 && p.recovers > 0 && p.recovers <= 5*time.Second }},
		{"the default policy, budget", under(byDefault), func(p played) bool { return p.during < 1.2 && p.recovers > 0 && p.recovers <= 5*time.Second }},
		{"4 attempts, full jitter, breaker", under(&broken), func(p played) bool { return p.during < 1.5 && p.recovers > 0 && p.recovers <= 15*time.Second }},
		{"3 layers of 3 attempts, guard lifted", layers(single, retry.Fresh), func(p played) bool { return p.during > 15 && p.recovers < 0 }},
		{"3 layers of 3 attempts", layers(single, same), func(p played) bool { return p.during < 8 }},
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "clients\tload in the outage\tload at the end\teverybody is answered again\n")
	curves := make([]curve, 0, len(rows))
	for _, r := range rows {
		p := play(t, r.through)
		curves = append(curves, curve{r.name, p.load})
		fmt.Fprint(w, p.row(r.name))
		if !r.holds(p) {
			t.Errorf("%s: %+v", r.name, p)
		}
	}
	_ = w.Flush()
	t.Log("\n" + b.String())
	if *picture != "" {
		if err := os.WriteFile(*picture, []byte(draw(curves)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
