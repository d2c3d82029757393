package httpmw

import (
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
// choose anew for each retry. A body that is not well-formed multipart is taken byte by byte.
func MultipartParts(h io.Writer, r *http.Request, body io.Reader) error {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return RawBody(h, r, body)
	}
	// The raw digest is made on the way, in case the parts turn out not to be any.
	raw := sha256.New()
	mr := multipart.NewReader(io.TeeReader(body, raw), params["boundary"])
	parts := sha256.New()
	for n := uint64(0); ; n++ {
		part, err := mr.NextRawPart()
		if err == io.EOF { //nolint:errorlint // wrapped, it means that the closing boundary is missing
			return writeTagged(h, 'm', binary.AppendUvarint(nil, n), parts.Sum(nil))
		}
		if err != nil {
			break
		}
		content := sha256.New()
		if _, err := io.Copy(content, part); err != nil {
			break
		}
		var b []byte
		b = appendPart(b, part.Header.Get("Content-Disposition"))
		b = appendPart(b, part.Header.Get("Content-Type"))
		b = appendPart(b, part.Header.Get("Content-Transfer-Encoding"))
		parts.Write(content.Sum(b))
	}
	if _, err := io.Copy(raw, body); err != nil {
		return err
	}
	return writeTagged(h, 'r', raw.Sum(nil))
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
