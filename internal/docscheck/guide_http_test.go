package docscheck_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

// The code of docs/guide.md, sections "The HTTP header" and "Testing retry safety".

// dropsAnswers lets every request through, and loses the first answers.
type dropsAnswers struct {
	base http.RoundTripper
	left int
}

func (d *dropsAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.base.RoundTrip(r)
	if err != nil || d.left == 0 {
		return resp, err
	}
	d.left--
	_ = resp.Body.Close()
	return nil, errors.New("connection reset by peer")
}

// tenant is the httpmw.Scope: whose key it is. The authentication in front has put it there.
func tenant(r *http.Request) (string, error) { return r.Header.Get("X-Tenant"), nil }

func Example_http() {
	charges := 0
	charge := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		charges++
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, "receipt %d", charges)
	})

	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	once, err := httpmw.NewIdempotency(guard, tenant, httpmw.IdempotencyConfig{Required: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(once.Handler(charge))
	defer server.Close()

	lossy := &dropsAnswers{base: http.DefaultTransport, left: 1}
	client := &http.Client{Transport: &httpmw.Transport{Base: lossy, Key: httpmw.NewKey}}

	req, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL, strings.NewReader(`{"amount": 10}`))
	req.Header.Set("X-Tenant", "7")
	resp, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body), resp.Header.Get(httpmw.HeaderReplayed))
	fmt.Println(charges, "charge")
	// Output:
	// 201 Created receipt 1 true
	// 1 charge
}
