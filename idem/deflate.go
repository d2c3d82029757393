package idem

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// deflater compresses what is stored. Its working memory is large and kept. The zero value
// works.
type deflater struct {
	writers, readers sync.Pool // of *flate.Writer, and of io.ReadCloser from flate
}

// deflate returns data compressed, behind a tag and its size, or as it is if that is not
// smaller.
func (d *deflater) deflate(data []byte) []byte {
	var out bytes.Buffer
	out.Write(binary.AppendUvarint([]byte{tagDeflated}, uint64(len(data))))
	w, ok := d.writers.Get().(*flate.Writer)
	if ok {
		w.Reset(&out)
	} else {
		var err error
		if w, err = flate.NewWriter(&out, flate.BestSpeed); err != nil {
			return data // not for this level
		}
	}
	defer d.writers.Put(w)
	_, err := w.Write(data)
	if err = errors.Join(err, w.Close()); err != nil || out.Len() >= len(data) {
		return data
	}
	return out.Bytes()
}

var errDeflated = errors.New("what was compressed is damaged")

// inflate undoes deflate.
func (d *deflater) inflate(stored []byte) ([]byte, error) {
	const most = 1032 // bytes that deflate makes of one, at the very most
	size, n := binary.Uvarint(stored[1:])
	if n <= 0 || size > most*uint64(len(stored)) {
		return nil, errDeflated
	}
	in := bytes.NewReader(stored[1+n:])
	r, ok := d.readers.Get().(io.ReadCloser)
	if ok {
		if err := r.(flate.Resetter).Reset(in, nil); err != nil { //nolint:forcetypeassert // flate documents it
			return nil, fmt.Errorf("%w: %w", errDeflated, err)
		}
	} else {
		r = flate.NewReader(in)
	}
	defer d.readers.Put(r)
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("%w: %w", errDeflated, err)
	}
	var one [1]byte
	if m, err := r.Read(one[:]); m != 0 || !errors.Is(err, io.EOF) || in.Len() != 0 {
		return nil, errDeflated
	}
	return data, nil
}
