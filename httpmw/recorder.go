package httpmw

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

var (
	errAfterReturn    = errors.New("httpmw: write after the handler returned")
	errAnswerTooLarge = errors.New("httpmw: the answer is larger than IdempotencyConfig.MaxResponse, and a transaction's answer cannot be sent before the commit")
)

// recorder is the ResponseWriter that a handler writes to. It holds the answer back until
// it has been recorded. An answer that grows too large, is flushed or hijacked cannot be held
// back: it goes through to the client from there on, and is known as streamed.
//
// It offers no Unwrap on purpose: a ResponseController would reach past it, and send what
// is held back out of order. What a handler may reach is forwarded method by method.
//
// The handler has a header map of its own, so that what it changes after its return
// reaches nobody.
type recorder struct {
	mu     sync.Mutex
	out    http.ResponseWriter
	isHead bool
	limits recorderLimits

	base   http.Header // out's header before the handler ran
	header http.Header // what Header returns
	frozen http.Header // header as it was at WriteHeader

	status   int    // 0 = not yet
	buf      []byte // recordPrefix bytes of room, then the body held back
	declared int64  // Content-Length as the handler declared it; -1 = not
	written  int64

	streamed bool // the answer is on its way to the client
	hijacked bool
	returned bool
	tooLarge bool // in a transaction: refused
}

type recorderLimits struct {
	max      int  // largest body held back
	hold     bool // nothing may be sent before the commit
	noFlush  bool // Flush does nothing while the answer fits
	logExtra func(status int)
}

func (w *recorder) init(out http.ResponseWriter, r *http.Request, l recorderLimits) {
	*w = recorder{out: out, isHead: r.Method == http.MethodHead, limits: l, declared: -1}
	w.base = out.Header()
	if len(w.base) == 0 {
		w.header = make(http.Header)
	} else {
		w.header = w.base.Clone()
	}
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(status)
}

func (w *recorder) writeHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("httpmw: invalid WriteHeader code %d", status)) // as net/http does
	}
	switch {
	case w.returned || w.hijacked:
		return
	case w.status != 0:
		w.limits.logExtra(status)
		return
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.unshareBase()
		replaceHeader(w.out.Header(), w.header)
		w.out.WriteHeader(status)
		return
	}
	w.status = status
	w.frozen = w.header.Clone()
	if cl := w.frozen.Get("Content-Length"); cl != "" {
		n, err := strconv.ParseInt(cl, 10, 64)
		if err != nil || n < 0 {
			w.frozen.Del("Content-Length")
		} else {
			w.declared = n
		}
	}
	if status == http.StatusSwitchingProtocols && !w.limits.hold {
		w.stream()
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.beforeWrite(len(p)); err != nil || len(p) == 0 {
		return 0, err
	}
	if w.streamed {
		return w.out.Write(p)
	}
	w.buf = append(w.buf, p...)
	return len(p), nil
}

func (w *recorder) WriteString(s string) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.beforeWrite(len(s)); err != nil || s == "" {
		return 0, err
	}
	if w.streamed {
		return io.WriteString(w.out, s)
	}
	w.buf = append(w.buf, s...)
	return len(s), nil
}

// beforeWrite admits n bytes of body, with the errors that net/http has for them.
func (w *recorder) beforeWrite(n int) error {
	switch {
	case w.returned:
		return errAfterReturn
	case w.hijacked:
		return http.ErrHijacked
	}
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	if n == 0 {
		return nil
	}
	if !bodyAllowed(w.status) {
		return http.ErrBodyNotAllowed
	}
	if w.declared >= 0 && w.written+int64(n) > w.declared {
		return http.ErrContentLength
	}
	if !w.streamed {
		if w.written+int64(n) > int64(w.limits.max) {
			if w.limits.hold {
				w.tooLarge = true
				return errAnswerTooLarge
			}
			w.stream()
		} else if w.buf == nil {
			w.grow(n)
		}
	}
	w.written += int64(n)
	return nil
}

// grow makes the first room: for the whole body where its size is known.
func (w *recorder) grow(n int) {
	size := n
	if w.declared > int64(size) {
		size = int(min(w.declared, int64(w.limits.max), firstChunk))
	}
	const fieldsRoom = 256
	w.buf = make([]byte, recordPrefix, recordPrefix+size+fieldsRoom)
}

// ReadFrom is there for io.Copy: it reads straight into the buffer, and once the answer
// is streamed it leaves the copying to the underlying writer.
func (w *recorder) ReadFrom(src io.Reader) (int64, error) {
	chunk := make([]byte, 32<<10)
	var total int64
	for {
		w.mu.Lock()
		through := w.streamed && !w.returned && !w.hijacked && w.declared < 0
		w.mu.Unlock()
		if through {
			n, err := io.Copy(w.out, src)
			w.mu.Lock()
			w.written += n
			w.mu.Unlock()
			return total + n, err
		}
		n, err := src.Read(chunk)
		if n > 0 {
			m, werr := w.Write(chunk[:n])
			total += int64(m)
			if werr != nil {
				return total, werr
			}
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// unshareBase keeps what out's header was before it is written to.
func (w *recorder) unshareBase() {
	if !w.streamed {
		w.base = w.base.Clone()
	}
}

// stream sends what has been held back; from here on the answer goes through.
func (w *recorder) stream() {
	w.unshareBase()
	w.streamed = true
	replaceHeader(w.out.Header(), w.frozen)
	w.out.WriteHeader(w.status)
	if len(w.buf) > recordPrefix {
		_, _ = w.out.Write(w.buf[recordPrefix:]) // the next write meets the same error
	}
	w.buf = nil
}

// FlushError sends what there is (net/http's ResponseController calls it).
func (w *recorder) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.returned:
		return errAfterReturn
	case w.hijacked:
		return http.ErrHijacked
	case w.limits.hold:
		return http.ErrNotSupported
	case w.limits.noFlush && !w.streamed:
		return nil
	case !w.streamed && !canFlush(w.out):
		return http.ErrNotSupported
	}
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	if !w.streamed {
		w.stream()
	}
	return w.control().Flush()
}

// finish ends the handler's use of w.
func (w *recorder) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 && !w.hijacked {
		w.writeHeader(http.StatusOK)
	}
	w.returned = true
	if w.streamed && !w.hijacked {
		setFields(w.out.Header(), trailerFields(w.frozen["Trailer"], w.header))
	}
}

// abort ends the handler's use of w without an answer.
func (w *recorder) abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.returned = true
}

// sent reports whether the client has got anything of a final answer.
func (w *recorder) sent() bool { return w.streamed || w.hijacked }

// short reports whether the handler wrote less than it declared: such a body is not the
// answer that it meant to give.
func (w *recorder) short() bool {
	return w.declared > w.written && bodyAllowed(w.status) && !w.isHead
}
