package httpmw_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"example.com/once/httpmw"
	"example.com/once/idem"
	"example.com/once/retry"
)

// A client that repeats. The server is overloaded at first; every attempt carries the same key.
func ExampleTransport() {
	attempts := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if attempts++; attempts < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "done at attempt %s", r.Header.Get(httpmw.HeaderAttempt))
	}))
	defer server.Close()

	client := &http.Client{
		Transport: &httpmw.Transport{Key: httpmw.NewKey}, // the server honours keys
		Timeout:   10 * time.Second,                      // over all attempts
	}
	resp, err := client.Post(server.URL, "text/plain", strings.NewReader("tea"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body), err)
	// Output: 200 OK done at attempt 3 <nil>
}

// A policy for all calls of a client, and a breaker for each host.
func ExampleTransport_policy() {
	breakers := map[string]retry.Breaker{}
	for _, host := range []string{"a.example", "b.example"} {
		breaker, err := retry.NewBreaker(host, retry.BreakerConfig{})
		if err != nil {
			fmt.Println(err)
			return
		}
		breakers[host] = breaker
	}
	transport := &httpmw.Transport{
		Policy: &retry.Policy{
			MaxAttempts:    4,
			AttemptTimeout: 2 * time.Second,
			Classify: func(err error) retry.Verdict {
				if s, ok := errors.AsType[*httpmw.StatusError](err); ok && s.StatusCode == http.StatusNotFound {
					return retry.Verdict{Class: retry.NoEffect} // written a moment ago: it will be there
				}
				return retry.Classify(err)
			},
		},
		Breaker: func(r *http.Request) retry.Breaker { return breakers[r.URL.Host] },
		Hedge:   300 * time.Millisecond, // a second GET beside one that is slow
	}
	client := &http.Client{Transport: transport}
	fmt.Println(client.Transport == transport)
	// Output: true
}

// Inside of a handler that itself runs once per key, keys for further services are derived from
// it: a second attempt, even after a crash, sends the same ones.
func ExampleTransport_chain() {
	type step struct{}
	transport := &httpmw.Transport{Key: func(r *http.Request) string {
		name, _ := r.Context().Value(step{}).(string)
		if run, ok := idem.Current(r.Context()); ok && name != "" {
			return run.SubKey(name)
		}
		return httpmw.NewKey(r)
	}}
	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	var keys []string
	transport.Base = roundTripper(func(r *http.Request) (*http.Response, error) {
		keys = append(keys, r.Header.Get(httpmw.HeaderKey))
		return nil, errors.New("crash")
	})
	transport.Policy = &retry.Policy{MaxAttempts: 1}
	for range 2 {
		_ = idem.Do(context.Background(), guard, "order-42", func(ctx context.Context) error {
			ctx = context.WithValue(ctx, step{}, "charge")
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://bank.example/charges", nil)
			if err != nil {
				return err
			}
			_, err = (&http.Client{Transport: transport}).Do(r)
			return err
		})
	}
	fmt.Println(len(keys), keys[0] == keys[1])
	// Output: 2 true
}

// A service behind Attempts leaves retries to its caller, once that has begun to retry.
func ExampleAttempts() {
	handler := httpmw.Attempts(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "attempt %d, nested %v", retry.Attempt(r.Context()), retry.Nested(r.Context()))
	}))
	for _, n := range []string{"", "2"} { // the header of a first and of a second attempt
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set(httpmw.HeaderAttempt, n)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Body.String())
	}
	// Output:
	// attempt 1, nested false
	// attempt 2, nested true
}
