package idem

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Mode says what a crash in the middle of a run means.
type Mode uint8

const (
	// AtLeastOnce hands the key of a crashed run over when its lease ends: the function
	// runs again, with the same [Attempt.SubKey]s and without the [Step]s that are done. An error releases the key.
	AtLeastOnce Mode = iota
	// AtMostOnce never runs the function again after a crash, a panic or an error that
	// is neither [Final] nor [Forget]: the key stays Abandoned, and callers get
	// [ErrAbandoned], until [Guard.Resolve] or [Guard.Forget] settles it or its retention
	// ends.
	AtMostOnce
)

// Config is a Guard's configuration; the zero value works.
type Config struct {
	// Lease is how long a claim holds without renewal, and so how long a key of a crashed
	// process stays taken. The Guard renews it at a third, for as long as the function
	// runs. 0 = 30s; at least 1ms.
	Lease time.Duration
	// Keep is how long an outcome is replayed, counted from completion. A retry that comes
	// later runs again, so it must be longer than any caller retries. 0 = 24h; at least
	// Lease. A run that crashes is remembered for as long, counted from its claim: under
	// AtMostOnce it must be longer than any run takes.
	Keep time.Duration
	// Wait is how long a call waits for a key in flight before it fails with
	// [ErrInFlight]. 0 = not at all.
	Wait time.Duration
	// MaxWaiters is how many calls may wait at once, over all keys; those beyond fail at
	// once. 0 = 1024, negative = no limit.
	MaxWaiters int
	// Settle is how long the Guard tries to record an outcome, on a deadline of its own,
	// before it reports [ErrUnknown] or leaves the key to the end of its lease. 0 = 5s.
	Settle time.Duration
	// Mode says what a crash in the middle of a run means. 0 = AtLeastOnce.
	Mode Mode
	// MaxResult is the size of the largest encoded result that is stored. A larger one
	// completes the key without a result. 0 = 1 MiB, negative = no limit.
	MaxResult int
	// Cache is how many bytes of finished keys' outcomes this process remembers, so that a
	// replay need not ask the store. An entry is believed for a minute at most: a key that
	// another process forgets may be replayed here for as long. 0 = none; at least 64 KiB.
	Cache int64
	// Compress is the size of the smallest encoded result that is stored compressed, if that
	// makes it smaller. What is compressed and sealed shows by its length how much it repeats
	// itself: do not use both where somebody chooses a part of a secret result. 0 = never.
	Compress int
	// Seal encrypts what the Guard leaves in its store. nil = not at all.
	Seal *Keyring
	// Codec encodes results. nil = JSON. Results of type []byte are stored as they are.
	Codec Codec
	// Hooks tell of what happens. They are called synchronously; nil ones are skipped.
	Hooks Hooks
	// Logger gets what nobody else is told: renewals and releases that failed, results
	// that could not be kept. Keys are quoted in it. nil = discard.
	Logger *slog.Logger
	// SweepEvery is how often [Guard.Run] removes ended records. 0 = 1m, negative = never.
	SweepEvery time.Duration
}

// Hooks are called synchronously, by the goroutine of the call; nil ones are skipped.
type Hooks struct {
	Replayed func(context.Context, Key)            // a recorded outcome was handed out
	Refused  func(context.Context, Key, error)     // in flight, mismatch, abandoned, or the store failed
	Started  func(context.Context, Attempt)        // fn is about to run
	Finished func(context.Context, Attempt, error) // fn has run; nil if its outcome is recorded and kept
}

const (
	defaultLease      = 30 * time.Second
	defaultKeep       = 24 * time.Hour
	defaultSettle     = 5 * time.Second
	defaultMaxResult  = 1 << 20
	defaultMaxWaiters = 1024
	defaultSweepEvery = time.Minute
	minLease          = time.Millisecond
)

// withDefaults returns c with its zero values replaced, or an error that names the field
// which cannot be.
func (c Config) withDefaults() (Config, error) {
	for _, f := range []struct {
		name  string
		value *time.Duration
		unset time.Duration
	}{
		{"Lease", &c.Lease, defaultLease},
		{"Keep", &c.Keep, max(defaultKeep, c.Lease)},
		{"Settle", &c.Settle, defaultSettle},
		{"Wait", &c.Wait, 0},
	} {
		if *f.value < 0 {
			return c, fmt.Errorf("idem: Config.%s is %v; it must not be negative", f.name, *f.value)
		}
		if *f.value == 0 {
			*f.value = f.unset
		}
	}
	switch {
	case c.Lease < minLease:
		return c, fmt.Errorf("idem: Config.Lease is %v; it must be at least %v", c.Lease, minLease)
	case c.Keep < c.Lease:
		return c, fmt.Errorf("idem: Config.Keep is %v; it must be at least the lease, %v", c.Keep, c.Lease)
	case c.Cache != 0 && c.Cache < minCache:
		return c, fmt.Errorf("idem: Config.Cache is %d; it must be 0 or at least %d bytes", c.Cache, minCache)
	case c.Compress < 0:
		return c, fmt.Errorf("idem: Config.Compress is %d; it must not be negative", c.Compress)
	case c.Seal != nil && len(c.Seal.derive) == 0:
		return c, errors.New("idem: Config.Seal is empty; make it with NewKeyring")
	case c.Mode > AtMostOnce:
		return c, fmt.Errorf("idem: Config.Mode is %d; use AtLeastOnce or AtMostOnce", c.Mode)
	}
	if c.MaxResult == 0 {
		c.MaxResult = defaultMaxResult
	}
	if c.MaxWaiters == 0 {
		c.MaxWaiters = defaultMaxWaiters
	}
	if c.SweepEvery == 0 {
		c.SweepEvery = defaultSweepEvery
	}
	if c.Codec == nil {
		c.Codec = jsonCodec{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
