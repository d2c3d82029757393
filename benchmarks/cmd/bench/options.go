package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// options are the command's flags.
type options struct {
	callers []int
	rounds  int
	time    time.Duration
	limit   time.Duration // a busy machine has until then
	run     *regexp.Regexp
	json    bool
	out     string
	dir     string
	list    bool
}

// usageError is an error of the command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

const (
	fullTime    = 60 * time.Second
	fullRounds  = 7
	quickTime   = 10 * time.Second
	quickRounds = 3
	// A few per cent show in many short turns sooner than in a few long ones.
	limitsTime   = 30 * time.Second
	limitsRounds = 31
	limitsRun    = "^(retry|client)/"
	leastTime    = time.Second
)

// parse returns flag.ErrHelp after it has written the help to stderr.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	quick := fs.Bool("quick", false, "a rough look in about 10 s: 3 rounds, 1 and 8 callers")
	limits := fs.Bool("limits", false, "measure only what has a limit, in about 30 s and 31 rounds; other runs tell of the limits that they come across")
	callers := fs.String("callers", "", "numbers of concurrent `callers`, as in 1,8,64 (the default)")
	fs.IntVar(&o.rounds, "rounds", 0, "how often each operation has its turn: `n` (default 7); 6 give intervals of 95 %")
	fs.DurationVar(&o.time, "time", 0, "what all of it should take: `duration` (default 60s); on a busy machine it may take up to a minute")
	run := fs.String("run", "", "measure what `regexp` matches in suite/backend/durability/operation/callers=N, and what it is compared with")
	fs.BoolVar(&o.json, "json", false, "print JSON instead of the table")
	fs.StringVar(&o.out, "out", "", "leave results.txt (for benchstat) and report.html in `folder`")
	fs.StringVar(&o.dir, "dir", os.TempDir(), "`folder` for the databases; it should be on the disk that is to be measured")
	fs.BoolVar(&o.list, "list", false, "list what would be measured, and stop")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stderr, "usage: go run ./benchmarks/cmd/bench [flags]\n\n")
			fs.SetOutput(stderr)
			fs.PrintDefaults()
			return o, err
		}
		return o, usagef("%w; --help lists the flags", err)
	}
	if fs.NArg() > 0 {
		return o, usagef("unexpected argument %q; choose operations with --run", fs.Arg(0))
	}
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if *limits && (*quick || given["run"]) {
		return o, usagef("--limits chooses what is measured; leave out --quick and --run")
	}
	if *limits {
		*run = limitsRun
	}
	return o, o.complete(given, defaultsFor(*quick, *limits), *callers, *run)
}

// defaults are for the flags that are not given.
type defaults struct {
	time    time.Duration
	rounds  int
	callers string
}

func defaultsFor(quick, limits bool) defaults {
	switch {
	case quick:
		return defaults{quickTime, quickRounds, "1,8"}
	case limits:
		return defaults{limitsTime, limitsRounds, "1"}
	}
	return defaults{fullTime, fullRounds, "1,8,64"}
}

// complete fills in the defaults and checks what was given.
func (o *options) complete(given map[string]bool, d defaults, callers, run string) error {
	if !given["time"] {
		o.time = d.time
	}
	o.limit = max(o.time, fullTime)
	if !given["rounds"] {
		o.rounds = d.rounds
	}
	if !given["callers"] {
		callers = d.callers
	}
	const mostRounds, mostCallers = 100, 4096
	switch {
	case o.time < leastTime:
		return usagef("--time is %v; give at least %v", o.time, leastTime)
	case o.rounds < 1 || o.rounds > mostRounds:
		return usagef("--rounds is %d; give 1 to %d", o.rounds, mostRounds)
	}
	for field := range strings.SplitSeq(callers, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 1 || n > mostCallers {
			return usagef("--callers: %q is not a number from 1 to %d; give a list as in 1,8,64", field, mostCallers)
		}
		o.callers = append(o.callers, n)
	}
	var err error
	if o.run, err = regexp.Compile(run); err != nil {
		return usagef("--run: %w", err)
	}
	return nil
}
