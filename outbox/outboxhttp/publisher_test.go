package outboxhttp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxhttp"
	"example.com/once/retry"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func message(payload string, headers ...outbox.Header) outbox.Delivery {
	return outbox.Delivery{
		Message: outbox.Message{ID: uuid.Must(uuid.NewV7()), Topic: "t", Payload: []byte(payload), Headers: headers},
		Seq:     1, Attempt: 1,
	}
}

func publisher(t *testing.T, c outboxhttp.Config) *outboxhttp.Publisher {
	t.Helper()
	p, err := outboxhttp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// post publishes one message to a server with the handler.
func post(t *testing.T, h http.HandlerFunc, c outboxhttp.Config, d outbox.Delivery) error {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	c.URL, c.AllowPrivate = srv.URL, true
	errs := make([]error, 1)
	publisher(t, c).Publish(t.Context(), []outbox.Delivery{d}, errs)
	return errs[0]
}

func verdict(err error) retry.Verdict { return retry.Classify(err) }

func TestRequest(t *testing.T) {
	d := message(`{"a":1}`, outbox.Header{Key: "traceparent", Value: "00-1-2-01"}, outbox.Header{Key: "webhook-id", Value: "forged"},
		outbox.Header{Key: "authorization", Value: "forged"}, outbox.Header{Key: "proxy-authorization", Value: "of somebody's request"})
	verifier, err := outboxhttp.NewVerifier(secret)
	if err != nil {
		t.Fatal(err)
	}
	err = post(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := verifier.Verify(r.Header, body); err != nil {
			t.Error(err)
		}
		for name, want := range map[string]string{
			"Webhook-Id":      d.ID.String(),
			"Idempotency-Key": `"` + d.ID.String() + `"`,
			"Content-Type":    "application/json",
			"Traceparent":     "00-1-2-01",
			"Authorization":   "Bearer of the configuration",
		} {
			if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if v := r.Header.Get("Proxy-Authorization"); v != "" {
			t.Errorf("a header of the connection was passed on: %q", v)
		}
		if r.Method != http.MethodPost || string(body) != `{"a":1}` {
			t.Errorf("%s %s", r.Method, body)
		}
	}, outboxhttp.Config{Secrets: []string{secret}, Header: http.Header{"authorization": {"Bearer of the configuration"}}}, d)
	if err != nil {
		t.Fatal(err)
	}
}

func TestContentType(t *testing.T) {
	for name, c := range map[string]struct {
		message []outbox.Header
		config  http.Header
		want    string
	}{
		"default":                         {nil, nil, "application/json"},
		"of the configuration":            {nil, http.Header{"content-type": {"text/plain"}}, "text/plain"},
		"of the message":                  {[]outbox.Header{{Key: "content-type", Value: "application/cloudevents+json"}}, nil, "application/cloudevents+json"},
		"of the message before the other": {[]outbox.Header{{Key: "Content-Type", Value: "a/b"}}, http.Header{"Content-Type": {"text/plain"}}, "a/b"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := post(t, func(_ http.ResponseWriter, r *http.Request) {
				if got := r.Header.Values("Content-Type"); len(got) != 1 || got[0] != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
			}, outboxhttp.Config{Header: c.config}, message("x", c.message...)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestIDIsStableAndTimestampIsOfTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []http.Header
		p := publisher(t, outboxhttp.Config{URL: "http://receiver.test", Secrets: []string{secret}, AllowPrivate: true, Client: &http.Client{
			Transport: transport(func(r *http.Request) (*http.Response, error) {
				seen = append(seen, r.Header.Clone())
				return answer(r, 200), nil
			}),
		}})
		d := message("x")
		for range 2 {
			p.Publish(t.Context(), []outbox.Delivery{d}, make([]error, 1))
			time.Sleep(time.Minute)
		}
		first, second := seen[0], seen[1]
		for _, name := range []string{"Webhook-Id", "Idempotency-Key"} {
			if first.Get(name) != second.Get(name) {
				t.Errorf("%s changed from %s to %s", name, first.Get(name), second.Get(name))
			}
		}
		for _, name := range []string{"Webhook-Timestamp", "Webhook-Signature"} {
			if first.Get(name) == second.Get(name) {
				t.Errorf("%s is %s on both attempts", name, first.Get(name))
			}
		}
	})
}

func TestOutbox36Statuses(t *testing.T) {
	const minute = time.Minute
	for _, c := range []struct {
		status      int
		retryAfter  string
		class       retry.Class
		unavailable bool
		after       time.Duration
	}{
		{status: 301, class: retry.Undecided},
		{status: 307, class: retry.Undecided},
		{status: 400, class: retry.Permanent},
		{status: 400, retryAfter: "60", class: retry.Ambiguous, after: minute},
		{status: 401, class: retry.Undecided},
		{status: 403, class: retry.Undecided},
		{status: 404, class: retry.Undecided},
		{status: 408, class: retry.Undecided},
		{status: 409, retryAfter: "60", class: retry.Undecided, after: minute},
		{status: 410, class: retry.Permanent},
		{status: 410, retryAfter: "60", class: retry.Permanent},
		{status: 413, class: retry.Permanent},
		{status: 415, class: retry.Permanent},
		{status: 422, class: retry.Permanent},
		{status: 429, unavailable: true},
		{status: 429, retryAfter: "60", unavailable: true, after: minute},
		{status: 500, class: retry.Undecided},
		{status: 500, retryAfter: "60", after: minute},
		{status: 502, unavailable: true},
		{status: 503, retryAfter: "60", unavailable: true, after: minute},
		{status: 504, unavailable: true},
		{status: 599, class: retry.Undecided},
	} {
		t.Run(http.StatusText(c.status)+" "+c.retryAfter, func(t *testing.T) {
			err := post(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				if c.retryAfter != "" {
					w.Header().Set("Retry-After", c.retryAfter)
				}
				w.WriteHeader(c.status)
			}, outboxhttp.Config{}, message("x"))
			v := verdict(err)
			if (v.Class == retry.Permanent) != (c.class == retry.Permanent) || v.After != c.after {
				t.Errorf("%v: %+v", err, v)
			}
			if errors.Is(err, outbox.ErrUnavailable) != c.unavailable {
				t.Errorf("%v: unavailable: %t", err, !c.unavailable)
			}
			if errors.Is(err, outboxhttp.ErrGone) != (c.status == 410) {
				t.Errorf("%v: gone: %t", err, c.status != 410)
			}
			var s *outboxhttp.StatusError
			if !errors.As(err, &s) || s.Code != c.status {
				t.Errorf("%v is no StatusError of %d", err, c.status)
			}
		})
	}
	for _, status := range []int{200, 201, 202, 204, 299} {
		if err := post(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }, outboxhttp.Config{}, message("x")); err != nil {
			t.Error(status, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	const date = "Wed, 21 Oct 2015 07:28:00 GMT"
	for _, c := range []struct {
		name, retryAfter, date string
		want                   time.Duration
	}{
		{"seconds", "7", "", 7 * time.Second},
		{"zero", "0", "", 0},
		{"a date against the answer's own", "Wed, 21 Oct 2015 07:29:30 GMT", date, 90 * time.Second},
		{"a date that is past", "Wed, 21 Oct 2015 07:27:00 GMT", date, 0},
		{"too long", "99999999", "", 24 * time.Hour},
		{"a date too far", "Wed, 28 Oct 2015 07:28:00 GMT", date, 24 * time.Hour},
		{"beyond numbers", "99999999999999999999999", "", 24 * time.Hour},
		{"negative", "-1", "", 0},
		{"nonsense", "soon", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := post(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", c.retryAfter)
				if c.date != "" {
					w.Header().Set("Date", c.date)
				}
				w.WriteHeader(http.StatusInternalServerError)
			}, outboxhttp.Config{}, message("x"))
			if got := verdict(err).After; got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var hits atomic.Int32
	err := post(t, func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
	}, outboxhttp.Config{}, message("x"))
	if err == nil || hits.Load() != 1 {
		t.Errorf("%d requests, error %v", hits.Load(), err)
	}
}

func TestSecretsDoNotLeakIntoErrors(t *testing.T) {
	const token = "0123456789abcdef"
	var signature string
	err := post(t, func(w http.ResponseWriter, r *http.Request) {
		signature = strings.TrimPrefix(r.Header.Get("Webhook-Signature"), "v1,")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "you sent "+signature+" "+r.Header.Get("Authorization")+" and know "+secret+"\x00\n")
	}, outboxhttp.Config{Secrets: []string{secret}, Header: http.Header{"Authorization": {"Bearer " + token}}}, message("x"))
	for _, s := range []string{signature, token, strings.TrimPrefix(secret, "whsec_")} {
		if strings.Contains(err.Error(), s) {
			t.Errorf("%q shows %q", err, s)
		}
	}
	if !strings.Contains(err.Error(), "you sent [redacted]") {
		t.Errorf("%q does not say what was answered", err)
	}

	p := publisher(t, outboxhttp.Config{URL: "http://127.0.0.1:1/hooks/T0P53CR37?key=T0P53CR37", AllowPrivate: true})
	errs := make([]error, 1)
	p.Publish(t.Context(), []outbox.Delivery{message("x")}, errs)
	if errs[0] == nil || strings.Contains(errs[0].Error(), "T0P53CR37") || !strings.Contains(errs[0].Error(), "127.0.0.1:1") {
		t.Errorf("%v shows the address, or not even its host", errs[0])
	}
}

func TestHugeAnswer(t *testing.T) {
	var sent atomic.Int64
	err := post(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		chunk := strings.Repeat("x", 64<<10)
		for range 1 << 12 {
			n, err := io.WriteString(w, chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}, outboxhttp.Config{}, message("x"))
	if err == nil || len(err.Error()) > 400 {
		t.Errorf("error of %d bytes", len(err.Error()))
	}
	if n := sent.Load(); n > 64<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	var mu sync.Mutex
	conns := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		conns[r.RemoteAddr]++
		mu.Unlock()
		w.WriteHeader([]int{200, 500}[len(r.Header.Get("Odd"))])
		_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
	}))
	defer srv.Close()
	p := publisher(t, outboxhttp.Config{URL: srv.URL, AllowPrivate: true})
	for i := range 10 {
		p.Publish(t.Context(), []outbox.Delivery{message("x", outbox.Header{Key: "Odd", Value: strings.Repeat("y", i%2)})}, make([]error, 1))
	}
	if len(conns) != 1 {
		t.Errorf("%d connections for 10 requests in turn", len(conns))
	}
}

func TestUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := "http://" + l.Addr().String()
	l.Close()
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	for name, url := range map[string]string{
		"connection refused":          refusing,
		"no such name":                "http://receiver.invalid",
		"certificate does not verify": tls.URL,
	} {
		t.Run(name, func(t *testing.T) {
			errs := make([]error, 1)
			publisher(t, outboxhttp.Config{URL: url, AllowPrivate: true}).Publish(t.Context(), []outbox.Delivery{message("x")}, errs)
			if !errors.Is(errs[0], outbox.ErrUnavailable) {
				t.Error(errs[0])
			}
		})
	}
}

// No connection within the time is an outage; no connection because the relay stops is nothing.
func TestNoConnectionInTime(t *testing.T) {
	for want, end := range map[error]func(context.Context) (context.Context, context.CancelFunc){
		outbox.ErrUnavailable: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		},
		outbox.ErrNotSent: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		},
	} {
		t.Run(want.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				over := make(chan struct{}) // a transport dials on, whoever waits for it
				defer close(over)
				dialing := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
					<-over
					return nil, errors.New("no connection")
				}}
				ctx, cancel := end(t.Context())
				defer cancel()
				errs := make([]error, 1)
				c := outboxhttp.Config{URL: "http://receiver.test", Client: &http.Client{Transport: dialing}, AllowPrivate: true}
				publisher(t, c).Publish(ctx, batchOf(1), errs)
				if !errors.Is(errs[0], want) {
					t.Error(errs[0])
				}
			})
		})
	}
}

