package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/once/benchmarks/backend"
	"example.com/once/benchmarks/measure"
	"example.com/once/idem"
)

// Names of the operations that others are compared with.
const (
	rawPair = "raw-pair"
	rawRead = "raw-read"
)

// Store compares a store, alone and behind a Guard, with the same work by hand.
func Store(b backend.Backend, dir string) measure.Group {
	job := func(open func(context.Context, *backend.Store, []seat) (*measure.Job, error)) func(context.Context, int) (*measure.Job, error) {
		return func(ctx context.Context, callers int) (*measure.Job, error) {
			s, err := place(ctx, b, dir)
			if err != nil {
				return nil, err
			}
			j, err := open(ctx, s, seats(callers))
			if err != nil {
				return nil, errors.Join(err, s.Close())
			}
			j.Close = s.Close
			return j, nil
		}
	}
	return measure.Group{
		Suite: "store", Backend: b.Name, Durability: b.Durability,
		Ops: []measure.Op{
			{Name: rawPair, Fresh: b.Transient, Open: job(openRawPair)},
			{Name: "claim+complete", Bare: rawPair, Fresh: b.Transient, Open: job(openCycle)},
			{Name: "DoValue", Bare: rawPair, Fresh: b.Transient, Open: job(openDoValue)},
			{Name: rawRead, Open: job(openRawRead)},
			{Name: "replay", Bare: rawRead, Open: job(openReplay)},
			{Name: "DoValue-replay", Bare: rawRead, Open: job(openDoValueReplay)},
			{Name: "in-flight", Bare: rawRead, Open: job(openInFlight)},
		},
	}
}

func openRawPair(_ context.Context, s *backend.Store, all []seat) (*measure.Job, error) {
	result := make([]byte, resultSize)
	return &measure.Job{
		Call: func(ctx context.Context, caller int) error {
			seat := &all[caller]
			return s.Raw.Pair(ctx, seat.key(), seat.token(), result)
		},
		Check: func(ctx context.Context, calls int64) error {
			n, err := s.Raw.Count(ctx)
			return want("keys with a result", n, calls, err)
		},
	}, nil
}

func openCycle(_ context.Context, s *backend.Store, all []seat) (*measure.Job, error) {
	result := make([]byte, resultSize)
	return &measure.Job{
		Call: func(ctx context.Context, caller int) error {
			rec, err := claim(ctx, s.Idem, &all[caller], all[caller].key(), idem.Acquired)
			if err != nil {
				return err
			}
			_, err = s.Idem.Complete(ctx, rec.Lease, result, time.Hour)
			return err
		},
		Check: func(ctx context.Context, calls int64) error {
			n, err := countDone(ctx, s.Idem, calls)
			return want("keys done", n, calls, err)
		},
	}, nil
}

func openDoValue(_ context.Context, s *backend.Store, all []seat) (*measure.Job, error) {
	g, err := idem.New(s.Idem, idem.Config{})
	if err != nil {
		return nil, err
	}
	result := make([]byte, resultSize)
	return &measure.Job{
		Call: func(ctx context.Context, caller int) error {
			seat := &all[caller]
			_, err := idem.DoValue(ctx, g, seat.key(), func(context.Context) ([]byte, error) {
				seat.ran++
				return result, nil
			})
			return err
		},
		Check: func(ctx context.Context, calls int64) error {
			n, err := countDone(ctx, s.Idem, calls)
			return errors.Join(
				want("keys done", n, calls, err),
				want("runs of the function", total(all), calls, nil),
			)
		},
	}, nil
}

func openRawRead(ctx context.Context, s *backend.Store, all []seat) (*measure.Job, error) {
	keys := knownKeys()
	if err := s.Raw.Fill(ctx, keys, make([]byte, resultSize)); err != nil {
		return nil, err
	}
	return &measure.Job{
		Call: func(ctx context.Context, caller int) error {
			result, err := s.Raw.Read(ctx, keys[all[caller].next()%known])
			return sized(result, err)
		},
		Check: func(ctx context.Context, _ int64) error {
			n, err := s.Raw.Count(ctx)
			return want("keys with a result", n, known, err)
		},
	}, nil
}

