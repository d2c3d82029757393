package httpmw

import (
	"bytes"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// Whatever the store hands out: it is decoded to what was encoded, or refused.
func FuzzRecord(f *testing.F) {
	seal := func(status int, body string, fields ...field) []byte {
		return sealRecord(append(make([]byte, recordPrefix), body...), status, false, fields, nil)
	}
	f.Add(seal(200, ""))
	f.Add(seal(201, "hello", field{"Location", []string{"/a"}}, field{"X", nil}))
	f.Add(sealRecord(make([]byte, recordPrefix), 0, true, nil, nil))
	f.Add([]byte(strings.Repeat("\x01", 40)))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := openRecord(data)
		if err != nil {
			return
		}
		buf := append(make([]byte, recordPrefix), rec.body...)
		again, err := openRecord(sealRecord(buf, rec.status, rec.tombstone, rec.headers, rec.trailers))
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		if again.status != rec.status || !bytes.Equal(again.body, rec.body) || !reflect.DeepEqual(again.headers, rec.headers) || !reflect.DeepEqual(again.trailers, rec.trailers) {
			t.Fatalf("%+v became %+v", rec, again)
		}
	})
}

// Every accepted key is 1 to 255 printable ASCII bytes, and its quoted form is the same key.
func FuzzKey(f *testing.F) {
	for _, v := range []string{`abc`, `"abc"`, `"a\"b"`, `"k";v=1`, `"a","b"`, ` "x" `, "\"\x00\"", `"ü"`, `?1`, `:YQ==:`, strings.Repeat("x", 256)} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		key, err := parseKey([]string{v}, false)
		if err != nil {
			return
		}
		if len(key) < 1 || len(key) > maxKey {
			t.Fatalf("%q: %d bytes", v, len(key))
		}
		for _, c := range []byte(key) {
			if c < 0x20 || c > 0x7e {
				t.Fatalf("%q became %q", v, key)
			}
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, err := parseKey([]string{quoted}, true); err != nil || again != key {
			t.Fatalf("%q is %q, but %q is %q, %v", v, key, quoted, again, err)
		}
	})
}

// A peer can ask for any wait; none is negative, and none overflows.
func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{"0", "120", "-1", "99999999999999999999", "Fri, 31 Dec 1999 23:59:59 GMT", "soon", " 5 ", "5, 6"} {
		f.Add(v, "Fri, 31 Dec 1999 23:59:00 GMT")
	}
	f.Fuzz(func(t *testing.T, after, date string) {
		h := http.Header{"Retry-After": {after}, "Date": {date}}
		if d, ok := retryAfter(h); d < 0 || (!ok && d != 0) {
			t.Fatalf("%q: %v, %v", after, d, ok)
		}
	})
}
