package httpmw

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

var (
	errBodyLong  = errors.New("httpmw: the request body is longer than Transport.MaxBody and has no GetBody, so it cannot be sent again")
	errBodyTaken = errors.New("httpmw: the request body is being sent by a later attempt")
)

// replayBody is a request body that can be sent more than once: the caller's GetBody makes it anew, or it
// is recorded while it is sent for the first time. It is read no earlier than the transport
// does, so a body that is produced bit by bit flows as it would without it.
type replayBody struct {
	src     io.ReadCloser // nil = there is no body
	getBody func() (io.ReadCloser, error)
	sent    bool  // src was given to an attempt
	tape    *tape // nil = getBody serves
}

// replay is the body for one attempt.
type replay struct {
	reader io.ReadCloser
	again  func() (io.ReadCloser, error) // for net/http's own repeats
}

func (b *replayBody) init(req *http.Request, limit int64) {
	if req.Body == nil || req.Body == http.NoBody {
		return
	}
	b.src, b.getBody = req.Body, req.GetBody
	if b.getBody != nil {
		return
	}
	if limit == 0 {
		limit = mebibyte
	}
	if req.ContentLength > limit {
		limit = 0 // nothing is gained by recording its beginning
	}
	b.tape = &tape{src: req.Body, limit: max(limit, 0)}
}

func (b *replayBody) none() bool { return b.src == nil }

// open returns the body from its first byte on. The readers returned before are dead then.
func (b *replayBody) open() (replay, error) {
	switch {
	case b.src == nil:
		return replay{reader: http.NoBody}, nil
	case b.tape != nil:
		return b.tape.replay()
	}
	if !b.sent {
		b.sent = true
		return replay{b.src, b.getBody}, nil
	}
	r, err := b.getBody()
	if err != nil {
		return replay{}, err
	}
	return replay{r, b.getBody}, nil
}

// lost says that the body cannot be sent again.
func (b *replayBody) lost() bool { return b.tape != nil && b.tape.lost() }

// end closes the body, once the last attempt has done with it.
func (b *replayBody) end() {
	switch {
	case b.src == nil:
	case b.tape != nil:
		b.tape.end()
	case !b.sent:
		_ = b.src.Close() // no attempt was made that would
	}
}

// tape records a source while it is read. One reader at a time may go on reading; a
// new one starts from the beginning and then goes on where the recording ends.
type tape struct {
	src   io.ReadCloser
	limit int64       // of the recording, in bytes
	over  atomic.Bool // more has been read: nobody can start again

	mu   sync.Mutex // held while the source is read
	buf  []byte
	read int64 // bytes taken from the source
	err  error // its end

	state   sync.Mutex // never held while waiting
	current *tapeReader
	ended   bool
	closed  bool
	broken  bool // the source failed by itself
}

func (t *tape) replay() (replay, error) {
	t.state.Lock()
	defer t.state.Unlock()
	if t.current != nil {
		if t.over.Load() {
			return replay{}, errBodyLong
		}
		t.current.dead.Store(true)
	}
	t.current = &tapeReader{tape: t}
	return replay{t.current, t.again}, nil
}

func (t *tape) again() (io.ReadCloser, error) {
	r, err := t.replay()
	return r.reader, err
}

func (t *tape) lost() bool {
	t.state.Lock()
	defer t.state.Unlock()
	return t.broken || t.over.Load()
}

// end closes the source as soon as the current reader is closed: a transport may still be
// sending when the answer has come.
func (t *tape) end() {
	t.state.Lock()
	t.ended = true
	t.state.Unlock()
	t.closeIfDone()
}

func (t *tape) closeIfDone() {
	t.state.Lock()
	done := t.ended && !t.closed && (t.current == nil || t.current.dead.Load())
	t.closed = t.closed || done
	t.state.Unlock()
	if done {
		_ = t.src.Close() // it has been read, or nobody wants to
	}
}

type tapeReader struct {
	tape *tape
	off  int64
	dead atomic.Bool
}

func (r *tapeReader) Read(p []byte) (int, error) {
	t := r.tape
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.dead.Load() {
		return 0, errBodyTaken
	}
	if r.off < t.read {
		if t.over.Load() {
			return 0, errBodyLong
		}
		n := copy(p, t.buf[r.off:])
		r.off += int64(n)
		return n, nil
	}
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.src.Read(p)
	t.record(p[:n], err)
	r.off += int64(n)
	return n, err
}

func (t *tape) record(p []byte, err error) {
	t.read += int64(len(p))
	if t.read > t.limit {
		t.over.Store(true)
	}
	if t.over.Load() {
		t.buf = nil
	} else {
		t.buf = append(t.buf, p...)
	}
	t.err = err
	if err != nil && !errors.Is(err, io.EOF) {
		t.state.Lock()
		t.broken = true
		t.state.Unlock()
	}
}

func (r *tapeReader) Close() error {
	r.dead.Store(true)
	r.tape.closeIfDone()
	return nil
}
