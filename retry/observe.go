package retry

import (
	"context"
	"log/slog"
	"time"
)

// Event tells an observer of one failed attempt. If the call ends between two attempts (the wait was
// cancelled, the breaker refused) a further event with the same Attempt says so by its Reason; a call that was refused
// before its first attempt has one event, with Attempt 0.
type Event struct {
	Policy  string        // Policy.Name
	Attempt int           // the attempt that failed, from 1
	Err     error         // its error, without markers
	Verdict Verdict       // what the classifier said of Err
	Wait    time.Duration // before the next attempt; 0 on the last event
	Reason  error         // nil while the call goes on, else why it ended: [Error.Reason], or ErrPermanent
}

// Log returns a [Policy.Observe] that logs to l: a failed attempt at level Info, the end of the call at Warn. A
// nil l means silence.
func Log(l *slog.Logger) func(context.Context, Event) {
	if l == nil {
		return nil
	}
	return func(ctx context.Context, e Event) {
		level, text := slog.LevelInfo, "retry: attempt failed"
		if e.Reason != nil {
			level, text = slog.LevelWarn, "retry: gave up"
		}
		if !l.Enabled(ctx, level) {
			return
		}
		attrs := make([]slog.Attr, 0, 6)
		if e.Policy != "" {
			attrs = append(attrs, slog.String("policy", e.Policy))
		}
		attrs = append(attrs, slog.Int("attempt", e.Attempt), slog.String("class", e.Verdict.Class.String()))
		if e.Err != nil {
			attrs = append(attrs, slog.Any("error", e.Err))
		}
		if e.Reason != nil {
			attrs = append(attrs, slog.Any("reason", e.Reason))
		} else {
			attrs = append(attrs, slog.Duration("wait", e.Wait))
		}
		l.LogAttrs(ctx, level, text, attrs...)
	}
}
