package httpmwtest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/once/httpmw"
	"example.com/once/httpmw/httpmwtest"
	"example.com/once/idem"
)

// service is an operation that takes a moment and counts its effects.
type service struct {
	effects   atomic.Int64
	impatient bool // gives up when its client leaves
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	n := s.effects.Add(1)
	moment := time.NewTimer(3 * time.Millisecond)
	defer moment.Stop()
	<-moment.C
	if s.impatient && r.Context().Err() != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, "order %d for %s", n, body)
}

func tenant(r *http.Request) (string, error) { return r.Header.Get("Tenant"), nil }

func protect(tb testing.TB, scope httpmw.Scope, c httpmw.IdempotencyConfig, h http.Handler) http.Handler {
	tb.Helper()
	g, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	m, err := httpmw.NewIdempotency(g, scope, c)
	if err != nil {
		tb.Fatal(err)
	}
	return m.Handler(h)
}

// target serves h and describes it in full.
func target(tb testing.TB, s *service, h http.Handler) httpmwtest.Target {
	tb.Helper()
	server := httptest.NewServer(h)
	tb.Cleanup(server.Close)
	return httpmwtest.Target{
		URL: server.URL, Required: true,
		Header: http.Header{"Tenant": {"a"}}, Other: http.Header{"Tenant": {"b"}},
		Effects: func(context.Context) (int, error) { return int(s.effects.Load()), nil },
	}
}

func TestOwnMiddlewareHoldsAllCases(t *testing.T) {
	for _, c := range []httpmw.IdempotencyConfig{{Required: true}, {Required: true, Wait: time.Minute}, {Required: true, Strict: true}} {
		s := &service{}
		httpmwtest.Run(t, target(t, s, protect(t, tenant, c, s)))
	}
}

// keyed changes the key's header lines before the middleware sees them.
func keyed(next http.Handler, change func(r *http.Request, lines []string) []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lines := change(r, r.Header["Idempotency-Key"]); lines != nil {
			r.Header["Idempotency-Key"] = lines
		}
		next.ServeHTTP(w, r)
	})
}

func digest(text string) []string {
	sum := sha256.Sum256([]byte(text))
	return []string{`"` + hex.EncodeToString(sum[:]) + `"`}
}

