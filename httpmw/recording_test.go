package httpmw_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

// volatile are headers that belong to one answer.
var volatile = []string{"Date", httpmw.HeaderReplayed, "Cache-Control"}

// bothAnswers sends a request twice: the second has to be a replay that differs in nothing but what belongs to one
// answer.
func bothAnswers(t *testing.T, b *bench) (first, again answer) {
	t.Helper()
	first = b.post(t, "k", "x")
	again = b.post(t, "k", "x")
	if first.replayed() || !again.replayed() {
		t.Fatalf("replayed: %v, then %v; %d %q", first.replayed(), again.replayed(), again.status, again.body)
	}
	h1, h2 := first.header.Clone(), again.header.Clone()
	for _, name := range volatile {
		h1.Del(name)
		h2.Del(name)
	}
	maps.DeleteFunc(first.trailer, func(_ string, values []string) bool { return values == nil }) // announced, never sent
	if first.status != again.status || first.body != again.body || first.length != again.length ||
		!maps.EqualFunc(h1, h2, slices.Equal) || !maps.EqualFunc(first.trailer, again.trailer, slices.Equal) {
		t.Errorf("first  %d %v %q %d %v\nreplay %d %v %q %d %v",
			first.status, h1, first.body, first.length, first.trailer, again.status, h2, again.body, again.length, again.trailer)
	}
	return first, again
}

func TestRecordedAnswers(t *testing.T) {
	long := strings.Repeat("0123456789", 10_000)
	for _, c := range []struct {
		name   string
		serve  http.HandlerFunc
		status int
		body   string
		header http.Header // of both answers, among others; nil values = absent
	}{
		{"H44 nothing at all", func(http.ResponseWriter, *http.Request) {}, 200, "", http.Header{"Content-Length": {"0"}}},
		{"H45 WriteHeader only", status(202, ""), 202, "", http.Header{"Content-Length": {"0"}}},
		{"body only", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, 200, "hello", nil},
		{"long body in pieces", func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(long); i += 1000 {
				_, _ = io.WriteString(w, long[i:i+1000])
			}
		}, 200, long, http.Header{"Content-Length": {"100000"}}},
		{"H47 204 without a body", status(204, ""), 204, "", http.Header{"Content-Length": nil, "Content-Type": nil}},
		{"H47 304", status(304, "", "Etag", `"a"`), 304, "", http.Header{"Etag": {`"a"`}}},
		{"H51 values in order, with commas", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Link"] = []string{`<a>; rel="x, y"`, `<b>`, `<a>; rel="x, y"`}
			w.Header()["Content-Disposition"] = []string{`attachment; filename="a, b.txt"`}
			w.Header()["X-Empty"] = []string{""}
		}, 200, "", http.Header{
			"Link":                {`<a>; rel="x, y"`, `<b>`, `<a>; rel="x, y"`},
			"Content-Disposition": {`attachment; filename="a, b.txt"`}, "X-Empty": {""},
		}},
		{"H54 sniffed type", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html><body>x") }, 200, "<html><body>x",
			http.Header{"Content-Type": {"text/html; charset=utf-8"}}},
		{"H54 type switched off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "<html>")
		}, 200, "<html>", http.Header{"Content-Type": nil}},
		{"H55 encoded", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			w.Header().Set("Vary", "Accept-Encoding")
			_, _ = io.WriteString(w, "\x8b\x01\x80hi\x03")
		}, 200, "\x8b\x01\x80hi\x03", http.Header{"Content-Encoding": {"br"}, "Vary": {"Accept-Encoding"}, "Content-Type": nil}},
		{"H56 header changed after WriteHeader", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-A", "before")
			w.WriteHeader(201)
			w.Header().Set("X-A", "after")
			w.Header().Set("X-B", "after")
			_, _ = io.WriteString(w, "x")
		}, 201, "x", http.Header{"X-A": {"before"}, "X-B": nil}},
		{"H59 io.Copy", func(w http.ResponseWriter, _ *http.Request) {
			if n, err := io.Copy(w, strings.NewReader(long)); n != int64(len(long)) || err != nil {
				panic(fmt.Sprint(n, err))
			}
		}, 200, long, nil},
		{"H59 io.Copy from what cannot write itself", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, onlyReader{strings.NewReader(long)})
		}, 200, long, nil},
		{"H59 ServeContent", func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "a.txt", time.Unix(1e9, 0), strings.NewReader(long))
		}, 200, long, http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "Last-Modified": {"Sun, 09 Sep 2001 01:46:40 GMT"}, "Content-Length": {"100000"}}},
		{"H62 a redirect", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", "/done"); w.WriteHeader(303) }, 303, "",
			http.Header{"Location": {"/done"}}},
		{"H62 a refusal", status(404, "no such order"), 404, "no such order", nil},
		{"H62 a conflict of the application's", status(409, "sold out"), 409, "sold out", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var runs counter
			b := newBench(t, benchConfig{}, func(w http.ResponseWriter, r *http.Request) {
				runs.add()
				c.serve(w, r)
			})
			b.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			first, again := bothAnswers(t, b)
			for _, a := range []answer{first, again} {
				if a.status != c.status || a.body != c.body {
					t.Errorf("got %d, %d bytes", a.status, len(a.body))
				}
				for name, values := range c.header {
					if !slices.Equal(a.header[name], values) {
						t.Errorf("%s: %q, want %q", name, a.header[name], values)
					}
				}
			}
			runs.want(t, 1)
		})
	}
}

