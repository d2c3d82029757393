package httpmw_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"

	"github.com/google/uuid"
)

// created answers 201 with the number of the run.
func created(runs *counter) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		n := runs.add()
		w.Header().Set("Location", fmt.Sprintf("/orders/%d", n))
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, "order %d", n)
	}
}

func TestKeyIsMissing(t *testing.T) {
	t.Run("H1 optional: passes through, and the writer is not wrapped", func(t *testing.T) {
		var inner http.ResponseWriter
		m := middleware(t, &idem.Memory{}, httpmw.IdempotencyConfig{})
		h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { inner = w }))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x")))
		if inner != http.ResponseWriter(w) {
			t.Errorf("the handler got a %T", inner)
		}
	})
	t.Run("H2 required: 400, the store and the handler are not called", func(t *testing.T) {
		var runs counter
		store := &faultStore{Store: &idem.Memory{}}
		b := newBench(t, benchConfig{store: store, mw: httpmw.IdempotencyConfig{Required: true}}, created(&runs))
		b.post(t, "", "x").want(t, 400, httpmw.CodeKeyMissing)
		runs.want(t, 0)
		if n := store.calls.Load(); n != 0 {
			t.Errorf("%d calls of the store", n)
		}
		b.events.want(t, httpmw.CodeKeyMissing)
	})
}

func TestKeySyntax(t *testing.T) {
	long := strings.Repeat("k", 255)
	for _, c := range []struct {
		name, first, second string
		strict              bool
		refused             bool // the first; else the second has to be a replay
	}{
		{name: "H3 quoted and bare are the same key", first: `"abc"`, second: `abc`},
		{name: "H3 white space around", first: ` "abc" `, second: `abc`},
		{name: "H4 strict refuses bare", first: `abc`, strict: true, refused: true},
		{name: "H4 strict takes quoted", first: `"abc"`, second: `"abc"`, strict: true},
		{name: "H5 escapes are decoded", first: `"a\"b\\c"`, second: `"a\"b\\c";x`},
		{name: "H5 other escapes", first: `"a\nb"`, refused: true},
		{name: "H6 parameters are ignored", first: `"k";v=1;w="x"`, second: `k`},
		{name: "H6 malformed parameters", first: `"k";;`, refused: true},
		{name: "H7 list", first: `"a","b"`, refused: true},
		{name: "H7 list of bare ones", first: `a, b`, refused: true},
		{name: "H7 list of bare ones without a space", first: `a,b`, refused: true},
		{name: "H7 unfinished", first: `"a`, refused: true},
		{name: "H7 another type in strict mode", first: `:YWJj:`, strict: true, refused: true},
		{name: "H9 empty string", first: `""`, refused: true},
		{name: "H9 only spaces", first: `"   "`, refused: true},
		{name: "H10 255 bytes", first: long, second: `"` + long + `"`},
		{name: "H10 255 escaped bytes", first: `"` + strings.Repeat(`\"`, 255) + `"`, second: `"` + strings.Repeat(`\"`, 255) + `";p`},
		{name: "H10 256 bytes", first: long + "k", refused: true},
		{name: "H10 256 quoted bytes", first: `"` + long + `k"`, refused: true},
		{name: "H10 half a megabyte", first: strings.Repeat("k", 500_000), refused: true},
		{name: "H11 tab", first: "a\tb", refused: true},
		{name: "H11 quoted tab", first: "\"a\tb\"", refused: true},
		{name: "H11 beyond ASCII", first: "schlüssel", refused: true},
		{name: "H11 quoted beyond ASCII", first: `"schlüssel"`, refused: true},
		{name: "H11 right-to-left override", first: "a\u202eb", refused: true},
		{name: "H11 quote inside a bare key", first: `a"b`, refused: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var runs counter
			store := &faultStore{Store: &idem.Memory{}}
			b := newBench(t, benchConfig{store: store, mw: httpmw.IdempotencyConfig{Strict: c.strict}}, created(&runs))
			first := b.post(t, c.first, "x")
			if c.refused {
				first.want(t, 400, httpmw.CodeKeyInvalid)
				runs.want(t, 0)
				if n := store.calls.Load(); n != 0 {
					t.Errorf("%d calls of the store", n)
				}
				return
			}
			first.want(t, 201, "")
			if again := b.post(t, c.second, "x").want(t, 201, ""); !again.replayed() {
				t.Error("the second form is another key")
			}
			runs.want(t, 1)
		})
	}
}

