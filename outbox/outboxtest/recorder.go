package outboxtest

import (
	"fmt"
	"runtime"
	"sync"
)

// recorder collects what a case has to say. It is the part of testing.TB that cases use, so
// that the kit's own tests can run them where they must fail.
type recorder struct {
	mu       sync.Mutex
	failures []string
	skipped  string
}

// Errorf records a failure.
func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	const most = 10 // the first ones say it
	if len(r.failures) < most {
		r.failures = append(r.failures, fmt.Sprintf(format, args...))
	}
}

// Fatalf records a failure and ends the case. Only the case's own goroutine may call it.
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// Skipf ends the case.
func (r *recorder) Skipf(format string, args ...any) {
	r.mu.Lock()
	r.skipped = fmt.Sprintf(format, args...)
	r.mu.Unlock()
	runtime.Goexit()
}

func (r *recorder) result() (failures []string, skipped string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failures, r.skipped
}
