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
		if ctx.Err() == nil && p.guarded() {
			return doGuarded(ctx, p, op)
		}
		return doLoop(ctx, p, op, nil, nil)
	}
	if err := op(ctx); err != nil {
		return doLoop(ctx, p, op, err, nil)
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
		if ctx.Err() == nil && p.guarded() {
			return valueGuarded(ctx, p, op)
		}
		var zero T
		return valueLoop(ctx, p, op, zero, nil, nil)
	}
	v, err := op(ctx)
	if err != nil {
		return valueLoop(ctx, p, op, v, err, nil)
	}
	if p != nil {
		p.Budget.earn()
	}
	return v, nil
}

// doGuarded makes the first attempt under the breaker, without a loop as long as it succeeds.
func doGuarded(ctx context.Context, p *Policy, op func(context.Context) error) error {
	done, err := p.Breaker.Allow()
	if err != nil {
		return refused(ctx, p, err)
	}
	returned := false
	defer func() {
		if !returned {
			done(errVanished)
		}
	}()
	err = op(ctx)
	returned = true
	if err != nil {
		return doLoop(ctx, p, op, err, done)
	}
	p.Budget.earn()
	done(nil)
	return nil
}

// valueGuarded is doGuarded with a result.
func valueGuarded[T any](ctx context.Context, p *Policy, op func(context.Context) (T, error)) (v T, err error) {
	done, err := p.Breaker.Allow()
	if err != nil {
		return v, refused(ctx, p, err)
	}
	returned := false
	defer func() {
		if !returned {
			done(errVanished)
		}
	}()
	v, err = op(ctx)
	returned = true
	if err != nil {
		return valueLoop(ctx, p, op, v, err, done)
	}
	p.Budget.earn()
	done(nil)
	return v, nil
}

// doLoop goes on after the first attempt failed with err; nil means that none was made yet.
// done is the breaker's for that attempt, if it was asked.
func doLoop(ctx context.Context, p *Policy, op func(context.Context) error, err error, done func(error)) error {
	var l loop
	l.open(p)
	defer l.close()
	l.resume(ctx, err, done)
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
func valueLoop[T any](
	ctx context.Context, p *Policy, op func(context.Context) (T, error), v T, err error, done func(error),
) (T, error) {
	var l loop
	l.open(p)
	defer l.close()
	l.resume(ctx, err, done)
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
