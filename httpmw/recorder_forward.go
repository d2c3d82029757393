package httpmw

import (
	"bufio"
	"net"
	"net/http"
	"time"
)

// writer returns w with exactly those optional interfaces that the underlying writer has:
// a handler that asserts http.Flusher or http.Hijacker is told the truth.
func (w *recorder) writer() http.ResponseWriter {
	flush := !w.limits.hold && (w.limits.noFlush || canFlush(w.out))
	hijack := !w.limits.hold && canHijack(w.out)
	switch {
	case flush && hijack:
		return flushHijackRecorder{w}
	case flush:
		return flushRecorder{w}
	case hijack:
		return hijackRecorder{w}
	}
	return w
}

type (
	flushRecorder       struct{ *recorder }
	hijackRecorder      struct{ *recorder }
	flushHijackRecorder struct{ *recorder }
)

func (w flushRecorder) Flush()       { _ = w.FlushError() }
func (w flushHijackRecorder) Flush() { _ = w.FlushError() }

func (w hijackRecorder) Hijack() (net.Conn, *bufio.ReadWriter, error)      { return w.hijack() }
func (w flushHijackRecorder) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }

func (w *recorder) hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.returned {
		return nil, nil, errAfterReturn
	}
	if w.status != 0 && !w.streamed {
		w.stream() // what was written first goes out first, as net/http does
	}
	conn, rw, err := w.control().Hijack()
	if err == nil {
		w.hijacked = true
	}
	return conn, rw, err
}

// SetReadDeadline, SetWriteDeadline and EnableFullDuplex are for ResponseController; the
// error matches http.ErrNotSupported where the underlying writer lacks them.
func (w *recorder) SetReadDeadline(t time.Time) error  { return w.control().SetReadDeadline(t) }
func (w *recorder) SetWriteDeadline(t time.Time) error { return w.control().SetWriteDeadline(t) }
func (w *recorder) EnableFullDuplex() error            { return w.control().EnableFullDuplex() }

func (w *recorder) control() *http.ResponseController { return http.NewResponseController(w.out) }

// canFlush and canHijack look for what ResponseController would find.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case interface{ FlushError() error }, http.Flusher:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

func canHijack(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}