// The type that net/http would find is part of the record, whatever writes the replay.
func TestH54TypeIsFoundOnceAndRecorded(t *testing.T) {
	h := middleware(t, &idem.Memory{}, httpmw.IdempotencyConfig{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>")
	}))
	for range 2 {
		w := newPlainWriter()
		h.ServeHTTP(w, newPost("k", "x"))
		if w.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("got %v", w.header)
		}
	}
}

func TestH46SecondWriteHeaderIsIgnoredAndLogged(t *testing.T) {
	var log bytes.Buffer
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))}},
		func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(201)
			w.WriteHeader(500)
		})
	if first, _ := bothAnswers(t, b); first.status != 201 {
		t.Errorf("got %d", first.status)
	}
	if !strings.Contains(log.String(), "superfluous WriteHeader") || !strings.Contains(log.String(), "status=500") {
		t.Errorf("logged %q", log.String())
	}
}

func TestH47BodyWhereNoneIsAllowed(t *testing.T) {
	for _, code := range []int{204, 304} {
		b := newBench(t, benchConfig{}, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			if n, err := io.WriteString(w, "x"); n != 0 || !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Errorf("%d: wrote %d, %v", code, n, err)
			}
		})
		if first, _ := bothAnswers(t, b); first.status != code || first.body != "" {
			t.Errorf("got %d %q", first.status, first.body)
		}
	}
	b := newBench(t, benchConfig{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "2")
		if n, err := io.WriteString(w, "abc"); n != 0 || !errors.Is(err, http.ErrContentLength) {
			t.Errorf("wrote %d, %v", n, err)
		}
		_, _ = io.WriteString(w, "ab")
	})
	if first, _ := bothAnswers(t, b); first.body != "ab" {
		t.Errorf("got %q", first.body)
	}
}

// net/http breaks off an answer that is shorter than it said, and that is not an answer to replay.
func TestAnswerShorterThanDeclaredIsNotReplayed(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{}, func(w http.ResponseWriter, _ *http.Request) {
		runs.add()
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "short")
	})
	b.Config.ErrorLog = quiet()
	if a, err := send(b.Client(), b.request(t, http.MethodPost, "/orders", "k", strings.NewReader("x"))); err == nil {
		t.Errorf("got %d %q", a.status, a.body)
	}
	b.post(t, "k", "x").want(t, 409, httpmw.CodeResultUnavailable)
	runs.want(t, 1)
}

func TestH50TrailersAreReplayed(t *testing.T) {
	b := newBench(t, benchConfig{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Unset")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
		w.Header().Set(http.TrailerPrefix+"Set-Cookie", "secret=1")
	})
	first, again := bothAnswers(t, b)
	for _, a := range []answer{first, again} {
		if a.trailer.Get("X-Sum") != "42" || a.trailer.Get("X-Late") != "1" || a.body != "body" {
			t.Errorf("got %q, trailers %v", a.body, a.trailer)
		}
	}
}

func TestH52HeadersOfOuterMiddlewareAreFreshOnReplay(t *testing.T) {
	n := 0
	b := newBench(t, benchConfig{outer: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n++
			w.Header().Set("X-Request-ID", strconv.Itoa(n))
			w.Header().Set("X-Replaced", "outer")
			w.Header().Set("X-Removed", "outer")
			w.Header()["Vary"] = []string{"Origin"}
			next.ServeHTTP(w, r)
		})
	}}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Replaced", "handler")
		w.Header().Del("X-Removed")
		w.Header().Add("Vary", "Accept")
		w.Header().Set("X-Own", "handler")
	})
	for i := range 2 {
		a := b.post(t, "k", "x").want(t, 200, "")
		if a.header.Get("X-Request-ID") != strconv.Itoa(i+1) || a.header.Get("X-Replaced") != "handler" || a.header.Get("X-Own") != "handler" ||
			len(a.header["X-Removed"]) != 0 || !slices.Equal(a.header["Vary"], []string{"Origin", "Accept"}) {
			t.Errorf("answer %d: %v", i+1, a.header)
		}
	}
}

func TestH53WhatIsNeverStored(t *testing.T) {
	never := http.Header{
		"Set-Cookie": {"session=1"}, "Set-Cookie2": {"x"}, "Www-Authenticate": {"Basic"}, "Proxy-Authenticate": {"Basic"},
		"Authentication-Info": {"x"}, "Authorization": {"x"}, "Proxy-Authorization": {"x"}, "Traceparent": {"00-x"}, "Tracestate": {"x"},
		"Server-Timing": {"db;dur=5"}, "Age": {"5"}, "Keep-Alive": {"timeout=5"}, "Clear-Site-Data": {"*"}, "X-Hop": {"named in Connection"},
	}
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{
		KeepHeader: func(name string) bool { return name != "X-Secret" }, // it cannot allow what is never stored
	}}, func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), never)
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Secret", "1")
		w.Header().Set("X-Public", "1")
	})
	first := b.post(t, "k", "x")
	for name := range never {
		if name != "X-Hop" && len(first.header[name]) == 0 && name != "Keep-Alive" {
			t.Errorf("the first caller lacks %s", name)
		}
	}
	if first.header.Get("X-Secret") != "1" {
		t.Error("the first caller lacks X-Secret")
	}
	again := b.post(t, "k", "x")
	if !again.replayed() || again.header.Get("X-Public") != "1" {
		t.Errorf("got %v", again.header)
	}
	for name := range never {
		if len(again.header[name]) != 0 {
			t.Errorf("%s was replayed", name)
		}
	}
	if again.header.Get("X-Secret") != "" {
		t.Error("KeepHeader was not asked")
	}
}
