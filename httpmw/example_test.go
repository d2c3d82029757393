package httpmw_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

// Shop is the handler that is there already. It knows nothing of keys.
type Shop struct{ orders atomic.Int64 }

func (s *Shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	item, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "order %d: %s", s.orders.Add(1), item)
}

// Protect puts idempotency keys around a handler.
func Protect(h http.Handler) (http.Handler, error) {
	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		return nil, err
	}
	// With several callers, give a Scope that says who is who.
	once, err := httpmw.NewIdempotency(guard, httpmw.SharedScope, httpmw.IdempotencyConfig{})
	if err != nil {
		return nil, err
	}
	return once.Handler(h), nil
}

// Wrap a handler that exists: its first answer, the replay of it, and the refusal of another
// request with the same key.
func Example() {
	handler, err := Protect(&Shop{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	server := httptest.NewServer(handler)
	defer server.Close()

	for _, item := range []string{"tea", "tea", "coffee"} {
		req, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(item))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		req.Header.Set("Idempotency-Key", `"7f3a"`)
		resp, err := server.Client().Do(req)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		fmt.Printf("%s, replayed: %t\n%s\n", resp.Status, resp.Header.Get("Idempotent-Replayed") == "true", body)
	}
	// Output:
	// 201 Created, replayed: false
	// order 1: tea
	// 201 Created, replayed: true
	// order 1: tea
	// 422 Unprocessable Entity, replayed: false
	// {"type":"about:blank","title":"Idempotency key belongs to another request","status":422,"detail":"This key was used with another method, address or body. Use a new key for a new operation.","code":"mismatch"}
}
