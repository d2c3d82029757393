package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"example.com/once/monitoring/cmd/internal/service"
	"example.com/once/monitoring/infra/configfile"
)

type serveCmd struct {
	Config           string `help:"The configuration file." default:"monitor.yml" placeholder:"FILE"`
	LogLevel         string `help:"debug, info, warn or error." default:"info" enum:"debug,info,warn,error"`
	LogJSON          bool   `name:"log-json" help:"Log as JSON."`
	UntilStdinCloses bool   `hidden:"" help:"End when standard input does, so that a parent's death is noticed."`
	Naive            bool   `hidden:"" help:"Send at once and keep nothing, to be compared with."`
}

// Run serves until it is told to end.
func (c *serveCmd) Run(ctx context.Context, s streams) error {
	config, err := configfile.Load(c.Config)
	if err != nil {
		return mistake{err}
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return mistake{err}
	}
	var handler slog.Handler = slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level})
	if c.LogJSON {
		handler = slog.NewJSONHandler(s.err, &slog.HandlerOptions{Level: level})
	}
	svc, err := service.New(ctx, service.Options{Config: config, Naive: c.Naive, Logger: slog.New(handler)})
	if err != nil {
		return mistake{err}
	}
	fmt.Fprintf(s.err, "monitor: replica %s serves http://%s\n", config.Replica, svc.Addr())
	if c.UntilStdinCloses {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() { // ends with the process
			_, _ = io.Copy(io.Discard, s.in)
			cancel()
		}()
	}
	return svc.Run(ctx)
}

type checkCmd struct {
	Config string `help:"The configuration file." default:"monitor.yml" placeholder:"FILE"`
}

// Run checks a configuration.
func (c *checkCmd) Run(s streams) error {
	config, err := configfile.Load(c.Config)
	if err != nil {
		return mistake{err}
	}
	rules, err := service.Check(config)
	if err != nil {
		return mistake{err}
	}
	fmt.Fprintf(s.out, "%s is fine: %d targets, %d rules, %d sinks\n", c.Config, len(config.Targets), rules, len(config.Sinks))
	return nil
}

type versionCmd struct{}

// Run prints the version that the program was built from.
func (versionCmd) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, "monitor", service.Version())
	if err != nil {
		return fmt.Errorf("print the version: %w", err)
	}
	return nil
}
