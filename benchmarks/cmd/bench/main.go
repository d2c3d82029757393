// Command bench measures what once adds to the work that it guards, on every backend that can
// run here, and prints one table. From the root of the repository:
//
//	go run ./benchmarks/cmd/bench
//
// Results go to standard output, progress to standard error. The exit status is 0, 1 if an
// operation failed or did not do what its name says, 2 if the flags are wrong, and 130 after
// an interrupt, which prints what was measured so far.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"example.com/once/benchmarks/backend"
	"example.com/once/benchmarks/measure"
	"example.com/once/benchmarks/report"
	"example.com/once/benchmarks/suite"
)

const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends the process
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitUsage
	}
	r, err := bench(ctx, o, stdout, stderr)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "bench: %v\n", err)
		if _, usage := errors.AsType[usageError](err); usage {
			return exitUsage
		}
		return exitFailed
	case ctx.Err() != nil:
		return exitInterrupted
	case r.Failed():
		return exitFailed
	default:
		return 0
	}
}

// bench measures and writes.
func bench(ctx context.Context, o options, stdout, stderr io.Writer) (r *report.Report, err error) {
	dir, err := os.MkdirTemp(o.dir, "once-bench")
	if err != nil {
		return nil, usagef("--dir: %w; choose a directory that can be written to", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	usable, skipped := backend.Usable(ctx, backend.All(), dir)
	groups := suite.All(usable, dir)
	ids := measure.IDs(groups, o.callers, o.run.MatchString)
	if len(ids) == 0 {
		return nil, usagef("--run %q matches nothing; --list shows what there is", o.run)
	}
	if o.list {
		for _, id := range ids {
			if _, err := fmt.Fprintln(stdout, id); err != nil {
				return nil, err
			}
		}
		return &report.Report{}, nil
	}
	r = &report.Report{Started: time.Now(), Rounds: o.rounds, Callers: o.callers}
	for _, s := range skipped {
		r.Skipped = append(r.Skipped, report.Skipped{Backend: s.Name, Durability: s.Durability, Reason: s.Reason.Error()})
		fmt.Fprintf(stderr, "bench: %s (%s) cannot run here: %v\n", s.Name, s.Durability, s.Reason)
	}
	if r.Machine, err = report.Inspect(ctx, dir); err != nil {
		return nil, fmt.Errorf("--dir %s: %w; choose a directory that can be written to", o.dir, err)
	}
	progress := newProgress(stderr)
	r.Outcome, err = measure.Run(ctx, groups, measure.Config{
		Callers: o.callers, Rounds: o.rounds, Time: o.time, Limit: o.limit, Match: o.run.MatchString, Progress: progress.show,
	})
	progress.clear()
	if err != nil {
		return nil, err
	}
	r.Took = time.Since(r.Started)
	switch {
	case ctx.Err() != nil:
		r.Stopped = "interrupted"
	case r.Missing > 0:
		r.Stopped = fmt.Sprintf("stopped after %v (give more with --time, or measure less with --run)", o.limit)
	}
	return r, write(r, o, stdout, stderr)
}

// write prints r and, if asked to, leaves its files.
func write(r *report.Report, o options, stdout, stderr io.Writer) error {
	results := report.Table
	if o.json {
		results = report.JSON
	}
	if err := results(stdout, r); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	if o.out == "" {
		return nil
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return fmt.Errorf("--out: %w; choose a directory that can be made", err)
	}
	for _, f := range []struct {
		name  string
		write func(io.Writer, *report.Report) error
	}{
		{"results.txt", report.Benchfmt},
		{"report.html", report.HTML},
	} {
		path := filepath.Join(o.out, f.name)
		if err := writeFile(path, r, f.write); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		fmt.Fprintf(stderr, "bench: wrote %s\n", path)
	}
	return nil
}

func writeFile(path string, r *report.Report, write func(io.Writer, *report.Report) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f, r)
}
