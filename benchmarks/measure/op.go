// Package measure compares operations by running them side by side: in rounds, each
// operation of a group in turn, so that whatever else the machine does falls on all of them.
// What counts is how they compare within such a run, not how fast they were.
package measure

import (
	"context"
	"slices"
	"strconv"
	"testing"
)

// Group is a set of operations that are compared with each other.
type Group struct {
	Suite      string // what is compared: "store", "retry"
	Backend    string // what it runs on
	Durability string // what survives a crash: "full", "none"
	Callers    []int  // how many at once, instead of [Config.Callers]; nil = those
	Ops        []Op
}

// Op is one operation. It has either Open or Loop.
type Op struct {
	Name string
	// Bare names the operation of the group that this one is compared with: the same work
	// without us. "" = it is not compared.
	Bare string
	// Fresh opens the operation anew for each round, so that what it leaves behind does not
	// grow from round to round.
	Fresh bool
	// Open prepares the operation for callers 0 to callers-1. It is not measured.
	Open func(ctx context.Context, callers int) (*Job, error)
	// Loop is a benchmark with a loop of its own, for operations so short that calling
	// them through a func value would show. It has one caller and no latencies. It
	// returns an error instead of failing b.
	Loop func(b *testing.B) error
}

// Job is an operation that is ready to run.
type Job struct {
	// Call is one operation. Each caller uses its own number; several callers may be in it
	// at once.
	Call func(ctx context.Context, caller int) error
	// Check says, after the last call, whether so many calls did what the operation's name
	// says. nil = each call has told.
	Check func(ctx context.Context, calls int64) error
	// Close releases what Open took; nil = nothing.
	Close func() error
}

// Finish checks and closes the job after so many calls. If ctx has ended it only closes it.
func (j *Job) Finish(ctx context.Context, calls int64) (err error) {
	if j.Close != nil {
		defer func() {
			if closing := j.Close(); err == nil {
				err = closing
			}
		}()
	}
	if j.Check == nil || ctx.Err() != nil {
		return nil
	}
	return j.Check(ctx, calls)
}

// ID names a measurement, for filters: suite/backend/durability/operation/callers=N.
func (g *Group) ID(op *Op, callers int) string {
	return id(g.Suite, g.Backend, g.Durability, op.Name, callers)
}

func id(suite, backend, durability, op string, callers int) string {
	return suite + "/" + backend + "/" + durability + "/" + op + "/callers=" + strconv.Itoa(callers)
}

func (g *Group) callers(asked []int) []int {
	if g.Callers != nil {
		return g.Callers
	}
	return asked
}

// block is a group at one number of callers: what is run side by side.
type block struct {
	group   *Group
	callers int
	ops     []*Op
}

// plan lists the blocks to run: the operations that match, and those that they are
// compared with.
func plan(groups []Group, asked []int, match func(id string) bool) []block {
	var blocks []block
	for i := range groups {
		g := &groups[i]
		for _, callers := range g.callers(asked) {
			b := block{group: g, callers: callers}
			var wanted []string
			for j := range g.Ops {
				if op := &g.Ops[j]; match(g.ID(op, callers)) {
					wanted = append(wanted, op.Name, op.Bare)
				}
			}
			for j := range g.Ops {
				if slices.Contains(wanted, g.Ops[j].Name) {
					b.ops = append(b.ops, &g.Ops[j])
				}
			}
			if len(b.ops) > 0 {
				blocks = append(blocks, b)
			}
		}
	}
	return blocks
}

// IDs lists what [Run] would measure.
func IDs(groups []Group, callers []int, match func(id string) bool) []string {
	var ids []string
	for _, b := range plan(groups, callers, match) {
		for _, op := range b.ops {
			ids = append(ids, b.group.ID(op, b.callers))
		}
	}
	return ids
}
