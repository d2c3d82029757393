package httpmw

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// firstChunk is what is allocated for a body before any of it has come: a client that
// only announces a large body does not get the memory for it.
const firstChunk = 64 << 10

var errSpool = errors.New("httpmw: cannot spool the request body")

// reqBody is a request body that has been read whole: in memory, or in a private
// temporary file. Close it.
type reqBody struct {
	mem  []byte
	file *os.File
	size int64
	name string // of a file that is still to be removed
}

// open returns a reader from the first byte on.
func (b *reqBody) open() io.ReadCloser {
	switch {
	case b.file != nil:
		return io.NopCloser(io.NewSectionReader(b.file, 0, b.size))
	case b.size == 0:
		return http.NoBody
	}
	return io.NopCloser(bytes.NewReader(b.mem))
}

func (b *reqBody) close() {
	if b.file == nil {
		return
	}
	_ = b.file.Close() // nothing in it is needed any more
	if b.name != "" {
		_ = os.Remove(b.name)
	}
	b.file, b.name = nil, ""
}

// readBody reads r's body whole. Above memory bytes it goes to a file in dir; above limit
// bytes the error is an *http.MaxBytesError.
func readBody(w http.ResponseWriter, r *http.Request, memory, limit int64, dir string) (reqBody, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return reqBody{}, nil
	}
	if r.ContentLength > limit {
		return reqBody{}, &http.MaxBytesError{Limit: limit}
	}
	src := http.MaxBytesReader(w, r.Body, limit)
	size := int64(firstChunk)
	if r.ContentLength >= 0 {
		size = min(size, r.ContentLength+1) // one more, so that the last read meets the end
	}
	buf := make([]byte, 0, min(size, memory+1))
	for {
		n, err := src.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case errors.Is(err, io.EOF):
			return reqBody{mem: buf, size: int64(len(buf))}, nil
		case err != nil:
			return reqBody{}, err
		case int64(len(buf)) > memory:
			return spool(buf, src, dir)
		case len(buf) == cap(buf):
			grown := make([]byte, len(buf), min(int64(2*cap(buf)), memory+1))
			copy(grown, buf)
			buf = grown
		}
	}
}

// spool writes head and the rest of src to a temporary file that only this process can
// reach: its mode is 0600, and where the system allows it the name is gone at once.
func spool(head []byte, src io.Reader, dir string) (_ reqBody, err error) {
	f, err := os.CreateTemp(dir, "once-body-*")
	if err != nil {
		return reqBody{}, fmt.Errorf("%w: %w", errSpool, err)
	}
	b := reqBody{file: f, name: f.Name()}
	if os.Remove(b.name) == nil {
		b.name = ""
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if _, err := f.Write(head); err != nil {
		return reqBody{}, fmt.Errorf("%w: %w", errSpool, err)
	}
	n, err := io.Copy(spoolWriter{f}, src)
	if err != nil {
		return reqBody{}, err
	}
	b.size = int64(len(head)) + n
	return b, nil
}

// spoolWriter tells a full disk from a client that stopped sending.
type spoolWriter struct{ f *os.File }

func (w spoolWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errSpool, err)
	}
	return n, err
}