func openReplay(ctx context.Context, s *backend.Store, all []seat) (*measure.Job, error) {
	keys := knownKeys()
	if err := s.Fill(ctx, keys, make([]byte, resultSize)); err != nil {
		return nil, err
	}
	return &measure.Job{
		Call: func(ctx context.Context, caller int) error {
			rec, err := claim(ctx, s.Idem, &all[caller], keys[all[caller].next()%known], idem.Done)
			return sized(rec.Result, err)
		},
		Check: func(ctx context.Context, calls int64) error {
			n, err := countDone(ctx, s.Idem, calls)
			return want("keys done", n, known, err)
		},
	}, nil
}

func openDoValueReplay(ctx context.Context, s *backend.Store, all []seat) (*measure.Job, error) {
	g, err := idem.New(s.Idem, idem.Config{})
	if err != nil {
		return nil, err
	}
	keys := knownKeys()
	// One as the Guard records it; the others get the same record.
	_, err = idem.DoValue(ctx, g, keys[0], func(context.Context) ([]byte, error) { return make([]byte, resultSize), nil })
	if err != nil {
		return nil, err
	}
	rec, err := claim(ctx, s.Idem, &all[0], keys[0], idem.Done)
	if err != nil {
		return nil, err
	}
	if err := s.Fill(ctx, keys[1:], rec.Result); err != nil {
		return nil, err
	}
	return &measure.Job{
		Call: func(ctx context.Context, caller int) error {
			seat := &all[caller]
			result, err := idem.DoValue(ctx, g, keys[seat.next()%known], func(context.Context) ([]byte, error) {
				seat.ran++
				return nil, nil
			})
			return sized(result, err)
		},
		Check: func(ctx context.Context, calls int64) error {
			n, err := countDone(ctx, s.Idem, calls)
			return errors.Join(
				want("keys done", n, known, err),
				want("runs of the function", total(all), 0, nil),
			)
		},
	}, nil
}

func openInFlight(ctx context.Context, s *backend.Store, all []seat) (*measure.Job, error) {
	const hot idem.Key = "hot"
	held, err := claim(ctx, s.Idem, &all[0], hot, idem.Acquired)
	if err != nil {
		return nil, err
	}
	return &measure.Job{
		Call: func(ctx context.Context, caller int) error {
			all[caller].next()
			_, err := claim(ctx, s.Idem, &all[caller], hot, idem.InFlight)
			return err
		},
		Check: func(ctx context.Context, _ int64) error {
			i, ok := s.Idem.(idem.Inspector)
			if !ok {
				return errNoInspector
			}
			rec, err := i.Get(ctx, hot)
			if err == nil && (rec.State != idem.InFlight || rec.Lease != held.Lease) {
				err = fmt.Errorf("the key is %v with %+v, want in flight with %+v", rec.State, rec.Lease, held.Lease)
			}
			return err
		},
	}, nil
}

// claim claims key and expects the state.
func claim(ctx context.Context, s idem.Store, seat *seat, key idem.Key, state idem.State) (idem.Record, error) {
	rec, err := s.Claim(ctx, idem.Claim{Key: key, Token: seat.token(), Lease: time.Hour, Keep: time.Hour})
	if err == nil && rec.State != state {
		err = fmt.Errorf("claim of %q: state %d, want %d", key, rec.State, state)
	}
	return rec, err
}

func sized(result []byte, err error) error {
	if err == nil && len(result) != resultSize {
		err = fmt.Errorf("a result of %d bytes, want %d", len(result), resultSize)
	}
	return err
}

var errNoInspector = errors.New("the store is no idem.Inspector, so nothing can be checked")

// countDone counts the keys that are done. There should be no more than most, or those known.
func countDone(ctx context.Context, s idem.Store, most int64) (int64, error) {
	i, ok := s.(idem.Inspector)
	if !ok {
		return 0, errNoInspector
	}
	records, err := i.List(ctx, idem.Query{State: idem.Done, Limit: int(max(most, known)) + 1})
	return int64(len(records)), err
}

func want(what string, n, want int64, err error) error {
	if err == nil && n != want {
		err = fmt.Errorf("%d %s, want %d", n, what, want)
	}
	return err
}
