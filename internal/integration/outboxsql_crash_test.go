package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxsql"
	"example.com/once/retry"
)

// What a child process is told by its environment.
const (
	crashDatabase = "ONCE_OUTBOX_CRASH_DB"
	crashReceived = "ONCE_OUTBOX_CRASH_RECEIVED"
	relayDriver   = "ONCE_OUTBOX_CRASH_DRIVER"
	crashName     = "ONCE_OUTBOX_CRASH_NAME"
)

const (
	crashBatch       = 10
	crashConcurrency = 2
)

// TestOutboxSurvivesKills runs two processes on one file, each with another driver, that
// write and relay; kills one after the other without warning, and starts them again. The
// receiver is a file to which they append.
func TestOutboxSurvivesKills(t *testing.T) {
	if os.Getenv(crashDatabase) != "" {
		t.Skip("this is a child")
	}
	kills := 8
	if testing.Short() {
		kills = 2
	}
	drivers := sqliteDrivers()
	o := openOutbox(t, drivers[0], "", outboxsql.Config{})
	exec(t, o.db, "CREATE TABLE effect (id BLOB PRIMARY KEY)")
	received := filepath.Join(t.TempDir(), "received")
	if err := os.WriteFile(received, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var children [2]*child
	start := func(i, generation int) {
		children[i] = startChild(t, o.path, received, drivers[i].name, fmt.Sprintf("%d.%d", i, generation))
	}
	start(0, 0)
	start(1, 0)
	for n := range kills {
		i := rand.IntN(2)
		before := len(lines(t, received))
		for range time.Tick(time.Millisecond) {
			if len(lines(t, received)) >= before+20+rand.IntN(200) {
				break
			}
			children[i].running(t)
		}
		children[i].kill(t)
		start(i, n+1)
	}
	children[0].kill(t)
	children[1].kill(t)

	// What is left is relayed by one that lives.
	relay, err := outbox.NewRelay(o, appending(t, received), crashConfig())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- relay.Run(ctx) }()
	o.drained(t)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}

	times, last := map[string]int{}, map[string]int{}
	disorder := 0
	for _, line := range lines(t, received) {
		id, key, number := line[0], line[1], line[2]
		if times[id]++; times[id] > 1 {
			continue
		}
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		if n <= last[key] {
			disorder++
			t.Errorf("%s: %d after %d", key, n, last[key])
		}
		last[key] = n
	}
	dups := 0
	for _, n := range times {
		dups += n - 1
	}
	effects, lost := o.effects(t), 0
	written := len(effects)
	for _, id := range effects {
		if times[id.String()] == 0 {
			lost++
		}
	}
	// A killed relay has at most one batch a worker in flight; there are lanes times
	// concurrency of them.
	bound := (kills + 2) * 2 * crashConcurrency * crashBatch
	t.Logf("%d kills: %d messages, %d lost, %d without effect, %d received again (at most %d), %d out of order",
		kills+2, written, lost, len(times)-written+lost, dups, bound, disorder)
	if lost > 0 || len(times) != written || dups > bound || disorder > 0 {
		t.Error("promise broken")
	}
}

func crashConfig() outbox.RelayConfig {
	return outbox.RelayConfig{
		LeaseTTL: time.Second, Batch: crashBatch, Concurrency: crashConcurrency, PollMin: time.Millisecond, PollMax: 50 * time.Millisecond,
		Policy: &retry.Policy{MaxAttempts: -1, Backoff: retry.Constant(10 * time.Millisecond)},
	}
}

// TestOutboxCrashChild is the program that gets killed: it writes and relays until then, or
// until its parent is gone.
func TestOutboxCrashChild(t *testing.T) {
	path := os.Getenv(crashDatabase)
	if path == "" {
		t.Skip("started by TestOutboxSurvivesKills")
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	for _, d := range sqliteDrivers() {
		if d.name != os.Getenv(relayDriver) {
			continue
		}
		o := openOutbox(t, d, path, outboxsql.Config{})
		for lane := range uint8(2) {
			go writeForever(t, o, lane)
		}
		relay, err := outbox.NewRelay(o, appending(t, os.Getenv(crashReceived)), crashConfig())
		if err != nil {
			t.Fatal(err)
		}
		if err := relay.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// writeForever commits an effect and its message, over and over; now and then some at once,
// or a delayed one.
func writeForever(t *testing.T, o *outboxDB, lane uint8) {
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
	keys := map[string]int{}
	for {
		tx, err := o.db.BeginTx(t.Context(), nil)
		if err != nil {
			panic(err)
		}
		var msgs []outbox.Message
		for range 1 + rnd.IntN(3) {
			key := fmt.Sprintf("%s/%d/%d", os.Getenv(crashName), lane, rnd.IntN(5))
			keys[key]++
			m := outbox.Message{ID: uuid.New(), Topic: "t", Key: key, Lane: lane, Payload: []byte(strconv.Itoa(keys[key]))}
			if rnd.IntN(10) == 0 { // outside of the order
				m.Key, m.Payload, m.NotBefore = "delayed/"+m.ID.String(), []byte("1"), time.Now().Add(20*time.Millisecond)
			}
			msgs = append(msgs, m)
			if _, err := tx.ExecContext(t.Context(), "INSERT INTO effect (id) VALUES (?)", m.ID[:]); err != nil {
				panic(err)
			}
		}
		if err := o.writer.Write(t.Context(), tx, msgs...); err != nil {
			panic(err)
		}
		if err := tx.Commit(); err != nil {
			panic(err)
		}
		time.Sleep(5 * time.Millisecond) // or the backlog outgrows the patience of whoever waits for the test
	}
}

// appending publishes by adding a line to a file, which outlives the process. It fails one
// time in three.
func appending(t *testing.T, path string) outbox.Publisher {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return outbox.PublisherFunc(func(_ context.Context, d outbox.Delivery) error {
		if rand.IntN(3) == 0 {
			return errors.New("failed")
		}
		_, err := fmt.Fprintf(f, "%s %s %s\n", d.ID, d.Key, d.Payload)
		return err
	})
}

// lines are the messages received: ID, key and number.
func lines(t *testing.T, path string) [][]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			t.Fatalf("odd line %q", line)
		}
		all = append(all, fields)
	}
	return all
}

type child struct {
	cmd    *osexec.Cmd
	output bytes.Buffer
	stdin  io.Closer
	ended  chan struct{}
}

func startChild(t *testing.T, database, received, driver, name string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: osexec.Command(self, "-test.run=^TestOutboxCrashChild$"), ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), crashDatabase+"="+database, crashReceived+"="+received, relayDriver+"="+driver, crashName+"="+name)
	c.cmd.Stdout, c.cmd.Stderr = &c.output, &c.output
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.ended)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
	})
	return c
}

// running fails the test if the child has ended by itself.
func (c *child) running(t *testing.T) {
	t.Helper()
	select {
	case <-c.ended:
		t.Fatalf("a child has ended:\n%s", c.output.Bytes())
	default:
	}
}

func (c *child) kill(t *testing.T) {
	t.Helper()
	c.running(t)
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-c.ended
}
