package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"example.com/once/monitoring/cmd/internal/chaos"
)

// chaosFlags are those of demo and chaos.
type chaosFlags struct {
	Naive bool   `help:"Run without idempotency keys, unit of work and outbox, to see what they are for. This fails."`
	Seed  uint64 `help:"Make the same things fail again; 0 is a random seed." default:"0" placeholder:"N"`
	Keep  bool   `help:"Leave the folder with database, configuration and logs behind."`
	JSON  bool   `name:"json" help:"Print the verdict as JSON."`
}

type demoCmd struct {
	chaosFlags
	Duration time.Duration `help:"How long things are made to fail." default:"30s"`
}

type chaosCmd struct {
	chaosFlags
	Kills int `help:"How many times a replica is killed." default:"50"`
}

func (c *demoCmd) Run(ctx context.Context, s streams) error {
	if c.Duration < time.Second {
		return mistake{fmt.Errorf("--duration=%v is too short for anything to fail; give at least 1s", c.Duration)}
	}
	return c.run(ctx, s, chaos.Config{Duration: c.Duration})
}

func (c *chaosCmd) Run(ctx context.Context, s streams) error {
	if c.Kills < 1 {
		return mistake{fmt.Errorf("--kills=%d: give at least 1", c.Kills)}
	}
	return c.run(ctx, s, chaos.Config{Kills: c.Kills})
}

func (f *chaosFlags) run(ctx context.Context, s streams, c chaos.Config) error {
	c.Naive, c.Seed, c.Keep = f.Naive, f.Seed, f.Keep
	c.Out, c.Live = s.err, terminal(s.err)
	what := "two replicas on one database"
	if c.Naive {
		what = "two replicas without the toolkit"
	}
	fmt.Fprintf(s.err, "%s, a target that answers when it feels like it, a receiver that fails a third of the time\n", what)
	v, err := chaos.Run(ctx, c)
	if err != nil {
		return err
	}
	if f.JSON {
		err = json.NewEncoder(s.out).Encode(v)
	} else {
		err = v.Print(s.out)
	}
	if err == nil && !v.Pass() {
		err = errFailed
	}
	return err
}

// terminal says whether w is one that understands a line written over.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
