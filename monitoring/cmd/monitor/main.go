// Command monitor fetches metrics, evaluates rules and emits each alert once, however many
// replicas of it run on one database and however often they are killed.
//
//	monitor serve --config monitor.yml   runs a replica
//	monitor check --config monitor.yml   checks the configuration and its rules
//	monitor demo                         shows on this machine that it holds what it promises
//	monitor chaos --kills 50             the same, for longer and rougher
//
// It ends with status 0 if all went well, 1 if it did not, and 2 if it was asked for
// something that cannot be, as by a mistake in the configuration.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Serve   serveCmd   `cmd:"" help:"Run a replica."`
	Check   checkCmd   `cmd:"" help:"Check a configuration and its rules, and start nothing."`
	Demo    demoCmd    `cmd:"" help:"Run two replicas while things are made to fail, and judge: PASS if every alert had its effect once."`
	Chaos   chaosCmd   `cmd:"" help:"Kill replicas, at random moments, so many times, and judge as demo does."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Exit statuses.
const (
	statusFailed  = 1
	statusMistake = 2
)

// mistake is an error that the caller can mend: exit status 2.
type mistake struct{ error }

func (m mistake) Unwrap() error { return m.error }

// errFailed says that the verdict, which has been printed, is not PASS.
var errFailed = errors.New("failed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(status)
}

// run runs the command that args name and returns the exit status.
func run(ctx context.Context, args []string, s streams) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("monitor"),
		kong.Description("Fetches metrics, evaluates rules and emits each alert once."),
		kong.Writers(s.out, s.err),
		kong.Exit(func(code int) { exited = code }),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
	)
	if err != nil {
		fmt.Fprintln(s.err, "monitor:", err)
		return statusFailed
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // help was asked for
		return exited
	}
	if err != nil {
		fmt.Fprintf(s.err, "monitor: %v; monitor --help says what there is\n", err)
		return statusMistake
	}
	switch err := command.Run(); {
	case err == nil:
		return 0
	case errors.Is(err, errFailed):
		return statusFailed
	default:
		// A joined error has one problem a line.
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(s.err, "monitor:", line)
		}
		if _, ok := errors.AsType[mistake](err); ok {
			return statusMistake
		}
		return statusFailed
	}
}
