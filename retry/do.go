package retry

import "context"

// Do calls op until it succeeds or p gives up. A nil p is the zero [Policy].
//
// It returns nil as soon as an attempt succeeds, even if ctx has ended meanwhile. A permanent
// failure comes back as op returned it, without its marker. Every other end is an [*Error]. If ctx
// has ended already, op is not called.
//
// op gets a context of its attempt: ctx itself, bounded by [Policy.AttemptTimeout], and carrying
// from the second attempt on what [Attempt] and [Nested] tell. The context of a bounded
// attempt ends when op returns. A panic in op passes through; it returns the breaker's permit and costs
// no budget.
//
// A first attempt that succeeds costs no allocation and reads no clock, unless the policy has a Breaker,
// AttemptTimeout or MaxElapsed.
func Do(ctx context.Context, p *Policy, op func(context.Context) error) error {
	if !p.direct() || ctx.Err() != nil {
		return doLoop(ctx, p, op, nil)
	}
	if err := op(ctx); err != nil {
		return doLoop(ctx, p, op, err)
	}
	if p != nil {
		p.Budget.earn()
	}
	return nil
}

// DoValue is [Do] for an operation with a result. With an error it returns the value of the last
// attempt, or the zero T if none was made.
func DoValue[T any](ctx context.Context, p *Policy, op func(context.Context) (T, error)) (T, error) {
	if !p.direct() || ctx.Err() != nil {
		var zero T
		return valueLoop(ctx, p, op, zero, nil)
	}
	v, err := op(ctx)
	if err != nil {
		return valueLoop(ctx, p, op, v, err)
	}
	if p != nil {
		p.Budget.earn()
	}
	return v, nil
}

// doLoop goes on after the first attempt failed with err; nil means that none was made yet.
func doLoop(ctx context.Context, p *Policy, op func(context.Context) error, err error) error {
	var l loop
	l.open(p)
	defer l.close()
	for {
		if err != nil {
			if err = l.next(ctx, err); err != nil {
				return err
			}
		}
		attempt, refused := l.begin(ctx)
		if refused != nil {
			return refused
		}
		if err = l.end(ctx, op(attempt)); err == nil {
			return nil
		}
	}
}

// valueLoop is doLoop with a result.
func valueLoop[T any](ctx context.Context, p *Policy, op func(context.Context) (T, error), v T, err error) (T, error) {
	var l loop
	l.open(p)
	defer l.close()
	for {
		if err != nil {
			if err = l.next(ctx, err); err != nil {
				return v, err
			}
		}
		attempt, refused := l.begin(ctx)
		if refused != nil {
			return v, refused
		}
		v, err = op(attempt)
		if err = l.end(ctx, err); err == nil {
			return v, nil
		}
	}
}
