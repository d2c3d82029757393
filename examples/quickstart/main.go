// Command quickstart wraps an existing handler, so that an order that is sent twice is
// placed once.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"sync/atomic"

	"example.com/once/httpmw"
	"example.com/once/idem"
)

// shop is the handler that you have already.
type shop struct{ orders atomic.Int64 }

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	item, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "order %d: %s\n", s.orders.Add(1), item)
}

// protect puts idempotency keys around it.
func protect(next http.Handler) (http.Handler, error) {
	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		return nil, err
	}
	once, err := httpmw.NewIdempotency(guard, httpmw.SharedScope, httpmw.IdempotencyConfig{})
	if err != nil {
		return nil, err
	}
	return once.Handler(next), nil
}

func main() {
	handler, err := protect(&shop{})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler))
}