// answered changes answers on their way out.
func answered(next http.Handler, change func(r *http.Request, h http.Header, status int)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		change(r, rec.Header(), rec.Code)
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

// A kit is right when every service that is wrong fails it, in the case that is about it.
func TestEveryFlawIsFound(t *testing.T) {
	config := httpmw.IdempotencyConfig{Required: true}
	with := func(change func(*httpmw.IdempotencyConfig)) httpmw.IdempotencyConfig {
		c := config
		change(&c)
		return c
	}
	plain := func(w http.ResponseWriter, _ *http.Request, p httpmw.Problem) { http.Error(w, p.Title, p.Status) }
	flaws := map[string]struct {
		make func(s *service) http.Handler
		want []string
	}{
		"no keys at all": {
			func(s *service) http.Handler { return s },
			[]string{
				"a repeat gets the same answer", "a repeat has no effect of its own", "another payload is refused with 422",
				"a missing key is refused with 400", "a malformed key is refused with 400", "a key given twice is refused with 400",
				"parameters of the key are ignored", "escapes in the key are decoded", "duplicates at once have one effect",
				"a client that leaves loses nothing", "a replay is marked",
			},
		},
		"out of order": {
			func(*service) http.Handler { return http.NotFoundHandler() },
			[]string{"a quoted key is taken"},
		},
		"goes by the payload": {
			func(s *service) http.Handler {
				return keyed(protect(t, tenant, config, s), func(r *http.Request, _ []string) []string {
					body, _ := io.ReadAll(r.Body)
					r.Body = io.NopCloser(bytes.NewReader(body))
					return digest(string(body))
				})
			},
			[]string{"another key is another request"},
		},
		"no fingerprint": {
			func(s *service) http.Handler {
				return protect(t, tenant, with(func(c *httpmw.IdempotencyConfig) {
					c.Fingerprint = func(io.Writer, *http.Request, io.Reader) error { return nil }
				}), s)
			},
			[]string{"another payload is refused with 422"},
		},
		"keys are optional": {
			func(s *service) http.Handler { return protect(t, tenant, httpmw.IdempotencyConfig{}, s) },
			[]string{"a missing key is refused with 400"},
		},
		"no syntax": {
			func(s *service) http.Handler {
				return keyed(protect(t, tenant, config, s), func(_ *http.Request, lines []string) []string {
					if lines == nil {
						return nil
					}
					return digest(strings.Join(lines, "\n"))
				})
			},
			[]string{
				"a malformed key is refused with 400", "a key given twice is refused with 400", "parameters of the key are ignored",
				"escapes in the key are decoded", "an overlong key is refused",
			},
		},
		"looks, then leaps": {
			func(s *service) http.Handler { return &leaper{next: s} },
			[]string{"duplicates at once have one effect"},
		},
		"turns duplicates away with 500": {
			func(s *service) http.Handler {
				return protect(t, tenant, with(func(c *httpmw.IdempotencyConfig) {
					c.Problem = func(w http.ResponseWriter, _ *http.Request, p httpmw.Problem) {
						status := p.Status
						if status == http.StatusConflict {
							status = http.StatusInternalServerError
						}
						w.Header().Set("Content-Type", "application/problem+json")
						w.WriteHeader(status)
					}
				}), s)
			},
			[]string{"duplicates in flight are refused with 409"},
		},
		"refuses without a word": {
			func(s *service) http.Handler {
				return protect(t, tenant, with(func(c *httpmw.IdempotencyConfig) { c.Problem = plain }), s)
			},
			[]string{"refusals say why", "duplicates in flight are refused with 409"},
		},
		"gives up with its client": {
			func(s *service) http.Handler {
				s.impatient = true
				return protect(t, tenant, with(func(c *httpmw.IdempotencyConfig) { c.Linger = -1 }), s)
			},
			[]string{"a client that leaves loses nothing"},
		},
		"one scope for all": {
			func(s *service) http.Handler { return protect(t, httpmw.SharedScope, config, s) },
			[]string{"two callers may use one key"},
		},
		"replays are not marked": {
			func(s *service) http.Handler {
				return answered(protect(t, tenant, config, s), func(_ *http.Request, h http.Header, _ int) { h.Del(httpmw.HeaderReplayed) })
			},
			[]string{"a replay is marked"},
		},
		"everything is marked": {
			func(s *service) http.Handler {
				return answered(protect(t, tenant, config, s), func(_ *http.Request, h http.Header, _ int) { h.Set(httpmw.HeaderReplayed, "true") })
			},
			[]string{"a replay is marked", "another key is another request"},
		},
		"cookies for everybody": {
			func(s *service) http.Handler {
				return answered(protect(t, tenant, config, s), func(_ *http.Request, h http.Header, _ int) { h.Set("Set-Cookie", "session=1") })
			},
			[]string{"a replay sets no cookies"},
		},
		"short keys only": {
			func(s *service) http.Handler {
				return protect(t, tenant, with(func(c *httpmw.IdempotencyConfig) {
					c.KeyRule = func(key string) error {
						if len(key) > 64 {
							return errors.New("too long")
						}
						return nil
					}
				}), s)
			},
			[]string{"a long key is taken"},
		},
		"shows keys": {
			func(s *service) http.Handler {
				return protect(t, tenant, with(func(c *httpmw.IdempotencyConfig) {
					c.Problem = func(w http.ResponseWriter, r *http.Request, p httpmw.Problem) {
						http.Error(w, "key "+r.Header.Get("Idempotency-Key")+" is refused", p.Status)
					}
				}), s)
			},
			[]string{"refusals do not show the key"},
		},
		"forgets after a mismatch": {
			func(s *service) http.Handler {
				return &forgetful{protect: func() http.Handler { return protect(t, tenant, config, s) }}
			},
			[]string{"a refused payload leaves the answer alone"},
		},
	}
	found := map[string]bool{}
	for name, flaw := range flaws {
		t.Run(name, func(t *testing.T) {
			s := &service{}
			results, err := httpmwtest.Check(t.Context(), target(t, s, flaw.make(s)))
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if r.Outcome != httpmwtest.Fails {
					continue
				}
				found[r.Case] = true
				flaw.want = slices.DeleteFunc(flaw.want, func(c string) bool { return c == r.Case })
			}
			if len(flaw.want) != 0 {
				t.Errorf("not found: %q", flaw.want)
			}
		})
	}
	s := &service{}
	results, err := httpmwtest.Check(t.Context(), target(t, s, protect(t, tenant, config, s)))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !found[r.Case] {
			t.Errorf("no flaw fails %q: the case proves nothing", r.Case)
		}
	}
}

