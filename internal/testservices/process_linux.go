package testservices

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// isolations are the ways to set a child apart, the best one first; a container may
// refuse namespaces, so the last one does without.
func isolations() []func(*exec.Cmd) {
	return []func(*exec.Cmd){
		func(cmd *exec.Cmd) {
			attr := base()
			attr.Cloneflags = syscall.CLONE_NEWPID
			if attr.Credential == nil {
				// Without root a PID namespace needs a user namespace around it.
				attr.Cloneflags |= syscall.CLONE_NEWUSER
				attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
				attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
			}
			cmd.SysProcAttr = attr
		},
		func(cmd *exec.Cmd) { cmd.SysProcAttr = base() },
	}
}

// base kills the child with its parent, gives it a process group, and takes root away.
func base() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if uid, gid, ok := nobody(); ok {
		attr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
	return attr
}

// killTree ends the child's process group; in a PID namespace the kernel ends the rest.
func killTree(p *os.Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL) // an error means that it has ended already
}

// giveAway lets the server's user own dir and everybody read it.
func giveAway(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("give folder away: %w", err)
	}
	if uid, gid, ok := nobody(); ok {
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			return fmt.Errorf("give folder away: %w", err)
		}
	}
	return nil
}

// nobody returns the unprivileged user that root runs servers as; ok is false without root.
func nobody() (uid, gid uint32, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return 0, 0, false
	}
	id, errUID := strconv.ParseUint(u.Uid, 10, 32)
	group, errGID := strconv.ParseUint(u.Gid, 10, 32)
	return uint32(id), uint32(group), errUID == nil && errGID == nil
}
