// Package backend opens the stores that can be measured, each with the same work written by
// hand against the same database.
package backend

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"example.com/once/idem"
)

// Backend is a kind of store on a kind of database, with one setting of what a crash may
// take.
type Backend struct {
	Name       string
	Durability string // as the database calls it; "none" = nothing outlives the process
	Transient  bool   // cheap to open, and grows while it is used
	// Open makes a new, empty store; files go into dir.
	Open func(ctx context.Context, dir string) (*Store, error)
}

// Store is an open backend.
type Store struct {
	Idem  idem.Store
	Raw   Raw
	Tx    *Tx // nil = it cannot join a transaction
	Close func() error
}

// Raw is what somebody would write by hand: no lease, no take-over, no retention, no
// fingerprint.
type Raw interface {
	// Pair claims a new key for owner and stores its result, each guarded: the claim by
	// the key's absence, the result by the owner.
	Pair(ctx context.Context, key idem.Key, owner uuid.UUID, result []byte) error
	// Fill does so for many keys, as fast as it can.
	Fill(ctx context.Context, keys []idem.Key, result []byte) error
	// Read returns the result of a key.
	Read(ctx context.Context, key idem.Key) ([]byte, error)
	// Count returns how many keys have a result.
	Count(ctx context.Context) (int64, error)
}

// Tx is what transactions are made with.
type Tx struct {
	Store idem.TxStore[*sql.Tx]
	DB    *sql.DB
	// Insert is the effect: one row, in tx.
	Insert func(ctx context.Context, tx *sql.Tx, id int64) error
	// Effects counts the rows.
	Effects func(ctx context.Context) (int64, error)
}

// Fill records a result for each of the keys, as fast as it can.
func (s *Store) Fill(ctx context.Context, keys []idem.Key, result []byte) error {
	if s.Tx == nil {
		return fill(ctx, s.Idem, keys, result)
	}
	return s.Tx.Store.InTx(ctx, func(tx *sql.Tx) error { return fill(ctx, s.Tx.Store.With(tx), keys, result) })
}

func fill(ctx context.Context, s idem.Store, keys []idem.Key, result []byte) error {
	for _, key := range keys {
		rec, err := s.Claim(ctx, idem.Claim{Key: key, Token: uuid.New(), Lease: time.Minute, Keep: time.Hour})
		if err != nil {
			return err
		}
		if rec.State != idem.Acquired {
			return fmt.Errorf("the key %q is taken", key)
		}
		if _, err := s.Complete(ctx, rec.Lease, result, time.Hour); err != nil {
			return err
		}
	}
	return nil
}

// All lists the backends that exist.
func All() []Backend {
	return []Backend{
		memory(),
		sqliteFile("sqlite-ncruces", "full", ncruces),
		sqliteFile("sqlite-ncruces", "normal", ncruces),
		sqliteFile("sqlite-modernc", "full", modernc),
	}
}

// Skipped is a backend that cannot run here.
type Skipped struct {
	Backend

	Reason error
}

// Usable tries each backend out and sorts those that can run from those that cannot.
func Usable(ctx context.Context, all []Backend, dir string) (usable []Backend, skipped []Skipped) {
	for _, b := range all {
		if err := b.try(ctx, dir); err != nil {
			skipped = append(skipped, Skipped{b, err})
		} else {
			usable = append(usable, b)
		}
	}
	return usable, skipped
}

// try opens b and runs one key through it, so that a store that cannot work, or whose
// settings void its promise, is found before it is measured.
func (b Backend) try(ctx context.Context, parent string) (err error) {
	dir, err := os.MkdirTemp(parent, "try")
	if err != nil {
		return fmt.Errorf("make a directory for its files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := b.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	g, err := idem.New(s.Idem, idem.Config{})
	if err != nil {
		return err
	}
	if err := g.Check(ctx); err != nil {
		return err
	}
	return idem.Do(ctx, g, "try", func(context.Context) error { return nil })
}