// leaper remembers answers, but looks whether there is one before it runs and not while.
type leaper struct {
	next http.Handler
	seen sync.Map
}

func (l *leaper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	rec := httptest.NewRecorder()
	if seen, ok := l.seen.Load(key); ok {
		rec, _ = seen.(*httptest.ResponseRecorder)
	} else {
		l.next.ServeHTTP(rec, r)
		l.seen.Store(key, rec)
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// forgetful starts anew whenever it has refused a payload.
type forgetful struct {
	protect func() http.Handler
	current atomic.Pointer[http.Handler]
}

func (f *forgetful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := f.current.Load()
	if h == nil {
		fresh := f.protect()
		h = &fresh
		f.current.CompareAndSwap(nil, h)
		h = f.current.Load()
	}
	answered(*h, func(_ *http.Request, _ http.Header, status int) {
		if status == http.StatusUnprocessableEntity {
			f.current.Store(nil)
		}
	}).ServeHTTP(w, r)
}

func TestMistakesInATargetNameTheirField(t *testing.T) {
	for field, target := range map[string]httpmwtest.Target{
		"URL":      {},
		"URL is":   {URL: "localhost:8080/orders"},
		"Parallel": {URL: "http://x.test/", Parallel: 1},
		"Body":     {URL: "http://x.test/", Body: func(int) []byte { return nil }},
	} {
		if _, err := httpmwtest.Check(t.Context(), target); err == nil || !strings.Contains(err.Error(), "Target."+field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

func TestServiceThatDoesNotAnswerIsAnErrorOfItsOwn(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	results, err := httpmwtest.Check(t.Context(), httpmwtest.Target{URL: server.URL})
	if err == nil || len(results) != 0 {
		t.Errorf("%v, %v", results, err)
	}
	s := &service{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := httpmwtest.Check(ctx, target(t, s, s)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWhatTheTargetDoesNotSayIsSkipped(t *testing.T) {
	s := &service{}
	full := target(t, s, protect(t, tenant, httpmw.IdempotencyConfig{}, s))
	results, err := httpmwtest.Check(t.Context(), httpmwtest.Target{URL: full.URL, Header: full.Header})
	if err != nil {
		t.Fatal(err)
	}
	skipped := 0
	for _, r := range results {
		switch r.Outcome {
		case httpmwtest.Skipped:
			skipped++
		case httpmwtest.Fails:
			t.Errorf("%+v", r)
		case httpmwtest.Holds:
		}
	}
	if skipped < 3 {
		t.Errorf("%d cases skipped", skipped)
	}
}

// What holds of a service, as a table.
func ExampleWrite() {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	results, err := httpmwtest.Check(context.Background(), httpmwtest.Target{URL: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := httpmwtest.Write(os.Stdout, results[:1]); err != nil {
		fmt.Println(err)
	}
	// Output:
	// fails  MUST  a quoted key is taken  the first request was answered with 404 "404 page not found\n"
}
