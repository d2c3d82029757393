package httpmw_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"example.com/once/httpmw"
	"example.com/once/idem"
	"example.com/once/idem/idemsql"
)

// show sends a POST through h and prints the answer.
func show(h http.Handler, key, body string) {
	r := httptest.NewRequest(http.MethodPost, "/payments", strings.NewReader(body))
	r.Header.Set(httpmw.HeaderKey, key)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
}

// A handler that knows better than its status what became of the request says so.
func ExampleSetOutcome() {
	var errTimeout = errors.New("the bank did not answer")
	charge := func(amount string) error {
		if amount == "13" {
			return errTimeout
		}
		return nil
	}
	pay := func(w http.ResponseWriter, r *http.Request) {
		amount, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "unreadable", http.StatusBadRequest)
			return
		}
		if len(amount) == 0 {
			// Refused before anything was done: a corrected request may use the key.
			httpmw.SetOutcome(r.Context(), httpmw.Forget)
			http.Error(w, "an amount is missing", http.StatusBadRequest)
			return
		}
		if err := charge(string(amount)); errors.Is(err, errTimeout) {
			// It may have been charged. Nobody may try again before somebody has looked.
			httpmw.SetOutcome(r.Context(), httpmw.Hold)
			http.Error(w, "the outcome is unknown", http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, "charged %s", amount)
	}
	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	once, err := httpmw.NewIdempotency(guard, httpmw.SharedScope, httpmw.IdempotencyConfig{
		Problem: func(w http.ResponseWriter, _ *http.Request, p httpmw.Problem) { http.Error(w, p.Code, p.Status) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := once.Handler(http.HandlerFunc(pay))

	show(h, "a", "")
	show(h, "a", "5")
	show(h, "b", "13")
	show(h, "b", "13")
	// Output:
	// 400 an amount is missing
	// 200 charged 5
	// 502 the outcome is unknown
	// 409 outcome-unknown
}

// A handler in a transaction: the order and the record of its answer are committed together. Wake a
// relay by AfterCommit, and what the handler wrote into the outbox goes out at once.
func ExampleTxFrom() {
	serve := func(db *sql.DB, tenant httpmw.Scope, wake func(context.Context)) (http.Handler, error) {
		store, err := idemsql.New(db, idemsql.SQLite, idemsql.Config{})
		if err != nil {
			return nil, err
		}
		guard, err := idem.NewTx(store, idem.Config{})
		if err != nil {
			return nil, err
		}
		once, err := httpmw.NewTxIdempotency(guard, tenant, httpmw.IdempotencyConfig{
			Required:    true, // a request without a key would have no transaction
			AfterCommit: wake,
		})
		if err != nil {
			return nil, err
		}
		return once.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tx, _ := httpmw.TxFrom[*sql.Tx](r.Context())
			if _, err := tx.ExecContext(r.Context(), `INSERT INTO orders (item) VALUES ('tea')`); err != nil {
				http.Error(w, "not ordered", http.StatusInternalServerError) // rolls back
				return
			}
			w.WriteHeader(http.StatusCreated) // commits, then answers
		})), nil
	}
	_ = serve // with a database of yours
	// Output:
}

// What became of a key, without repeating its request.
func ExampleIdempotency_Status() {
	guard, err := idem.New(&idem.Memory{}, idem.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	once, err := httpmw.NewIdempotency(guard, httpmw.SharedScope, httpmw.IdempotencyConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	status, err := once.Status()
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /keys", status)
	mux.Handle("POST /payments", once.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "paid")
	})))
	show(mux, "a", "5")

	for _, key := range []string{"a", "b"} {
		r := httptest.NewRequest(http.MethodGet, "/keys", nil)
		r.Header.Set(httpmw.HeaderKey, key)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body.String())
	}
	// Output:
	// 200 paid
	// 200 {"state":"done","original_status":200,"replayable":true,"seconds":86400}
	// 404 {"state":"absent"}
}
