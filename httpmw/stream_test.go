package httpmw_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

func TestH48EarlyHintsGoOutAtOnceAndAreNotRecorded(t *testing.T) {
	release := make(chan struct{})
	b := newBench(t, benchConfig{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		<-release // the hints are out before the answer is
		w.Header().Del("Link")
		w.WriteHeader(201)
	})
	hints := 0
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		if hints++; code != 103 || h.Get("Link") == "" {
			t.Errorf("got %d %v", code, h)
		}
		if hints == 1 {
			close(release)
		}
		return nil
	}}
	for n := range 2 {
		r := b.request(t, http.MethodPost, "/orders", "k", strings.NewReader("x"))
		a := b.do(t, r.WithContext(httptrace.WithClientTrace(t.Context(), trace))).want(t, 201, "")
		if a.replayed() != (n == 1) || a.header.Get("Link") != "" {
			t.Errorf("answer %d: %v", n+1, a.header)
		}
	}
	if hints != 1 {
		t.Errorf("%d hints", hints)
	}
}

func TestH49HijackedAnswerIsDoneAndNeverRunAgain(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{Record: func(int, http.Header) httpmw.Outcome {
		return httpmw.Release // has no answer to judge, so it is not asked
	}}}, func(w http.ResponseWriter, _ *http.Request) {
		runs.add()
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("write after Hijack: %v", err)
		}
		if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
			t.Error("hijacked twice")
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	})
	r := b.request(t, http.MethodPost, "/orders", "k", strings.NewReader("x"), "Connection", "Upgrade", "Upgrade", "x")
	resp, err := b.Client().Do(r)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("got %v, %v", resp, err)
	}
	_ = resp.Body.Close()
	b.events.want(t, httpmw.ResultTombstone)
	a := b.post(t, "k", "x").want(t, 409, httpmw.CodeResultUnavailable)
	if a.header.Get("Retry-After") != "" || strings.Contains(a.body, "original_status") {
		t.Errorf("got %v %s", a.header, a.body)
	}
	runs.want(t, 1)
}

func TestH57StreamedAnswersGoThroughAndBecomeTombstones(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		name  string
		serve http.HandlerFunc
	}{
		{"larger than MaxResponse", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(201)
			for i := 0; i < len(long); i += 100 {
				_, _ = io.WriteString(w, long[i:i+100])
			}
		}},
		{"larger by its header", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("y", 5000))
			w.WriteHeader(201)
			_, _ = io.WriteString(w, long[:1000])
			_, _ = io.WriteString(w, long[1000:])
		}},
		{"http.Flusher", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(201)
			_, _ = io.WriteString(w, long[:1000])
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, long[1000:])
		}},
		{"ResponseController", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(201)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, long)
		}},
		{"FlushError", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(201)
			_, _ = io.WriteString(w, long[:1000])
			if err := w.(interface{ FlushError() error }).FlushError(); err != nil {
				t.Error(err)
			}
			_, _ = io.Copy(w, strings.NewReader(long[1000:]))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var runs counter
			b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{MaxResponse: 2000}}, func(w http.ResponseWriter, r *http.Request) {
				runs.add()
				c.serve(w, r)
			})
			if a := b.post(t, "k", "x").want(t, 201, ""); a.body != long {
				t.Errorf("the first caller got %d bytes", len(a.body))
			}
			// H58: the retry is told what is known, and that repeating does not help.
			a := b.post(t, "k", "x").want(t, 409, httpmw.CodeResultUnavailable)
			if !strings.Contains(a.body, `"original_status":201`) || a.header.Get("Retry-After") != "" {
				t.Errorf("got %v %s", a.header, a.body)
			}
			runs.want(t, 1)
			b.events.want(t, httpmw.ResultTombstone, httpmw.CodeResultUnavailable)
		})
	}
}

