package report

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"
)

// Machine is what the run ran on.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"` // that the process may use
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Go     string `json:"go"`
	Commit string `json:"commit"`         // of this project; "unknown" outside of a repository
	Load   string `json:"load,omitempty"` // average over a minute when the run began; "" = not known
	// Sync is how long it takes to write 4 KiB to the end of a file and to sync it.
	Sync    time.Duration     `json:"sync_ns"`
	Modules map[string]string `json:"modules"` // versions of what is compared
}

// Inspect looks at the machine. Files are written to dir.
func Inspect(ctx context.Context, dir string) (Machine, error) {
	m := Machine{
		CPU: cpuid.CPU.BrandName, Cores: runtime.GOMAXPROCS(0), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Go: runtime.Version(), Commit: commit(ctx), Load: load(), Modules: modules(),
	}
	if m.CPU == "" {
		m.CPU = "unknown CPU"
	}
	var err error
	m.Sync, err = syncTime(dir)
	return m, err
}

// instantSync is faster than any disk that survives a power cut.
const instantSync = 10 * time.Microsecond

// warning says what would make the figures of durable stores meaningless; "" = nothing.
func (m Machine) warning() string {
	if m.Sync >= instantSync {
		return ""
	}
	return fmt.Sprintf("a sync takes %v here, so nothing is synced: choose a directory on a disk with --dir", m.Sync)
}

// syncTime is the median of some appends, each with a sync.
func syncTime(dir string) (_ time.Duration, err error) {
	f, err := os.CreateTemp(dir, "sync")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4096)
	all := make([]time.Duration, 32)
	for i := range all {
		start := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		all[i] = time.Since(start)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// commit is what the build was stamped with or, since go run does not stamp, what git says of
// the working directory.
func commit(ctx context.Context) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		var revision, changed string
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value[:min(len(s.Value), 12)]
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = " with changes"
			}
		}
		if revision != "" {
			return revision + changed
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	revision, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	c := strings.TrimSpace(string(revision))
	if status, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(status) > 0 {
		c += " with changes"
	}
	return c
}

// load is the first number of Linux's /proc/loadavg.
func load() string {
	data, err := os.ReadFile(filepath.FromSlash("/proc/loadavg"))
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(data), " ")
	return first
}

// modules are the versions of the databases and libraries that are compared.
func modules() map[string]string {
	versions := make(map[string]string)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	compared := []string{
		"github.com/ncruces/go-sqlite3", "modernc.org/sqlite",
		"github.com/cenkalti/backoff/v4", "github.com/cenkalti/backoff/v5",
		"github.com/avast/retry-go/v4", "github.com/avast/retry-go/v5",
		"github.com/sethvargo/go-retry", "github.com/failsafe-go/failsafe-go", "github.com/sony/gobreaker/v2",
	}
	for _, dep := range info.Deps {
		if slices.Contains(compared, dep.Path) {
			versions[dep.Path] = dep.Version
		}
	}
	return versions
}
