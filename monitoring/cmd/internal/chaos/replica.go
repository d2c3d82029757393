package chaos

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// replica is one process of the monitor, which is started again whenever it ends.
type replica struct {
	name string
	args []string
	log  string // path of the file that gets what it prints

	mu      sync.Mutex
	process *os.Process // nil between two
	leave   io.Closer   // the process ends in good order when it is closed
	killed  bool        // the present process
	kills   int
	stopped bool // no further process is wanted
}

// run keeps a process alive until stop is called. One that ends by itself at once is a
// mistake in the set-up, which repeating would not mend.
func (r *replica) run() error {
	for {
		began := time.Now()
		cmd, err := r.start()
		if cmd == nil {
			return err
		}
		err = cmd.Wait()
		r.mu.Lock()
		r.process = nil
		stopped, killed := r.stopped, r.killed
		r.mu.Unlock()
		switch {
		case stopped && err != nil && !killed:
			return fmt.Errorf("replica %s did not end in good order: %w; what it printed is in %s", r.name, err, r.log)
		case stopped:
			return nil
		case !killed && time.Since(began) < time.Second:
			return fmt.Errorf("replica %s ended at once: %w; what it printed is in %s", r.name, err, r.log)
		}
	}
}

// start starts a process, unless none is wanted any more.
func (r *replica) start() (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start replica %s: %w", r.name, err)
	}
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start replica %s: %w", r.name, err)
	}
	defer log.Close() // the process has its own
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return nil, nil //nolint:nilnil // nothing is to be started and nothing is wrong
	}
	cmd := exec.Command(self, r.args...) //nolint:gosec,noctx // it is this program; a context would kill it where it has to drain
	cmd.Stdout, cmd.Stderr = log, log
	leave, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start replica %s: %w", r.name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start replica %s: %w", r.name, err)
	}
	r.process, r.leave, r.killed = cmd.Process, leave, false
	return cmd, nil
}

// kill ends the process as kill -9 does, and says whether there was one.
func (r *replica) kill() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil || r.killed || r.process.Kill() != nil {
		return false
	}
	r.killed = true
	r.kills++
	return true
}

// stop wants no further process, and asks the present one to end in good order.
func (r *replica) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if r.leave != nil {
		_ = r.leave.Close()
	}
}

// abandon wants no further process, and ends the present one at whatever price.
func (r *replica) abandon() {
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil {
		_ = r.process.Kill()
	}
}

func (r *replica) killCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kills
}
