package idem

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Step runs fn as a named part of the run that ctx belongs to, and keeps its result with the
// key: if the run fails or its process dies afterwards, the next attempt does not run fn but
// gets that result. A function that calls several services one after the other can so be
// repeated without repeating what is done:
//
//	payment, err := idem.Step(ctx, "charge", func(ctx context.Context) (Payment, error) { ... })
//	...
//	label, err := idem.Step(ctx, "label", func(ctx context.Context) (Label, error) { ... })
//
// A crash between fn's effect and its being kept runs fn again: pass [Attempt.SubKey] of the
// same name on. An error of fn is not kept. Names are the run's; a second Step of the same
// name gets the first one's result. Steps may run in parallel, and may be nested.
//
// Keeping a result costs one trip to the store, which renews the lease as well. If it fails,
// the result comes with an error: [ErrLeaseLost] if the store could not be reached before the
// lease was over, [ErrTooLarge] if it has no room for what the steps of the key have left, or
// that of [Config.Codec]. Whoever goes on then may see fn run again on the next attempt.
//
// In a transaction nothing needs keeping, since a failure undoes everything: Step only runs
// fn. Outside of a run, and after its end, Step fails and does not run fn.
//
// A step inside of one of the same name would wait for itself, and is refused with [ErrNested].
func Step[T any](ctx context.Context, name string, fn func(context.Context) (T, error)) (T, error) {
	var zero T
	r, ok := ctx.Value(runKey{}).(*run)
	switch {
	case !ok || r.over.Load():
		return zero, fmt.Errorf("idem: step %q: %w", name, errNoRun)
	case r.inTx:
		return fn(ctx)
	}
	outer, _ := ctx.Value(stepKey{}).(*inStep)
	if outer.runs(r, name) {
		return zero, fmt.Errorf("idem: step %q: %w", name, ErrNested)
	}
	data, kept, err := r.beginStep(ctx, name)
	if err != nil {
		return zero, fmt.Errorf("idem: step %q: %w", name, err)
	}
	if kept {
		return decode[T](r.guard.config.Codec, data)
	}
	defer r.steps.end(name)
	value, err := fn(context.WithValue(ctx, stepKey{}, &inStep{r, name, outer}))
	if err != nil {
		return value, err
	}
	if data, err = encodeValue(r.guard.config.Codec, value); err == nil {
		err = r.save(name, data)
	}
	if err != nil {
		return value, fmt.Errorf("idem: step %q is done, but not kept: %w", name, err)
	}
	return value, nil
}

var errNoRun = errors.New("the context belongs to no run")

type stepKey struct{}

// inStep says which step a context belongs to.
type inStep struct {
	run   *run
	name  string
	outer *inStep
}

// runs says whether the step, or one around it, is the run's of that name: it would wait for
// itself.
func (s *inStep) runs(r *run, name string) bool {
	for ; s != nil; s = s.outer {
		if s.run == r && s.name == name {
			return true
		}
	}
	return false
}

// steps are those of one run.
type steps struct {
	left Progress // by earlier attempts

	mu     sync.Mutex
	loaded bool
	err    error // left cannot be read
	done   checkpoints
	seq    int64 // of done
	saved  int64 // the store has confirmed
	busy   map[string]chan struct{}

	saving chan struct{} // holds the right to save, unless somebody has it
}

// beginStep returns what a step has left, or the right to run it. It waits for one of the same
// name that is running.
func (r *run) beginStep(ctx context.Context, name string) (data []byte, kept bool, err error) {
	s := &r.steps
	for {
		if ctx.Err() != nil {
			return nil, false, context.Cause(ctx)
		}
		s.mu.Lock()
		r.loadSteps()
		data, kept = s.done.data[name]
		running := s.busy[name]
		if !kept && running == nil && s.err == nil {
			s.busy[name] = make(chan struct{})
		}
		err = s.err
		s.mu.Unlock()
		if kept || running == nil || err != nil {
			return data, kept, err
		}
		select {
		case <-running:
		case <-ctx.Done():
		}
	}
}

// end gives the right to run a step back.
func (s *steps) end(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.busy[name])
	delete(s.busy, name)
}

// loadSteps reads what earlier attempts have left, the first time.
func (r *run) loadSteps() {
	s := &r.steps
	if s.loaded {
		return
	}
	s.loaded = true
	s.busy = make(map[string]chan struct{})
	s.saving = make(chan struct{}, 1)
	s.saving <- struct{}{}
	s.seq, s.saved = s.left.Seq, s.left.Seq
	s.done, s.err = r.guard.checkpoints(r.lease, s.left.Data)
}

// save keeps the result of a step, and returns when the store has it. One save is on its way
// at a time; those who wait for it are served together by the next.
func (r *run) save(name string, data []byte) error {
	s := &r.steps
	s.mu.Lock()
	s.done.add(name, data)
	s.seq++
	mine := s.seq
	s.mu.Unlock()

	<-s.saving
	defer func() { s.saving <- struct{}{} }()
	s.mu.Lock()
	p := Progress{Seq: s.seq, Data: r.guard.pack(formProgress, r.lease, s.done.marshal())}
	saved := s.saved
	s.mu.Unlock()
	if saved >= mine {
		return nil
	}
	if err := r.saveProgress(&p); err != nil {
		return err
	}
	s.mu.Lock()
	s.saved = p.Seq
	s.mu.Unlock()
	return nil
}

// saveProgress repeats one save until its outcome is known, or the function must stop. It
// goes on when the caller has left: that does not undo what happened.
func (r *run) saveProgress(p *Progress) error {
	g := r.guard
	detached := context.WithoutCancel(r.Context)
	var err error
	for try := 0; ; try++ {
		sent, until := time.Now(), g.beats.deadline(r)
		if !sent.Before(until) {
			r.lose()
			return errors.Join(ErrLeaseLost, err)
		}
		ctx, cancel := context.WithDeadline(detached, earlier(until, sent.Add(g.config.Lease/5)))
		err = g.store.Renew(ctx, r.lease, g.config.Lease, p)
		cancel()
		switch {
		case err == nil:
			g.beats.extend(r, sent)
			return nil
		case errors.Is(err, ErrLeaseLost):
			r.lose()
			return err
		case errors.Is(err, ErrTooLarge):
			return err
		}
		ctx, cancel = context.WithDeadline(detached, until)
		pause(ctx, try)
		cancel()
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
