package testservices

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// process is one child. err is its end, readable once done is closed.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// startProcess starts binary in dir, its output appended to the file log.
//
// The kernel's parent-death signal belongs to the thread that started the child, not
// to the process: when that thread ends, the child is killed. So a goroutine of its own
// is locked to its thread, starts the child and stays until the child has ended.
func startProcess(binary string, args []string, dir, log string) (*process, error) {
	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		out, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			started <- fmt.Errorf("open log: %w", err)
			return
		}
		for _, isolate := range isolations() {
			// A command cannot be started twice, so each degree of isolation gets its own.
			//nolint:noctx // It outlives the call; kill ends it.
			p.cmd = exec.Command(binary, args...)
			p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
			isolate(p.cmd)
			if err = p.cmd.Start(); err == nil {
				break
			}
		}
		_ = out.Close() // the child has its own copy
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// kill ends the child and its children and waits for the end.
func (p *process) kill() {
	select {
	case <-p.done: // its number may be somebody else's by now
	default:
		killTree(p.cmd.Process)
		<-p.done
	}
}
