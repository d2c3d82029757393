package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"example.com/once/outbox"
)

// Tx is a transaction of the caller's: *sql.Tx, and what other libraries make of it.
// *sql.DB is not one, so that a message cannot be written outside a transaction by mistake.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	Commit() error
	Rollback() error
}

// Execer runs statements in a transaction that it cannot end; see [Writer.WriteVia].
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Writer adds messages to transactions. It is safe for concurrent use.
type Writer struct {
	e     engine
	names names
}

// NewWriter makes a writer for tables made with the same dialect and configuration. Of c
// only Prefix and Shards matter.
func NewWriter(d Dialect, c Config) (*Writer, error) {
	e, n, err := c.engine(d)
	if err != nil {
		return nil, err
	}
	return &Writer{e: e, names: n}, nil
}

// Write adds messages to tx. They are published after it commits, in the order given
// within an ordering key, and never if it is rolled back. It neither keeps nor changes msgs.
//
// An error that matches [outbox.ErrMessage] names the message that cannot be written and
// why; nothing was written then. After any other error tx must be rolled back.
func (w *Writer) Write(ctx context.Context, tx Tx, msgs ...outbox.Message) error {
	if tx == nil {
		return errors.New("outboxsql: Write needs a transaction, got nil")
	}
	return w.write(ctx, tx, msgs)
}

// WriteVia is Write for libraries that hand out a transaction as something that only runs
// statements. The caller vouches that ex is a transaction: otherwise messages may be
// published of an effect that never was.
func (w *Writer) WriteVia(ctx context.Context, ex Execer, msgs ...outbox.Message) error {
	if ex == nil {
		return errors.New("outboxsql: WriteVia needs a transaction, got nil")
	}
	return w.write(ctx, ex, msgs)
}

// statementBytes is how much payload goes into one statement, if there is more than one
// message.
const statementBytes = 4 << 20

func (w *Writer) write(ctx context.Context, ex Execer, msgs []outbox.Message) error {
	var now, later batch
	for i := range msgs {
		m := msgs[i]
		if err := m.Validate(); err != nil {
			return fmt.Errorf("outboxsql: msgs[%d]: %w", i, err)
		}
		if m.ID == uuid.Nil {
			id, err := uuid.NewV7()
			if err != nil {
				return fmt.Errorf("outboxsql: msgs[%d]: make an ID: %w", i, err)
			}
			m.ID = id
		}
		if m.NotBefore.IsZero() {
			now = append(now, m)
			continue
		}
		if y := m.NotBefore.Year(); y < 1 || y > 9999 {
			return fmt.Errorf("outboxsql: msgs[%d]: %w: NotBefore is in the year %d", i, outbox.ErrMessage, y)
		}
		later = append(later, m)
	}
	if err := w.insert(ctx, ex, now); err != nil {
		return err
	}
	return w.delay(ctx, ex, later)
}

// batch is some messages, complete and valid.
type batch []outbox.Message

// head returns the first messages, as many as go into one statement.
func (b batch) head(rows int) (batch, batch) {
	size := 0
	for i, m := range b {
		if size += len(m.Payload); i == rows || i > 0 && size > statementBytes {
			return b[:i], b[i:]
		}
	}
	return b, nil
}

func (w *Writer) insert(ctx context.Context, ex Execer, b batch) error {
	for len(b) > 0 {
		var part batch
		part, b = b.head(w.e.rows)
		args := make([]any, 0, 6*len(part)+1)
		for _, m := range part {
			args = append(args, outbox.ShardOf(&m, w.names.shards), m.ID[:], m.Topic, m.Key, blob(encodeHeaders(m.Headers)), blob(m.Payload))
		}
		if err := w.exec(ctx, ex, len(part), w.e.insert.of(len(part)), append(args, w.names.shards)...); err != nil {
			return err
		}
	}
	return nil
}

// delay writes messages to the cold table. Their Seqs are from the same sequence: first
// they are used, then drawn, both under the right to write.
func (w *Writer) delay(ctx context.Context, ex Execer, b batch) error {
	for len(b) > 0 {
		var part batch
		part, b = b.head(w.e.rows)
		args := make([]any, 0, 8*len(part)+1)
		for i, m := range part {
			due := m.NotBefore.UnixMicro()
			if m.NotBefore.Nanosecond()%1000 > 0 {
				due++
			}
			args = append(args, i+1, outbox.ShardOf(&m, w.names.shards), m.ID[:], m.Topic, m.Key, due, blob(encodeHeaders(m.Headers)), blob(m.Payload))
		}
		if err := w.exec(ctx, ex, len(part), w.e.delay.of(len(part)), append(args, w.names.shards)...); err != nil {
			return err
		}
		if err := w.exec(ctx, ex, 1, w.e.draw, len(part)); err != nil {
			return err
		}
	}
	return nil
}

// exec runs a statement that must change n rows. It changes none if the tables are not what
// they should be.
func (w *Writer) exec(ctx context.Context, ex Execer, n int, statement string, args ...any) error {
	res, err := ex.ExecContext(ctx, statement, args...)
	if err != nil {
		return w.e.failed(fmt.Sprintf("write to table %s, which Migrate or the statements of Schema make", w.names.table("")), err)
	}
	changed, err := res.RowsAffected()
	if err != nil {
		return w.e.failed("write", err)
	}
	if changed != int64(n) {
		return fmt.Errorf("outboxsql: the tables were not made for %d shards a lane: Config.Shards must be what table %s says",
			w.names.shards, w.names.table("_meta"))
	}
	return nil
}
