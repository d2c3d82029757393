package httpmw

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxJSONDepth bounds the recursion over a client's JSON. A deeper body is taken byte
// by byte.
const maxJSONDepth = 100

var errNotCanonical = errors.New("no canonical form")

// CanonicalJSON is the [Fingerprint] that takes JSON bodies by content: white space, the
// order of an object's members and the escaping of strings make no difference. Numbers
// are compared as they are written (1.0 is not 1). A body that is not one JSON value, has a
// member twice, or is nested more than 100 deep is taken byte by byte. It holds the whole
// body in memory.
func CanonicalJSON(h io.Writer, _ *http.Request, body io.Reader) error {
	raw, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	canonical, err := canonicalJSON(raw)
	if err != nil {
		return writeTagged(h, 'r', raw)
	}
	return writeTagged(h, 'j', canonical)
}

func canonicalJSON(raw []byte) ([]byte, error) {
	if !utf8.Valid(raw) { // the decoder would make different bytes equal
		return nil, errNotCanonical
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	out, err := appendJSON(make([]byte, 0, len(raw)), d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotCanonical
	}
	return out, nil
}

func appendJSON(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	t, err := d.Token()
	if err != nil {
		return nil, errNotCanonical
	}
	if depth > maxJSONDepth {
		return nil, errNotCanonical
	}
	switch t {
	case json.Delim('['):
		return appendArray(out, d, depth)
	case json.Delim('{'):
		return appendObject(out, d, depth)
	}
	text, err := json.Marshal(t)
	return append(out, text...), err
}

func appendArray(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	out = append(out, '[')
	var err error
	for d.More() {
		if out, err = appendJSON(out, d, depth+1); err != nil {
			return nil, err
		}
		out = append(out, ',')
	}
	_, err = d.Token()
	return append(out, ']'), err
}

func appendObject(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	type member struct {
		name string
		text []byte
	}
	var members []member
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, errNotCanonical
		}
		name, ok := t.(string)
		if !ok {
			return nil, errNotCanonical
		}
		text, err := appendJSON(nil, d, depth+1)
		if err != nil {
			return nil, err
		}
		members = append(members, member{name, text})
	}
	if _, err := d.Token(); err != nil {
		return nil, errNotCanonical
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	out = append(out, '{')
	for i, m := range members {
		// Which of two members counts is up to the handler's decoder.
		if i > 0 && m.name == members[i-1].name {
			return nil, errNotCanonical
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, errNotCanonical
		}
		out = append(append(append(append(out, name...), ':'), m.text...), ',')
	}
	return append(out, '}'), nil
}
