package httpmw_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"example.com/once/httpmw"
	"example.com/once/retry"
)

type answerFunc = func(*http.Request) (*http.Response, error)

// inBubble sends one request through f in a bubble and returns how long it took. Every body that the
// caller did not get must have been closed.
func inBubble(t *testing.T, tr *httpmw.Transport, f *fake, method string, calls int, header ...string) (resp *http.Response, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tr.Base = f
		start := time.Now()
		var err error
		resp, err = tr.RoundTrip(request(t, method, "http://x.test/", "", header...))
		took = time.Since(start)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		f.want(t, calls)
	})
	return resp, took
}

func between(t *testing.T, took, least, most time.Duration) {
	t.Helper()
	if took < least || took > most {
		t.Errorf("took %v, want %v to %v", took, least, most)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	const date = "Mon, 02 Jan 2006 15:04:05 GMT"
	for _, c := range []struct {
		name   string
		answer answerFunc
		wait   time.Duration // never less, and at most a quarter more
	}{
		{"seconds", says(503, "", "Retry-After", "7"), 7 * time.Second},
		{"date against the answer's own Date", says(503, "", "Retry-After", "Mon, 02 Jan 2006 15:04:15 GMT", "Date", date), 10 * time.Second},
		{"date in the past", says(503, "", "Retry-After", "Mon, 02 Jan 2006 15:04:00 GMT", "Date", date), 0},
		{"429 without one waits a second", says(429, ""), time.Second},
		{"429 with 0 does not", says(429, "", "Retry-After", "0"), 0},
		{"503 without one", says(503, ""), 0},
		{"negative", says(503, "", "Retry-After", "-5"), 0},
		{"nonsense", says(503, "", "Retry-After", "soon"), 0},
		{"fraction", says(503, "", "Retry-After", "1.5"), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{next: []answerFunc{c.answer, says(200, "ok")}}
			_, took := inBubble(t, &httpmw.Transport{Policy: atOnce()}, f, http.MethodGet, 2)
			between(t, took, c.wait, c.wait+c.wait/4)
		})
	}
}

// In a bubble time begins in the year 2000.
func TestRetryAfterDateWithoutADateCountsFromNow(t *testing.T) {
	f := &fake{next: []answerFunc{says(503, "", "Retry-After", "Sat, 01 Jan 2000 00:00:08 GMT"), says(200, "ok")}}
	_, took := inBubble(t, &httpmw.Transport{Policy: atOnce()}, f, http.MethodGet, 2)
	between(t, took, 8*time.Second, 10*time.Second)
}

// go-retryablehttp: "retrying in 484289 h".
func TestLongRetryAfterIsHandedBackAtOnce(t *testing.T) {
	for _, after := range []string{"31", "9223372036854775807", "99999999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"} {
		f := &fake{next: []answerFunc{says(503, "busy", "Retry-After", after)}}
		resp, took := inBubble(t, &httpmw.Transport{}, f, http.MethodGet, 1)
		if resp.StatusCode != 503 || took != 0 {
			t.Errorf("Retry-After: %s: got %d after %v", after, resp.StatusCode, took)
		}
	}
	f := &fake{next: []answerFunc{says(503, "", "Retry-After", "3600"), says(200, "")}}
	_, took := inBubble(t, &httpmw.Transport{Policy: &retry.Policy{MaxRetryAfter: 2 * time.Hour}}, f, http.MethodGet, 2)
	between(t, took, time.Hour, time.Hour*5/4)
}

func TestInFlightConflictWaitsAndRepeats(t *testing.T) {
	f := &fake{next: []answerFunc{says(409, "", "Retry-After", "1"), says(409, "", "Retry-After", "1"), says(201, "")}}
	resp, took := inBubble(t, &httpmw.Transport{Policy: atOnce()}, f, http.MethodPost, 3, "Idempotency-Key", "k")
	if resp.StatusCode != 201 {
		t.Errorf("got %d", resp.StatusCode)
	}
	between(t, took, 2*time.Second, 2500*time.Millisecond)

	for name, c := range map[string]struct {
		answer answerFunc
		header []string
	}{
		"another conflict":      {says(409, ""), []string{"Idempotency-Key", "k"}},
		"a request without key": {says(409, "", "Retry-After", "1"), nil},
	} {
		f := &fake{next: []answerFunc{c.answer}}
		if _, took := inBubble(t, &httpmw.Transport{}, f, http.MethodPost, 1, c.header...); took != 0 {
			t.Errorf("%s: waited %v", name, took)
		}
	}
}

func TestDeadlineIsNotSleptOutAndTheAnswerIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{next: []answerFunc{says(503, "tired", "Retry-After", "20")}}
		c := &http.Client{Transport: &httpmw.Transport{Base: f}, Timeout: 10 * time.Second}
		start := time.Now()
		resp, err := c.Do(request(t, http.MethodGet, "http://x.test/", ""))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != "tired" || err != nil || time.Since(start) != 0 {
			t.Errorf("%q, %v after %v", body, err, time.Since(start))
		}
		f.want(t, 1)
	})
}

func TestClientTimeoutLooksLikeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{next: []answerFunc{breaks(errCut)}}
		tr := &httpmw.Transport{Base: f, Policy: &retry.Policy{MaxAttempts: -1, Backoff: retry.Constant(4 * time.Second)}}
		c := &http.Client{Transport: tr, Timeout: 10 * time.Second}
		start := time.Now()
		_, err := c.Do(request(t, http.MethodGet, "http://x.test/", ""))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errCut) {
			t.Errorf("%v hides one of the truths", err)
		}
		if e := interface{ Timeout() bool }(nil); !errors.As(err, &e) || !e.Timeout() {
			t.Errorf("%v is no time-out", err)
		}
		if d := time.Since(start); d != 8*time.Second {
			t.Errorf("returned after %v: the third wait would pass the deadline", d)
		}
		f.want(t, 3)
	})
}

func TestCancelledWaitEndsTheCallAndClosesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{next: []answerFunc{says(503, "tired", "Retry-After", "20")}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		resp, err := (&httpmw.Transport{Base: f}).RoundTrip(request(t, http.MethodGet, "http://x.test/", "").WithContext(ctx))
		if resp != nil || !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("%v, %v after %v", resp, err, time.Since(start))
		}
		if s, ok := errors.AsType[*httpmw.StatusError](err); !ok || s.StatusCode != 503 {
			t.Errorf("%v lost the answer", err)
		}
		f.want(t, 1)
	})
}

// An answer whose context has ended cannot be read: it is not handed over.
func TestAnswerThatCameTogetherWithTheEndIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := &fake{next: []answerFunc{func(r *http.Request) (*http.Response, error) {
			cancel()
			return says(503, "tired")(r)
		}}}
		resp, err := (&httpmw.Transport{Base: f}).RoundTrip(request(t, http.MethodGet, "http://x.test/", "").WithContext(ctx))
		if resp != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", resp, err)
		}
		f.want(t, 1)
	})
}

// hangs answers when its context ends, or never.
func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

func TestAttemptTimeoutBoundsTheHeaderNotTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(r *http.Request) (*http.Response, error) {
			resp, _ := says(200, "")(r)
			resp.Body = slowBody{r.Context(), time.Hour}
			return resp, nil
		}
		f := &fake{next: []answerFunc{hangs, slow}}
		b := &countingBreaker{}
		tr := &httpmw.Transport{Base: f, Policy: &retry.Policy{AttemptTimeout: time.Second, Backoff: retry.Constant(0), Breaker: b}}
		start := time.Now()
		resp, err := tr.RoundTrip(request(t, http.MethodGet, "http://x.test/", ""))
		if err != nil || time.Since(start) != time.Second {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		body, err := io.ReadAll(resp.Body)
		if string(body) != "an hour later" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		_ = resp.Body.Close()
		f.want(t, 2)
		if len(b.outcomes) != 2 || !errors.Is(b.outcomes[0], context.DeadlineExceeded) || errors.Is(b.outcomes[0], context.Canceled) || b.outcomes[1] != nil {
			t.Errorf("the breaker heard %v", b.outcomes)
		}
	})
}

// slowBody yields its text after a while, unless its context ends before.
type slowBody struct {
	ctx   context.Context
	after time.Duration
}

func (b slowBody) Read(p []byte) (int, error) {
	select {
	case <-time.After(b.after):
		return copy(p, "an hour later"), io.EOF
	case <-b.ctx.Done():
		return 0, context.Cause(b.ctx)
	}
}

func (slowBody) Close() error { return nil }

func TestAttemptsContextEndsWithItsBody(t *testing.T) {
	for _, hedge := range []time.Duration{0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{next: []answerFunc{says(200, "ok")}}
			resp, err := (&httpmw.Transport{Base: f, Hedge: hedge}).RoundTrip(request(t, http.MethodGet, "http://x.test/", ""))
			if err != nil {
				t.Fatal(err)
			}
			ctx := f.reqs[0].Context()
			if ctx.Err() != nil {
				t.Error("the context ended before the body was read")
			}
			_ = resp.Body.Close()
			if ctx.Err() == nil {
				t.Error("the context outlives the body")
			}
		})
	}
}

func TestDroppedBodiesAreDrainedWithinBounds(t *testing.T) {
	t.Run("in size", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			endless := &endlessBody{}
			f := &fake{next: []answerFunc{func(r *http.Request) (*http.Response, error) {
				resp, _ := says(503, "")(r)
				resp.Body = endless
				return resp, nil
			}, says(200, "")}}
			resp, err := (&httpmw.Transport{Base: f}).RoundTrip(request(t, http.MethodGet, "http://x.test/", ""))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			f.want(t, 2)
			if endless.read > 8<<10 {
				t.Errorf("read %d bytes", endless.read)
			}
		})
	})
	t.Run("in time", func(t *testing.T) {
		f := &fake{next: []answerFunc{func(r *http.Request) (*http.Response, error) {
			resp, _ := says(503, "")(r)
			resp.Body = slowBody{r.Context(), time.Hour}
			return resp, nil
		}, says(200, "")}}
		_, took := inBubble(t, &httpmw.Transport{Policy: atOnce()}, f, http.MethodGet, 2)
		between(t, took, 0, time.Second)
	})
}

