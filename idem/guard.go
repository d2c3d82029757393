package idem

import (
	"context"
	"log/slog"
	"time"
)

// Key names one operation. It is 1 to 255 bytes of any value; make one from parts
// with [NewKey].
type Key string

// NewKey joins a scope (whose key it is) and parts without ambiguity: no two
// inputs share a key.
func NewKey(scope string, parts ...string) Key { panic("skeleton") }

// Mode says what a crash in the middle of a run means.
type Mode uint8

const (
	AtLeastOnce Mode = iota // run again, with the same SubKeys
	AtMostOnce              // leave the key Abandoned until resolved
)

// Config is a Guard's configuration; the zero value works.
type Config struct {
	Lease     time.Duration // 0 = 30s
	Keep      time.Duration // 0 = 24h
	Wait      time.Duration // how long a call waits for a key in flight; 0 = not at all
	Mode      Mode          // AtLeastOnce
	MaxResult int           // bytes; 0 = 1 MiB, negative = no limit
	Codec     Codec         // nil = JSON; a result of type []byte is stored as it is
	Hooks     Hooks
	Logger    *slog.Logger // nil = discard
}

// Codec turns results into bytes and back.
type Codec interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

// Hooks are called synchronously; nil ones are skipped.
type Hooks struct {
	Replayed func(context.Context, Key)            // a recorded result was handed out
	Refused  func(context.Context, Key, error)     // in flight, mismatch, abandoned
	Started  func(context.Context, Attempt)        // fn is about to run
	Finished func(context.Context, Attempt, error) // fn has run and its outcome is settled (or not: err)
}

// Guard runs functions once per key. It is safe for concurrent use.
type Guard struct{}

// New makes a Guard over s.
func New(s Store, c Config) (*Guard, error) { panic("skeleton") }

// CallOption changes one call.
type CallOption func(*call)

type call struct{}

// WithFingerprint binds the key to a digest of the request.
func WithFingerprint(digest []byte) CallOption { panic("skeleton") }

// WithWait overrides Config.Wait.
func WithWait(d time.Duration) CallOption { panic("skeleton") }

// Report fills info when the call returns.
func Report(info *Info) CallOption { panic("skeleton") }

// Info tells how a call was answered.
type Info struct {
	Replayed bool
	Attempt  int
	Fence    int64
}

// Do runs fn once for key.
func Do(ctx context.Context, g *Guard, key Key, fn func(context.Context) error, opts ...CallOption) error {
	panic("skeleton")
}

// DoValue runs fn once for key and hands its result to every caller.
func DoValue[T any](ctx context.Context, g *Guard, key Key, fn func(context.Context) (T, error), opts ...CallOption) (T, error) {
	panic("skeleton")
}

// TxGuard is a Guard over a store that can join a transaction.
type TxGuard[Tx any] struct{ *Guard }

// NewTx makes a TxGuard over s.
func NewTx[Tx any](s TxStore[Tx], c Config) (*TxGuard[Tx], error) { panic("skeleton") }

// DoTx runs fn once for key: its effect and the record in one transaction.
func DoTx[T, Tx any](ctx context.Context, g *TxGuard[Tx], key Key, fn func(context.Context, Tx) (T, error), opts ...CallOption) (T, error) {
	panic("skeleton")
}

// JoinTx is DoTx inside a transaction that the caller commits.
func JoinTx[T, Tx any](ctx context.Context, g *TxGuard[Tx], tx Tx, key Key, fn func(context.Context) (T, error), opts ...CallOption) (T, error) {
	panic("skeleton")
}

// Attempt is the run that a context belongs to.
type Attempt struct {
	Key    Key
	Number int
	Fence  int64
}

// Current returns the attempt that ctx belongs to.
func Current(ctx context.Context) (Attempt, bool) { panic("skeleton") }

// SubKey derives a downstream key, the same on every attempt.
func (a Attempt) SubKey(name string) string { panic("skeleton") }

// Final marks err as the outcome to record.
func Final(err error) error { panic("skeleton") }

// Hold marks err as leaving the outcome unknown.
func Hold(err error) error { panic("skeleton") }

// Run sweeps ended records until ctx ends.
func (g *Guard) Run(ctx context.Context) error { panic("skeleton") }