func TestKeyIsGivenTwice(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Headers: []string{"Idempotency-Key", "x-idempotency-key"}}}, created(&runs))
	t.Run("H8 two lines", func(t *testing.T) {
		b.post(t, "a", "x", httpmw.HeaderKey, "a").want(t, 400, httpmw.CodeKeyInvalid)
	})
	t.Run("H8 two headers that differ", func(t *testing.T) {
		b.post(t, "a", "x", "X-Idempotency-Key", "b").want(t, 400, httpmw.CodeKeyInvalid)
	})
	runs.want(t, 0)
	t.Run("H14 two headers that agree", func(t *testing.T) {
		b.post(t, "a", "x", "X-Idempotency-Key", "a").want(t, 201, "")
		if !b.post(t, "", "x", "X-Idempotency-Key", "a").replayed() {
			t.Error("the second header is not a key's")
		}
	})
	runs.want(t, 1)
	t.Run("H9 empty line", func(t *testing.T) {
		r := b.request(t, http.MethodPost, "/orders", "", strings.NewReader("x"))
		r.Header[httpmw.HeaderKey] = []string{""}
		b.do(t, r).want(t, 400, httpmw.CodeKeyInvalid)
	})
}

// A byte that net/http itself refuses never comes here; a bare request over a socket shows
// it.
func TestH11ControlBytesOnTheWire(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{}, created(&runs))
	for _, key := range []string{"a\x00b", "a\x1bb", "a\x7fb"} {
		conn, err := net.Dial("tcp", b.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", key)
		reply, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(reply), "HTTP/1.1 400 ") {
			t.Errorf("%q: %q, %v", key, reply, err)
		}
		_ = conn.Close()
	}
	runs.want(t, 0)
}

// v7At is a version 7 UUID that was made at that time.
func v7At(at time.Time) string {
	id := uuid.Must(uuid.NewV7())
	for i, ms := 5, at.UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
		id[i] = byte(ms)
	}
	return id.String()
}

func TestH12KeyRule(t *testing.T) {
	var runs counter
	v7 := func(age time.Duration) string { return v7At(time.Now().Add(-age)) }
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{KeyRule: httpmw.FreshUUIDv7(time.Hour)}}, created(&runs))
	b.post(t, "abc", "x").want(t, 400, httpmw.CodeKeyInvalid)
	b.post(t, uuid.NewString(), "x").want(t, 400, httpmw.CodeKeyInvalid)
	b.post(t, "urn:uuid:"+v7(0), "x").want(t, 400, httpmw.CodeKeyInvalid)
	b.post(t, v7(2*time.Hour), "x").want(t, 400, httpmw.CodeKeyStale)
	b.post(t, v7(-time.Hour), "x").want(t, 400, httpmw.CodeKeyInvalid)
	runs.want(t, 0)
	b.post(t, v7(30*time.Minute), "x").want(t, 201, "")

	b = newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{KeyRule: func(string) error { return errors.New("secret reason") }}}, created(&runs))
	if a := b.post(t, "abc", "x").want(t, 400, httpmw.CodeKeyInvalid); strings.Contains(a.body, "secret") {
		t.Error("the error's text was sent")
	}
	runs.want(t, 1)
}

func TestH13KeyIsCheckedBeforeTheBody(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Required: true}}, created(&runs))
	for _, key := range []string{"", "Idempotency-Key: \"x\r\n"} {
		conn, err := net.Dial("tcp", b.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\n"+key+"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		buf := make([]byte, 64)
		n, err := io.ReadFull(conn, buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 400 ") {
			t.Errorf("got %q, %v", buf[:n], err)
		}
		_ = conn.Close()
	}
	runs.want(t, 0)
}

func TestH14KeyFromBody(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{
		KeyFromBody: func(_ *http.Request, body io.Reader) (string, error) {
			raw, err := io.ReadAll(body)
			key, ok := strings.CutPrefix(string(raw), "key=")
			if !ok {
				key = ""
			}
			return key, err
		},
	}}, func(w http.ResponseWriter, r *http.Request) {
		n := runs.add()
		raw, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%d %s", n, raw)
	})
	if a := b.post(t, "", "key=a"); a.body != "1 key=a" {
		t.Errorf("got %q", a.body)
	}
	if a := b.post(t, "", "key=a"); a.body != "1 key=a" || !a.replayed() {
		t.Errorf("got %q, %v", a.body, a.header)
	}
	if a := b.post(t, "", "no key"); a.body != "2 no key" {
		t.Errorf("got %q", a.body)
	}
	if a := b.post(t, "", "no key"); a.body != "3 no key" {
		t.Errorf("got %q", a.body)
	}
	b.post(t, "", "key=a\nb").want(t, 400, httpmw.CodeKeyInvalid)
	b.post(t, "h", "no key").want(t, 200, "")
	runs.want(t, 4)
}

func TestH15OtherMethodsPassThrough(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{}, created(&runs))
	n := 0
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete} {
		for range 2 {
			b.do(t, b.request(t, method, "/orders", "k", nil)).want(t, 201, "")
			n++
		}
	}
	runs.want(t, n)
	b.do(t, b.request(t, http.MethodPatch, "/orders", "k", nil))
	if !b.do(t, b.request(t, http.MethodPatch, "/orders", "k", nil)).replayed() {
		t.Error("PATCH is not covered")
	}
}
