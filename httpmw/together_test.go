package httpmw_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"example.com/once/httpmw"
	"example.com/once/retry"
)

// The two halves of the package together: the answer to the first attempt is lost on the way, and the
// effect still happens once.
func TestTransportAndIdempotencyMakeOneEffectOfALostAnswer(t *testing.T) {
	var runs counter
	b := newBench(t, benchConfig{outer: func(next http.Handler) http.Handler {
		n := 0
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n++; n == 1 {
				next.ServeHTTP(httptest.NewRecorder(), r)
				hangUp(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}}, created(&runs))
	resp, err := client(t, &httpmw.Transport{Policy: atOnce(), Key: httpmw.NewKey}).Do(request(t, http.MethodPost, b.URL, "x"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(body) != "order 1" || resp.StatusCode != 201 || resp.Header.Get(httpmw.HeaderReplayed) != "true" {
		t.Errorf("got %d %q %v", resp.StatusCode, body, resp.Header)
	}
	runs.want(t, 1)
	b.events.want(t, httpmw.ResultFirst, httpmw.ResultReplayed)
}

// While the first request still runs, the second of the same call waits for it.
func TestTransportWaitsForARequestInFlight(t *testing.T) {
	var runs counter
	release := make(chan struct{})
	started := make(chan struct{})
	b := newBench(t, benchConfig{}, func(w http.ResponseWriter, _ *http.Request) {
		n := runs.add()
		close(started)
		<-release
		_, _ = fmt.Fprintf(w, "run %d", n)
	})
	c := client(t, &httpmw.Transport{})
	first := make(chan error, 1)
	go func() {
		resp, err := c.Do(request(t, http.MethodPost, b.URL, "x", "Idempotency-Key", "k"))
		if err == nil {
			err = resp.Body.Close()
		}
		first <- err
	}()
	<-started
	policy := &retry.Policy{Observe: func(_ context.Context, e retry.Event) {
		if s, ok := errors.AsType[*httpmw.StatusError](e.Err); !ok || s.StatusCode != 409 || e.Wait < s.RetryAfter() {
			t.Errorf("event %+v", e)
		}
		close(release)
	}}
	resp, err := client(t, &httpmw.Transport{Policy: policy}).Do(request(t, http.MethodPost, b.URL, "x", "Idempotency-Key", "k"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(body) != "run 1" || resp.Header.Get(httpmw.HeaderReplayed) != "true" {
		t.Errorf("got %q %v", body, resp.Header)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	runs.want(t, 1)
}
