package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"example.com/once/monitoring/infra/sqlite"
)

// Config says how to run; the zero value is a demonstration of 30 seconds.
type Config struct {
	Duration time.Duration // how long things are made to fail; 0 = 30s
	Kills    int           // replicas to kill: as many, however long it takes; 0 = as many as come in Duration
	Naive    bool          // without idempotency keys, unit of work and outbox, and with a receiver that acts on all it gets
	Seed     uint64        // of what fails when; 0 = a random one. The scheduler's moods remain
	Keep     bool          // leave the folder with database, configuration and logs behind; it is left after a FAIL in any case
	Out      io.Writer     // gets what is going on; nil = nobody
	Live     bool          // Out is a terminal: one line that is written over
}

const (
	defaultDuration = 30 * time.Second
	settleTime      = 45 * time.Second // the longest that delivering what is left may take
	tick            = 50 * time.Millisecond
)

// run is one run in progress.
type run struct {
	c        Config
	dir      string
	database string
	shop     *shop
	receiver *receiver
	replicas []*replica
	random   *rand.Rand
	errs     chan error
	ended    sync.WaitGroup
	printed  time.Time
}

// Run runs the replicas, lets things fail, waits until what is left has been delivered,
// and judges. It returns an error only if there is nothing to judge. If ctx ends, it stops
// making things fail and judges what there is.
func Run(ctx context.Context, c Config) (v Verdict, err error) {
	if c.Duration == 0 {
		c.Duration = defaultDuration
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.Out == nil {
		c.Out = io.Discard
	}
	r := &run{c: c, shop: newShop(c.Seed), random: rand.New(rand.NewPCG(c.Seed, 3)), errs: make(chan error, 2)}
	if r.receiver, err = newReceiver(c.Seed, c.Naive); err != nil {
		return Verdict{}, err
	}
	if r.dir, err = os.MkdirTemp("", "monitor-chaos-"); err != nil {
		return Verdict{}, fmt.Errorf("make a folder: %w", err)
	}
	defer func() {
		if c.Keep || err != nil || !v.Pass() {
			fmt.Fprintf(c.Out, "database, configuration and logs are in %s\n", r.dir)
			return
		}
		err = os.RemoveAll(r.dir)
	}()
	shop, err := serve(r.shop)
	if err != nil {
		return Verdict{}, err
	}
	defer shop.close()
	receiver, err := serve(r.receiver)
	if err != nil {
		return Verdict{}, err
	}
	defer receiver.close()
	if err := r.configure(shop.url, receiver.url); err != nil {
		return Verdict{}, err
	}
	return r.play(ctx)
}

// play starts the replicas, and ends them in any case.
func (r *run) play(ctx context.Context) (Verdict, error) {
	for _, replica := range r.replicas {
		r.ended.Go(func() { r.errs <- replica.run() })
	}
	defer r.ended.Wait()
	defer func() {
		for _, replica := range r.replicas {
			replica.abandon()
		}
	}()
	if err := r.makeFail(ctx); err != nil {
		return Verdict{}, err
	}
	if err := r.settle(ctx); err != nil {
		return Verdict{}, err
	}
	for _, replica := range r.replicas {
		replica.stop()
	}
	for range r.replicas {
		if err := <-r.errs; err != nil {
			return Verdict{}, err
		}
	}
	v := r.verdict()
	if !r.c.Naive {
		if err := r.count(&v); err != nil {
			return Verdict{}, err
		}
	}
	r.show(v.line(), true)
	return v, nil
}

// makeFail lets releases go bad and kills replicas, until the time or the kills are
// through.
func (r *run) makeFail(ctx context.Context) error {
	began := time.Now()
	next := began.Add(2 * r.pause()) // time to start
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-r.errs:
			return early(err)
		case <-ticker.C:
		}
		now := time.Now()
		kills := r.kills()
		if r.c.Kills > 0 && kills >= r.c.Kills || r.c.Kills == 0 && now.Sub(began) >= r.c.Duration {
			return nil
		}
		r.shop.step(now, true)
		if now.After(next) && r.replicas[r.random.IntN(len(r.replicas))].kill() {
			next = now.Add(r.pause())
		}
		left := ""
		if r.c.Kills == 0 {
			left = fmt.Sprintf("%2.0f s left | ", (r.c.Duration - now.Sub(began)).Seconds())
		}
		r.show(left+r.verdict().line(), false)
	}
}

// pause is the time between two kills.
func (r *run) pause() time.Duration {
	if r.c.Kills > 0 { // every so often both are down, or one is killed while it starts
		return 50*time.Millisecond + time.Duration(r.random.Int64N(int64(1500*time.Millisecond)))
	}
	return 2*time.Second + time.Duration(r.random.Int64N(int64(2*time.Second)))
}

// settle ends the faults and waits until all releases are mended and everything has been
// delivered, or cannot be any more.
func (r *run) settle(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	deadline := time.NewTimer(settleTime)
	defer deadline.Stop()
	calm := false
	for quiet := 0; quiet < int(2*patience/tick); {
		select {
		case <-ctx.Done():
			return nil
		case <-deadline.C:
			return nil
		case err := <-r.errs:
			return early(err)
		case <-ticker.C:
		}
		open := r.shop.step(time.Now(), false)
		if open == 0 && !calm {
			r.shop.calm()
			r.receiver.calm()
			calm = true
		}
		v := r.verdict()
		busy := r.receiver.counts(&v)
		if open > 0 || v.Lost > 0 || busy {
			quiet = 0
		} else {
			quiet++
		}
		r.show("settling  | "+v.line(), false)
	}
	return nil
}

func early(err error) error {
	if err == nil {
		err = errors.New("a replica ended by itself")
	}
	return err
}

func (r *run) kills() int {
	kills := 0
	for _, replica := range r.replicas {
		kills += replica.killCount()
	}
	return kills
}

// verdict judges what there is so far.
func (r *run) verdict() Verdict {
	v := judge(r.shop.noticed(), r.receiver.ledger.snapshot())
	r.receiver.counts(&v)
	r.shop.counts(&v)
	v.Kills = r.kills()
	return v
}

// count adds what the database says in the end.
func (r *run) count(v *Verdict) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	db, err := sqlite.Open(ctx, sqlite.Config{Path: r.database})
	if err != nil {
		return fmt.Errorf("look into the database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	totals, err := db.Totals(ctx)
	if err != nil {
		return fmt.Errorf("look into the database: %w", err)
	}
	v.Evaluations, v.Waiting, v.Dead = totals.Evaluations, totals.Waiting, totals.Dead
	return nil
}

// show prints a line of progress, at most every so often.
func (r *run) show(line string, last bool) {
	every := 5 * time.Second
	if r.c.Live {
		every = 200 * time.Millisecond
	}
	if now := time.Now(); last || now.Sub(r.printed) >= every {
		r.printed = now
		if r.c.Live {
			fmt.Fprintf(r.c.Out, "\r\x1b[K%s", line)
		} else {
			fmt.Fprintln(r.c.Out, line)
		}
		if last && r.c.Live {
			fmt.Fprintln(r.c.Out)
		}
	}
}

// server is an HTTP server on a port of its own.
type server struct {
	url   string
	close func()
}

func serve(h http.Handler) (server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return server{}, fmt.Errorf("listen: %w", err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(listener) }) // ends when it is closed
	return server{url: "http://" + listener.Addr().String(), close: func() {
		_ = s.Close()
		served.Wait()
	}}, nil
}
