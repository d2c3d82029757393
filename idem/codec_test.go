package idem

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
)

// FuzzDecode shows that no stored bytes, whoever wrote them, do more than fail to decode.
func FuzzDecode(f *testing.F) {
	for _, data := range [][]byte{
		nil, {}, {tagValue}, {tagError}, {0}, {255}, []byte("\x01\"text\""), []byte("\x01null"), []byte("\x01{"), []byte("\x011 2"),
		[]byte("\x02{\"code\":\"c\",\"message\":\"m\"}"), []byte("\x02null"), []byte("\x02[]"), []byte("\x02{} x"),
	} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		given := bytes.Clone(data)
		text, err := decode[string](jsonCodec{}, data)
		check := func(what string, err error) {
			t.Helper()
			if err != nil && !errors.Is(err, ErrNoResult) && !errors.Is(err, ErrRecorded) {
				t.Fatalf("%s: %v; want an error that matches ErrNoResult or ErrRecorded", what, err)
			}
		}
		check("string", err)
		if err != nil && text != "" {
			t.Fatalf("%q beside %v", text, err)
		}
		raw, rawErr := decode[[]byte](jsonCodec{}, data)
		check("bytes", rawErr)
		_, doneErr := decode[struct{}](jsonCodec{}, data)
		check("nothing", doneErr)
		body, bodyErr := decodeBody(data)
		check("body", bodyErr)
		if (rawErr == nil) != (bodyErr == nil) || !bytes.Equal(raw, body) {
			t.Fatalf("bytes %q, %v; body %q, %v", raw, rawErr, body, bodyErr)
		}
		if !bytes.Equal(data, given) {
			t.Fatal("decoding changed what was stored")
		}
		if err == nil {
			again, encErr := encodeValue(jsonCodec{}, text)
			back, decErr := decode[string](jsonCodec{}, again)
			if encErr != nil || decErr != nil || back != text {
				t.Fatalf("%q comes back as %q (%v, %v)", text, back, encErr, decErr)
			}
		}
	})
}

func FuzzRecordedErrorComesBack(f *testing.F) {
	f.Add("code", "message")
	f.Add("", "")
	f.Add("\xff", "\x00\u2028<>&")
	f.Fuzz(func(t *testing.T, code, message string) {
		data, err := encodeError(&codedError{code, message})
		if err != nil {
			t.Fatal(err)
		}
		_, err = decode[int](jsonCodec{}, data)
		rec, ok := errors.AsType[*RecordedError](err)
		// JSON has no bytes that are not UTF-8.
		if !ok || rec.Code != valid(code) || rec.Message != valid(message) {
			t.Fatalf("%q %q came back as %#v", code, message, err)
		}
	})
}

// valid is s as JSON can carry it.
func valid(s string) string {
	b, err := json.Marshal(s)
	var back string
	if err == nil {
		err = json.Unmarshal(b, &back)
	}
	if err != nil {
		panic(err)
	}
	return back
}

type codedError struct{ code, message string }

func (e *codedError) Error() string { return e.message }
func (e *codedError) Code() string  { return e.code }

// FuzzCheckpoints shows that no progress bytes, whoever wrote them, do more than fail to be
// read, and that what can be read is written again as it was.
func FuzzCheckpoints(f *testing.F) {
	var c checkpoints
	c.add("a", []byte{tagValue})
	c.add("", nil)
	c.add("b", []byte("\x01{}"))
	for _, b := range [][]byte{nil, {checkpointsVersion}, {2}, c.marshal(), []byte("\x01\x05ab"), []byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := unmarshalCheckpoints(bytes.Clone(b))
		if err != nil {
			if !errors.Is(err, errProgress) || len(got.names) > 0 {
				t.Fatalf("%v beside %q", err, got.names)
			}
			return
		}
		again, err := unmarshalCheckpoints(got.marshal())
		if err != nil || len(again.names) != len(got.names) {
			t.Fatalf("%q comes back as %q (%v)", got.names, again.names, err)
		}
		for i, name := range got.names {
			if again.names[i] != name || !bytes.Equal(again.data[name], got.data[name]) {
				t.Fatalf("step %q: %q comes back as %q", name, got.data[name], again.data[name])
			}
		}
	})
}