// A reverse proxy flushes out of habit; with BufferFlushes a short answer is recorded all the same.
func TestBufferFlushesRecordsWhatFits(t *testing.T) {
	b := newBench(t, benchConfig{mw: httpmw.IdempotencyConfig{BufferFlushes: true}}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "a")
		w.(http.Flusher).Flush()
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "b")
	})
	if first, _ := bothAnswers(t, b); first.body != "ab" {
		t.Errorf("got %q", first.body)
	}
}

func TestH60WriterTellsTheTruthAboutItself(t *testing.T) {
	type optional struct{ flusher, hijacker, unwrap bool }
	look := func(w http.ResponseWriter) (o optional) {
		_, o.flusher = w.(http.Flusher)
		_, o.hijacker = w.(http.Hijacker)
		_, o.unwrap = w.(interface{ Unwrap() http.ResponseWriter })
		return o
	}
	t.Run("over a real connection", func(t *testing.T) {
		b := newBench(t, benchConfig{}, func(w http.ResponseWriter, _ *http.Request) {
			if o := look(w); o != (optional{true, true, false}) {
				t.Errorf("%+v", o)
			}
			c := http.NewResponseController(w)
			if err := errors.Join(c.SetReadDeadline(time.Now().Add(time.Hour)), c.SetWriteDeadline(time.Now().Add(time.Hour)), c.EnableFullDuplex()); err != nil {
				t.Error(err)
			}
			if _, ok := w.(io.ReaderFrom); !ok {
				t.Error("no ReaderFrom")
			}
		})
		b.post(t, "k", "x").want(t, 200, "")
	})
	t.Run("over a writer that can do nothing", func(t *testing.T) {
		m := middleware(t, &idem.Memory{}, httpmw.IdempotencyConfig{})
		w := newPlainWriter()
		m.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if o := look(w); o != (optional{}) {
				t.Errorf("%+v", o)
			}
			c := http.NewResponseController(w)
			_, _, hijack := c.Hijack()
			for _, err := range []error{c.Flush(), hijack, c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{}), c.EnableFullDuplex()} {
				if !errors.Is(err, http.ErrNotSupported) {
					t.Errorf("got %v", err)
				}
			}
			_, _ = io.WriteString(w, "still here")
		})).ServeHTTP(w, newPost("k", "x"))
		if w.status != 200 || w.body.String() != "still here" {
			t.Errorf("got %d %q", w.status, w.body.String())
		}
	})
	t.Run("what can be unwrapped from outside is seen", func(t *testing.T) {
		m := middleware(t, &idem.Memory{}, httpmw.IdempotencyConfig{})
		m.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if o := look(w); o != (optional{flusher: true}) {
				t.Errorf("%+v", o)
			}
		})).ServeHTTP(unwrapping{newPlainWriter(), httptest.NewRecorder()}, newPost("k", "x"))
	})
}

// unwrapping is a middleware's writer in the manner of the standard library.
type unwrapping struct {
	*plainWriter

	inner http.ResponseWriter
}

func (u unwrapping) Unwrap() http.ResponseWriter { return u.inner }

func TestH61WritesAfterReturnAreRefused(t *testing.T) {
	var leaked http.ResponseWriter
	writing := make(chan struct{})
	stop := make(chan struct{})
	b := newBench(t, benchConfig{}, func(w http.ResponseWriter, _ *http.Request) {
		leaked = w
		_, _ = io.WriteString(w, "x")
		go func() { // goes on writing while the handler returns
			defer close(writing)
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = io.WriteString(w, "y")
				}
			}
		}()
	})
	a := b.post(t, "k", "x").want(t, 200, "")
	close(stop)
	<-writing
	if n, err := leaked.Write([]byte("late")); n != 0 || err == nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if err := http.NewResponseController(leaked).Flush(); err == nil {
		t.Error("flushed")
	}
	leaked.Header().Set("X-Late", "1")
	leaked.WriteHeader(500)
	again := b.post(t, "k", "x").want(t, 200, "")
	if again.body != a.body || again.header.Get("X-Late") != "" || !again.replayed() {
		t.Errorf("got %q, then %q %v", a.body, again.body, again.header)
	}
}