func TestConnectionLostIsAFailureOfTheAttempt(t *testing.T) {
	err := post(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, outboxhttp.Config{}, message("x"))
	if err == nil || errors.Is(err, outbox.ErrUnavailable) || verdict(err).Class == retry.Permanent {
		t.Errorf("%v: %+v", err, verdict(err))
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(r *http.Request, status int) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}
}

func with(rt transport) outboxhttp.Config {
	return outboxhttp.Config{URL: "http://receiver.test", Client: &http.Client{Transport: rt}, AllowPrivate: true}
}

func batchOf(n int) []outbox.Delivery {
	batch := make([]outbox.Delivery, n)
	for i := range batch {
		batch[i] = message("x")
	}
	return batch
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := publisher(t, with(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		errs := make([]error, 1)
		start := time.Now()
		p.Publish(t.Context(), batchOf(1), errs)
		if took := time.Since(start); took != 20*time.Second || !errors.Is(errs[0], context.DeadlineExceeded) || errors.Is(errs[0], outbox.ErrUnavailable) {
			t.Errorf("%v after %v", errs[0], took)
		}
	})
}

func TestBatchIsSentInParallelAndNoRequestIsBegunLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, total atomic.Int32
		p := publisher(t, with(func(r *http.Request) (*http.Response, error) {
			total.Add(1)
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			time.Sleep(time.Second)
			return answer(r, 200), r.Context().Err()
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		errs := make([]error, 100)
		p.Publish(ctx, batchOf(100), errs)
		if most.Load() != 8 {
			t.Errorf("%d requests at a time, want 8", most.Load())
		}
		var sent, unsent int
		for _, err := range errs {
			switch {
			case err == nil:
				sent++
			case errors.Is(err, outbox.ErrNotSent):
				unsent++
			default:
				t.Error(err)
			}
		}
		if sent != 24 || sent+unsent != 100 || int(total.Load()) != sent { // begun at 0s, 1s and 2s
			t.Errorf("%d sent of %d requests, %d left", sent, total.Load(), unsent)
		}
	})
}

func TestOutageEndsTheBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var total atomic.Int32
		c := with(func(r *http.Request) (*http.Response, error) {
			if total.Add(1) > 2 {
				return answer(r, 503), nil
			}
			return answer(r, 200), nil
		})
		c.Parallel = 1
		errs := make([]error, 5)
		publisher(t, c).Publish(t.Context(), batchOf(5), errs)
		for i, want := range []error{nil, nil, outbox.ErrUnavailable, outbox.ErrNotSent, outbox.ErrNotSent} {
			if !errors.Is(errs[i], want) {
				t.Errorf("message %d: %v, want %v", i, errs[i], want)
			}
		}
	})
}

func TestPanicOfTheTransportIsAnError(t *testing.T) {
	errs := make([]error, 1)
	publisher(t, with(func(*http.Request) (*http.Response, error) { panic("boom") })).Publish(t.Context(), batchOf(1), errs)
	var p *outbox.PanicError
	if !errors.As(errs[0], &p) || p.Value != "boom" {
		t.Error(errs[0])
	}
}

func TestHeaderThatCannotBeSentIsPermanent(t *testing.T) {
	err := post(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") }, outboxhttp.Config{},
		message("x", outbox.Header{Key: "not a name", Value: "x"}))
	if verdict(err).Class != retry.Permanent || !strings.Contains(err.Error(), "not a name") {
		t.Error(err)
	}
}

func TestConfigErrorsNameTheField(t *testing.T) {
	for _, c := range []struct {
		name   string
		config outboxhttp.Config
		want   []string
	}{
		{"no URL", outboxhttp.Config{}, []string{"Config.URL is empty"}},
		{"no scheme", outboxhttp.Config{URL: "example.com/hook"}, []string{"Config.URL has no scheme", "https://"}},
		{"no scheme, a port", outboxhttp.Config{URL: "example.com:8080/hook"}, []string{"Config.URL has", "scheme", "https"}},
		{"other scheme", outboxhttp.Config{URL: "ftp://example.com"}, []string{"Config.URL has the scheme \"ftp\""}},
		{"no host", outboxhttp.Config{URL: "https:///hook"}, []string{"Config.URL has no host"}},
		{"credentials", outboxhttp.Config{URL: "https://a:b@example.com"}, []string{"Config.URL holds credentials", "Header"}},
		{"fragment", outboxhttp.Config{URL: "https://example.com/#x"}, []string{"Config.URL has a fragment"}},
		{"unparsable", outboxhttp.Config{URL: "https://exa mple.com/S3CR3T"}, []string{"Config.URL cannot be parsed"}},
		{"raw secret", outboxhttp.Config{Secrets: []string{secret, "s3cr3t"}}, []string{"Config.Secrets[1]", "whsec_", "NewSecret"}},
		{"bad base64", outboxhttp.Config{Secrets: []string{"whsec_!!!"}}, []string{"Config.Secrets[0]", "base64"}},
		{"short secret", outboxhttp.Config{Secrets: []string{"whsec_c2hvcnQ="}}, []string{"Config.Secrets[0]", "5 bytes", "24 to 64"}},
		{"header name", outboxhttp.Config{Header: http.Header{"a b": {"x"}}}, []string{"Config.Header", `"a b"`}},
		{"header value", outboxhttp.Config{Header: http.Header{"A": {"x\r\ny"}}}, []string{"Config.Header", "A has a value"}},
		{"reserved header", outboxhttp.Config{Header: http.Header{"webhook-id": {"x"}}}, []string{"Config.Header", "Webhook-Id"}},
		{"timeout", outboxhttp.Config{Timeout: -1}, []string{"Config.Timeout"}},
		{"parallel", outboxhttp.Config{Parallel: -1}, []string{"Config.Parallel"}},
		{"transport", outboxhttp.Config{Client: &http.Client{Transport: http.DefaultTransport}}, []string{"Config.Client", "AllowPrivate"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.config.URL == "" && c.name != "no URL" {
				c.config.URL = "https://example.com"
			}
			_, err := outboxhttp.New(c.config)
			if err == nil {
				t.Fatal("no error")
			}
			for _, s := range c.want {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
			for _, s := range []string{"S3CR3T", "s3cr3t", strings.TrimPrefix(secret, "whsec_")} {
				if strings.Contains(err.Error(), s) {
					t.Errorf("%q shows a secret", err)
				}
			}
		})
	}
}
