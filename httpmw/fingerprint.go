package httpmw

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"mime"
	"net/http"
	"strings"
)

// Fingerprint writes what makes a request's content the same as another's into h. The
// method, the path, the query and the media type (without parameters) are bound in any
// case; a Fingerprint speaks for the body, and for headers that matter. body yields the
// whole body as it was received. An error is answered with 400 body-unreadable.
//
// It has to give the same bytes in all versions of a service that run at the same
// time, and for as long as answers are kept: a change turns retries into mismatches.
type Fingerprint func(h io.Writer, r *http.Request, body io.Reader) error

// RawBody is the [Fingerprint] that takes the body byte by byte.
func RawBody(h io.Writer, _ *http.Request, body io.Reader) error {
	_, err := io.Copy(h, body)
	return err
}

// fingerprint digests the request: SHA-256, or HMAC-SHA-256 under the server's key.
func (m *Idempotency) fingerprint(r *http.Request, body *reqBody) ([]byte, error) {
	media := mediaType(r.Header["Content-Type"])
	content, err := m.contentDigest(r, body, media)
	if err != nil {
		return nil, err
	}
	var room [512]byte
	b := append(room[:0], "once/httpmw fingerprint 1"...)
	b = appendPart(b, r.Method)
	b = appendPart(b, r.URL.EscapedPath())
	b = appendPart(b, r.URL.RawQuery)
	b = appendPart(b, media)
	b = append(b, content[:]...)
	if m.c.FingerprintKey != nil {
		mac := hmac.New(sha256.New, m.c.FingerprintKey)
		mac.Write(b)
		return mac.Sum(nil), nil
	}
	sum := sha256.Sum256(b)
	return sum[:], nil
}

func (m *Idempotency) contentDigest(r *http.Request, body *reqBody, media string) (sum [sha256.Size]byte, err error) {
	f := m.c.Fingerprint
	if f == nil {
		if media != "multipart/form-data" {
			if body.file == nil {
				return sha256.Sum256(body.mem), nil
			}
			f = RawBody
		} else {
			f = MultipartParts
		}
	}
	h := sha256.New()
	if err := f(h, r, body.open()); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}

// appendPart appends s with its length in front, so that no two lists of parts are alike.
func appendPart(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// mediaType is the Content-Type without parameters, in lower case: a charset or a
// boundary is not a difference.
func mediaType(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	if lines[0] == "application/json" {
		return lines[0]
	}
	t, _, err := mime.ParseMediaType(lines[0])
	if err != nil && t == "" {
		t, _, _ = strings.Cut(lines[0], ";")
		t = strings.ToLower(strings.TrimSpace(t))
	}
	return t
}
