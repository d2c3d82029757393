package chaos

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// shop is the target: a page of metrics on which releases go bad and recover. It
// knows what a watcher should have noticed.
type shop struct {
	every    time.Duration // between two incidents
	lasts    time.Duration // of an incident, at least
	answers  int           // in which an incident shows, at least
	mu       sync.Mutex
	random   *rand.Rand
	faults   bool
	releases []*release
	asked    int
	refused  int
}

// release is one version of the shop's software. It goes bad, and then it is mended.
type release struct {
	name   string
	bad    bool
	since  time.Time // when it went bad
	shown  int       // complete answers that showed it in its present condition
	errors float64
}

const forgottenAfter = 20 // answers in which a mended release still shows

func newShop(seed uint64) *shop {
	return &shop{
		every: 900 * time.Millisecond, lasts: 2500 * time.Millisecond, answers: 12,
		random: rand.New(rand.NewPCG(seed, 1)), faults: true,
	}
}

// step makes releases go bad, if more may, and mends those that were bad long enough to
// be noticed by anybody who looks. It returns how many are bad.
func (s *shop) step(now time.Time, more bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := time.Time{}
	open := 0
	for _, r := range s.releases {
		last = r.since
		if r.bad && now.Sub(r.since) >= s.lasts && r.shown >= s.answers {
			r.bad, r.shown, r.errors = false, 0, s.random.Float64()*0.01
		}
		if r.bad {
			open++
		}
	}
	if more && now.Sub(last) >= s.every {
		name := fmt.Sprintf("r%03d", len(s.releases)+1)
		s.releases = append(s.releases, &release{name: name, bad: true, since: now, errors: 0.1 + s.random.Float64()*0.8})
		open++
	}
	return open
}

// calm ends the faults of the metrics page.
func (s *shop) calm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = false
}

// noticed are the releases that a watcher should have told of twice: when they went bad
// and when they recovered.
func (s *shop) noticed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, r := range s.releases {
		names = append(names, r.name)
	}
	return names
}

// ServeHTTP answers with the metrics, or not.
func (s *shop) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	s.asked++
	dice := 1.0
	if s.faults {
		dice = s.random.Float64()
	}
	shown := slices.DeleteFunc(slices.Clone(s.releases), func(r *release) bool { return !r.bad && r.shown > forgottenAfter })
	lines := make([]string, len(shown))
	for i, r := range shown {
		lines[i] = fmt.Sprintf("shop_error_ratio{release=%q} %.4f\n", r.name, r.errors)
	}
	if dice < 0.3 {
		s.refused++
	}
	s.mu.Unlock()

	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	switch {
	case dice < 0.15:
		http.Error(w, "too busy", http.StatusServiceUnavailable)
		return
	case dice < 0.3: // the connection breaks off in the middle
		w.Header().Set("Content-Length", "100000")
		fmt.Fprint(w, "shop_error_ratio{release=\"r")
		panic(http.ErrAbortHandler)
	}
	b := bufio.NewWriter(w)
	fmt.Fprint(b, "# HELP shop_error_ratio Share of requests that fail, by release.\n# TYPE shop_error_ratio gauge\n")
	for _, line := range lines {
		fmt.Fprint(b, line)
	}
	if b.Flush() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range shown {
		r.shown++
	}
}

// counts adds what the shop saw to v.
func (s *shop) counts(v *Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.Scrapes, v.Refused = s.asked, s.refused
}