type endlessBody struct{ read int }

func (b *endlessBody) Read(p []byte) (int, error) { b.read += len(p); return len(p), nil }
func (*endlessBody) Close() error                 { return nil }

func TestHedgeTakesTheFirstAnswerAndClosesTheRest(t *testing.T) {
	late := func(d time.Duration, answer answerFunc) answerFunc {
		return func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(d):
				return answer(r)
			case <-r.Context().Done():
				return nil, context.Cause(r.Context())
			}
		}
	}
	stubborn := func(d time.Duration, answer answerFunc) answerFunc {
		return func(r *http.Request) (*http.Response, error) { time.Sleep(d); return answer(r) }
	}
	for _, c := range []struct {
		name   string
		method string
		next   []answerFunc
		calls  int
		took   time.Duration
		status int
	}{
		{"the hedge wins", http.MethodGet, []answerFunc{late(time.Hour, says(200, "")), says(201, "")}, 2, time.Second, 201},
		{"no hedge when fast", http.MethodGet, []answerFunc{says(200, "")}, 1, 0, 200},
		{"the first wins after all", http.MethodGet, []answerFunc{late(1500*time.Millisecond, says(200, "")), late(time.Hour, says(201, ""))}, 2, 1500 * time.Millisecond, 200},
		{"a loser that ignores its context is closed", http.MethodGet, []answerFunc{stubborn(3*time.Second, says(200, "long answer")), says(201, "")}, 2, 3 * time.Second, 201},
		{"a loser that fails late is closed", http.MethodGet, []answerFunc{stubborn(3*time.Second, says(503, "tired")), says(201, "")}, 2, 3 * time.Second, 201},
		{"a failed hedge is closed", http.MethodGet, []answerFunc{late(5*time.Second, says(200, "")), says(503, "tired"), late(time.Hour, says(202, ""))}, 3, 5 * time.Second, 200},
		{"all fail: the last answer is handed over", http.MethodGet, []answerFunc{late(5*time.Second, says(503, "first")), late(5*time.Second, says(502, "second")), late(5*time.Second, says(504, "third"))}, 3, 7 * time.Second, 504},
		{"HEAD too", http.MethodHead, []answerFunc{late(time.Hour, says(200, "")), says(201, "")}, 2, time.Second, 201},
		{"PUT is not safe", http.MethodPut, []answerFunc{late(time.Minute, says(200, ""))}, 1, time.Minute, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{next: c.next}
			tr := &httpmw.Transport{Hedge: time.Second, Policy: atOnce()}
			resp, took := inBubble(t, tr, f, c.method, c.calls)
			if resp.StatusCode != c.status || took != c.took {
				t.Errorf("got %d after %v, want %d after %v", resp.StatusCode, took, c.status, c.took)
			}
		})
	}
	t.Run("a spent budget makes no hedge", func(t *testing.T) {
		f := &fake{next: []answerFunc{late(time.Minute, says(200, "")), says(201, "")}}
		tr := &httpmw.Transport{Hedge: time.Second, Budget: func(*http.Request) *retry.Budget { return &retry.Budget{Burst: -1} }}
		if resp, took := inBubble(t, tr, f, http.MethodGet, 1); resp.StatusCode != 200 || took != time.Minute {
			t.Errorf("got %d after %v", resp.StatusCode, took)
		}
	})
	t.Run("an upgrade is not hedged", func(t *testing.T) {
		f := &fake{next: []answerFunc{late(time.Minute, says(200, "")), says(201, "")}}
		_, took := inBubble(t, &httpmw.Transport{Hedge: time.Second}, f, http.MethodGet, 1, "Upgrade", "websocket")
		if took != time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// The winner's body must be readable although the race, and with it every attempt's context, is over.
func TestHedgedWinnersBodyOutlivesTheRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{next: []answerFunc{hangs, func(r *http.Request) (*http.Response, error) {
			resp, _ := says(200, "")(r)
			resp.Body = slowBody{r.Context(), time.Minute}
			return resp, nil
		}}}
		resp, err := (&httpmw.Transport{Base: f, Hedge: time.Second}).RoundTrip(request(t, http.MethodGet, "http://x.test/", ""))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != "an hour later" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		if n := f.reqs[1].Header.Get(httpmw.HeaderAttempt); n != "2" {
			t.Errorf("the hedge calls itself attempt %q", n)
		}
		if n := retry.Attempt(f.reqs[1].Context()); n != 2 {
			t.Errorf("the hedge's context says attempt %d", n)
		}
	})
}
