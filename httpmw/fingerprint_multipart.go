package httpmw

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
)

// MultipartParts is the [Fingerprint] of multipart bodies, and the default for
// multipart/form-data: it takes the parts in their order, each with its
// Content-Disposition, its Content-Type and its bytes, but not the boundary, which clients
// choose anew for each retry. A body that is not well-formed multipart, or goes on after its last
// boundary, is taken byte by byte.
func MultipartParts(h io.Writer, r *http.Request, body io.Reader) error {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return RawBody(h, r, body)
	}
	// The raw digest is made on the way, in case the parts turn out not to be any.
	raw := sha256.New()
	end := &tail{keep: len(params["boundary"]) + 16}
	seen := io.MultiWriter(raw, end)
	n, parts, whole := partsDigest(multipart.NewReader(io.TeeReader(body, seen), params["boundary"]))
	if _, err := io.Copy(seen, body); err != nil {
		return err
	}
	// The reader takes a body that is cut off inside of a part's header for a whole one.
	if !whole || !bytes.HasSuffix(bytes.TrimRight(end.last, "\r\n \t"), []byte("--"+params["boundary"]+"--")) {
		return writeTagged(h, 'r', raw.Sum(nil))
	}
	return writeTagged(h, 'm', binary.AppendUvarint(nil, n), parts)
}

// partsDigest digests the parts, and says whether all could be read.
func partsDigest(mr *multipart.Reader) (n uint64, sum []byte, whole bool) {
	parts := sha256.New()
	for ; ; n++ {
		part, err := mr.NextRawPart()
		if err == io.EOF { // wrapped, it means that the closing boundary is missing
			return n, parts.Sum(nil), true
		}
		if err != nil {
			return 0, nil, false
		}
		content := sha256.New()
		if _, err := io.Copy(content, part); err != nil {
			return 0, nil, false
		}
		var b []byte
		b = appendPart(b, part.Header.Get("Content-Disposition"))
		b = appendPart(b, part.Header.Get("Content-Type"))
		b = appendPart(b, part.Header.Get("Content-Transfer-Encoding"))
		parts.Write(content.Sum(b))
	}
}

// tail keeps the last bytes that were written to it.
type tail struct {
	keep int
	last []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.last = append(t.last, p[max(0, len(p)-t.keep):]...)
	t.last = t.last[max(0, len(t.last)-t.keep):]
	return len(p), nil
}

func writeTagged(h io.Writer, tag byte, parts ...[]byte) error {
	if _, err := h.Write([]byte{tag}); err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := h.Write(p); err != nil {
			return err
		}
	}
	return nil
}
