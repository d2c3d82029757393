package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"example.com/once/idem"
	"example.com/once/idem/idemsql"
	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/outbox/outboxsql"
)

// Config is a DB's configuration; all but Path may be zero.
type Config struct {
	Path        string        // of the file; it is made if it is not there, its folder is not. Required
	Keep        time.Duration // of evaluations, transitions and finished deliveries; 0 = 7 days, at least a day, which is the longest window of a rule
	BusyTimeout time.Duration // how long a write waits for those of other processes; 0 = 5s
	Readers     int           // connections that read; 0 = 4
	Logger      *slog.Logger  // nil = discard
}

const (
	defaultKeep        = 7 * 24 * time.Hour
	minKeep            = domain.MaxWindow
	defaultBusyTimeout = 5 * time.Second
	defaultReaders     = 4
	// Claims may be forgotten before evaluations are: a slot before the one that a rule's state
	// belongs to is refused whatever its claim.
	keepClaims = 24 * time.Hour
	// A unit of work has no lease; this one is only for a moment after a commit whose
	// outcome was lost.
	claimLease = 5 * time.Second
)

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Path == "":
		return c, errors.New("sqlite: Config.Path is empty; name the database file")
	case c.Keep < 0 || c.Keep > 0 && c.Keep < minKeep:
		return c, fmt.Errorf("sqlite: Config.Keep is %v; want at least %v, since rules look back as far, or 0 for %v", c.Keep, minKeep, defaultKeep)
	case c.BusyTimeout < 0:
		return c, fmt.Errorf("sqlite: Config.BusyTimeout is %v; want how long a write waits for others, or 0 for %v", c.BusyTimeout, defaultBusyTimeout)
	case c.Readers < 0:
		return c, fmt.Errorf("sqlite: Config.Readers is %d; want a number of connections, or 0 for %d", c.Readers, defaultReaders)
	}
	if c.Keep == 0 {
		c.Keep = defaultKeep
	}
	if c.BusyTimeout == 0 {
		c.BusyTimeout = defaultBusyTimeout
	}
	if c.Readers == 0 {
		c.Readers = defaultReaders
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// DB is an open file. It is safe for concurrent use.
type DB struct {
	path   string
	c      Config
	log    *slog.Logger
	write  *sql.DB // one connection
	read   *sql.DB // a pool; cannot write
	guard  *idem.TxGuard[*sql.Tx]
	writer *outboxsql.Writer
	outbox *outboxsql.Store
	ping   pinger
	pack   sync.Pool // of *packer
}

var (
	_ app.UnitOfWork = (*DB)(nil)
	_ app.Reader     = (*DB)(nil)
	_ app.TargetLog  = (*DB)(nil)
	_ app.AttemptLog = (*DB)(nil)
)

// Open opens the file, or makes it, and checks that it is the monitor's and can be written.
// Its errors are one sentence that names the path, or the field of c, and says what to do.
// Close the DB when it is not needed any more.
func Open(ctx context.Context, c Config) (*DB, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &DB{path: c.Path, c: c, log: c.Logger}
	if err := d.open(ctx); err != nil {
		_ = d.Close()
		return nil, explain(c, err)
	}
	return d, nil
}

func (d *DB) open(ctx context.Context) error {
	if err := checkPath(d.path); err != nil {
		return err
	}
	if err := d.connect(); err != nil {
		return err
	}
	if err := d.prepareFile(ctx); err != nil {
		return err
	}
	claims, err := idemsql.New(d.write, idemsql.SQLite, idemsql.Config{Reader: d.read})
	if err != nil {
		return err
	}
	if d.guard, err = idem.NewTx(claims, idem.Config{Keep: keepClaims, Lease: claimLease, MaxResult: -1, Logger: d.log}); err != nil {
		return err
	}
	if d.writer, err = outboxsql.NewWriter(outboxsql.SQLite, outboxsql.Config{}); err != nil {
		return err
	}
	if d.outbox, err = outboxsql.New(d.write, outboxsql.SQLite, outboxsql.Config{Reader: d.read}); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{claims.Migrate, d.outbox.Migrate, claims.Check, d.outbox.Check} {
		if err := patiently(ctx, d.c.BusyTimeout, step); err != nil {
			return err
		}
	}
	return d.Ping(ctx)
}

// Outbox returns the relay's side of the file.
func (d *DB) Outbox() *outboxsql.Store { return d.outbox }

// Close ends all connections. Calls that are under way fail.
func (d *DB) Close() error {
	var errs []error
	for _, pool := range []*sql.DB{d.read, d.write} { // the last one to go tidies the log away
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sqlite: close %s: %w", d.path, err)
	}
	return nil
}

// pinger remembers the latest proof that the file can be written.
type pinger struct {
	mu sync.Mutex
	at time.Time // guarded by mu
}

// pingFresh is for how long one proof answers everybody who asks.
const pingFresh = time.Second

// Ping proves that the file can be written, by writing to it, at most once a second.
// An error means that units of work fail now.
func (d *DB) Ping(ctx context.Context) error {
	d.ping.mu.Lock()
	defer d.ping.mu.Unlock()
	if !d.ping.at.IsZero() && time.Since(d.ping.at) < pingFresh {
		return nil
	}
	now := time.Now()
	_, err := d.write.ExecContext(ctx, `INSERT INTO tally (name, n) VALUES ('ping', ?)
ON CONFLICT (name) DO UPDATE SET n = excluded.n`, now.UnixNano())
	if err != nil {
		return fmt.Errorf("sqlite: %s cannot be written: %w", d.path, err)
	}
	d.ping.at = now
	return nil
}

// inTx runs fn in a transaction that has the right to write from its start.
func (d *DB) inTx(ctx context.Context, fn func(*sql.Tx) error) error {
	return inTx(ctx, d.write, nil, fn)
}

// snapshot runs fn in a transaction that sees one moment of the file.
func (d *DB) snapshot(ctx context.Context, fn func(*sql.Tx) error) error {
	return inTx(ctx, d.read, &sql.TxOptions{ReadOnly: true}, fn)
}

func inTx(ctx context.Context, pool *sql.DB, o *sql.TxOptions, fn func(*sql.Tx) error) error {
	tx, err := pool.BeginTx(ctx, o)
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the method that was called
	}
	defer func() { _ = tx.Rollback() }()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit() //nolint:wrapcheck // wrapped by the method that was called
}
