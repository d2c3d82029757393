package retry

import (
	"context"
	"iter"
)

// Attempts is [Do] as a loop: the body makes one attempt and leaves its error in *err.
//
//	var err error
//	for n, ctx := range p.Attempts(ctx, &err) {
//		answer, err = ask(ctx)
//	}
//
// Assign with =, not :=, inside the loop, or err is shadowed and the attempt counts as a success. *err is nil when
// the body starts; an attempt that leaves it nil ends the loop. When the policy gives up, *err is what Do would have
// returned. break and return end the loop too, and leave *err alone.
func (p *Policy) Attempts(ctx context.Context, err *error) iter.Seq2[int, context.Context] {
	return func(yield func(int, context.Context) bool) { p.each(ctx, err, yield) }
}

func (p *Policy) each(ctx context.Context, err *error, yield func(int, context.Context) bool) {
	*err = nil
	if !p.direct() || ctx.Err() != nil {
		p.eachLoop(ctx, err, yield)
		return
	}
	more := yield(1, ctx)
	if *err == nil {
		if p != nil {
			p.Budget.earn()
		}
	} else if more {
		p.eachLoop(ctx, err, yield)
	}
}

// eachLoop is doLoop for a loop body.
func (p *Policy) eachLoop(ctx context.Context, err *error, yield func(int, context.Context) bool) {
	var l loop
	l.open(p)
	defer l.close()
	for {
		if *err != nil {
			if *err = l.next(ctx, *err); *err != nil {
				return
			}
		}
		attempt, refused := l.begin(ctx)
		if refused != nil {
			*err = refused
			return
		}
		more := yield(l.attempts, attempt)
		if l.end(ctx, *err) == nil || !more {
			return
		}
	}
}
