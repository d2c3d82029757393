package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"example.com/once/httpmw"
	"example.com/once/idem"
	"example.com/once/idem/idemsql"
)

// shop is a handler over a real database, in transactions that its middleware makes.
type shop struct {
	*httptest.Server

	db *sql.DB
}

func openShop(t *testing.T, db *sql.DB, c httpmw.IdempotencyConfig, h http.HandlerFunc) *shop {
	t.Helper()
	s := &shop{db: db}
	store := openIdem(t, db, idemsql.Config{})
	exec(t, db, `CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT)`)
	g, err := idem.NewTx(store, idem.Config{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := httpmw.NewTxIdempotency(g, httpmw.SharedScope, c)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewServer(m.Handler(h))
	t.Cleanup(s.Close)
	return s
}

func (s *shop) orders(t *testing.T) int {
	t.Helper()
	return count(t, s.db, `SELECT COUNT(*) FROM orders`)
}

// records counts keys that are done.
func (s *shop) records(t *testing.T) int {
	t.Helper()
	return count(t, s.db, `SELECT COUNT(*) FROM `+idemsql.DefaultTable+` WHERE phase = 3 AND idem_key <> x''`)
}

type reply struct {
	status   int
	body     string
	replayed bool
}

func (s *shop) post(t *testing.T, key, body string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/orders", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, string(text), resp.Header.Get("Idempotent-Replayed") == "true"}
}

func (r reply) want(t *testing.T, status int, contains string, replayed bool) reply {
	t.Helper()
	if r.status != status || !strings.Contains(r.body, contains) || r.replayed != replayed {
		t.Fatalf("got %d %q, replayed %v; want %d %q, %v", r.status, r.body, r.replayed, status, contains, replayed)
	}
	return r
}

// order inserts an order in the request's transaction and answers 201, or what the body asks for.
func order(w http.ResponseWriter, r *http.Request) {
	item, _ := io.ReadAll(r.Body)
	tx, ok := httpmw.TxFrom[*sql.Tx](r.Context())
	if !ok {
		http.Error(w, "no transaction", http.StatusTeapot)
		return
	}
	res, err := tx.ExecContext(r.Context(), `INSERT INTO orders (item) VALUES (?)`, string(item))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	id, _ := res.LastInsertId()
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, "order %d", id)
}

// eachSQLite runs f over a fresh file of every driver.
func eachSQLite(t *testing.T, f func(t *testing.T, d sqliteDriver, db *sql.DB, path string)) {
	t.Helper()
	for _, d := range sqliteDrivers() {
		t.Run(d.name, func(t *testing.T) {
			db, path := d.file(t)
			f(t, d, db, path)
		})
	}
}

func TestTxIdempotencyCommitsEffectAndRecordTogether(t *testing.T) {
	eachSQLite(t, func(t *testing.T, d sqliteDriver, db *sql.DB, path string) {
		t.Helper()
		s := openShop(t, db, httpmw.IdempotencyConfig{}, func(w http.ResponseWriter, r *http.Request) {
			// From outside of the transaction neither is there yet.
			other := d.at(t, path)
			if n := count(t, other, `SELECT COUNT(*) FROM orders`) + count(t, other, `SELECT COUNT(*) FROM `+idemsql.DefaultTable+` WHERE idem_key <> x''`); n != 0 {
				t.Errorf("%d rows before the commit", n)
			}
			order(w, r)
			if n := count(t, other, `SELECT COUNT(*) FROM orders`); n != 0 {
				t.Errorf("%d orders before the commit", n)
			}
		})
		first := s.post(t, "k", "tea").want(t, 201, "order 1", false)
		if o, r := s.orders(t), s.records(t); o != 1 || r != 1 {
			t.Errorf("%d orders, %d records", o, r)
		}
		for range 3 {
			if again := s.post(t, "k", "tea").want(t, 201, "order 1", true); again.body != first.body {
				t.Errorf("got %q", again.body)
			}
		}
		s.post(t, "k", "coffee").want(t, 422, "mismatch", false)
		if n := s.orders(t); n != 1 {
			t.Errorf("%d orders", n)
		}
	})
}

func TestTxIdempotencyRollsBackWhatIsNotRecorded(t *testing.T) {
	eachSQLite(t, func(t *testing.T, _ sqliteDriver, db *sql.DB, _ string) {
		t.Helper()
		fail := true
		s := openShop(t, db, httpmw.IdempotencyConfig{MaxResponse: 2000}, func(w http.ResponseWriter, r *http.Request) {
			if !fail {
				order(w, r)
				return
			}
			order(httptest.NewRecorder(), r) // the effect is in the transaction
			switch r.Header.Get("Idempotency-Key") {
			case "status":
				w.WriteHeader(http.StatusServiceUnavailable)
			case "release":
				httpmw.SetOutcome(r.Context(), httpmw.Release)
				w.WriteHeader(http.StatusCreated)
			case "forget":
				httpmw.SetOutcome(r.Context(), httpmw.Forget)
				w.WriteHeader(http.StatusBadRequest)
			case "large":
				_, _ = io.WriteString(w, strings.Repeat("x", 5000))
			case "headers":
				w.Header().Set("X-Long", strings.Repeat("x", 5000))
			case "panic":
				panic(http.ErrAbortHandler)
			}
		})
		for key, status := range map[string]int{"status": 503, "release": 201, "forget": 400, "large": 500, "headers": 500} {
			if got := s.post(t, key, "tea"); got.status != status {
				t.Errorf("%s: got %d %q", key, got.status, got.body)
			}
			if o, r := s.orders(t), s.records(t); o != 0 || r != 0 {
				t.Errorf("%s: %d orders, %d records", key, o, r)
			}
		}
		s.post(t, "large", "tea").want(t, 500, "answer-too-large", false)
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader("tea"))
		r.Header.Set("Idempotency-Key", "panic")
		if resp, err := s.Client().Do(r); err == nil {
			_ = resp.Body.Close()
			t.Error("a panic was answered")
		}
		if o, r := s.orders(t), s.records(t); o != 0 || r != 0 {
			t.Errorf("panic: %d orders, %d records", o, r)
		}
		// Each key is as if it had not been used, also for another request.
		fail = false
		for n, key := range []string{"status", "release", "forget", "large", "headers", "panic"} {
			s.post(t, key, "coffee").want(t, 201, fmt.Sprint("order ", n+1), false)
		}
	})
}

func TestTxIdempotencyHandlerThatEndsItsTransactionIsAnError(t *testing.T) {
	eachSQLite(t, func(t *testing.T, _ sqliteDriver, db *sql.DB, _ string) {
		t.Helper()
		var end func(*sql.Tx) error
		s := openShop(t, db, httpmw.IdempotencyConfig{}, func(w http.ResponseWriter, r *http.Request) {
			order(w, r)
			tx, _ := httpmw.TxFrom[*sql.Tx](r.Context())
			if err := end(tx); err != nil {
				t.Error(err)
			}
		})
		end = (*sql.Tx).Commit
		if got := s.post(t, "commits", "tea").want(t, 500, "transaction-ended", false); strings.Contains(got.body, "order 1") {
			t.Errorf("got %q", got.body)
		}
		end = (*sql.Tx).Rollback
		s.post(t, "rolls-back", "tea").want(t, 500, "transaction-ended", false)
		if n := s.orders(t); n != 1 { // what it committed is there, and nobody can help that
			t.Errorf("%d orders", n)
		}
	})
}

func TestTxIdempotencyAfterCommit(t *testing.T) {
	eachSQLite(t, func(t *testing.T, _ sqliteDriver, db *sql.DB, _ string) {
		t.Helper()
		var s *shop
		answered := false
		seen := []int{}
		s = openShop(t, db, httpmw.IdempotencyConfig{AfterCommit: func(ctx context.Context) {
			if answered {
				t.Error("the answer was sent first")
			}
			if ctx.Err() != nil {
				t.Error("the context has ended")
			}
			seen = append(seen, s.orders(t)) // the commit is visible
		}}, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Idempotency-Key") == "fails" {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			order(w, r)
		})
		s.post(t, "k", "tea").want(t, 201, "", false)
		answered = true
		s.post(t, "k", "tea").want(t, 201, "", true)
		s.post(t, "fails", "tea").want(t, 500, "", false)
		if fmt.Sprint(seen) != "[1]" {
			t.Errorf("called with %v orders", seen)
		}
	})
}

func TestTxIdempotencyWriterPromisesNothingThatCannotBe(t *testing.T) {
	eachSQLite(t, func(t *testing.T, _ sqliteDriver, db *sql.DB, _ string) {
		t.Helper()
		s := openShop(t, db, httpmw.IdempotencyConfig{}, func(w http.ResponseWriter, r *http.Request) {
			_, flusher := w.(http.Flusher)
			_, hijacker := w.(http.Hijacker)
			err := http.NewResponseController(w).Flush()
			if flusher || hijacker || !errors.Is(err, http.ErrNotSupported) {
				t.Errorf("flusher %v, hijacker %v, Flush %v", flusher, hijacker, err)
			}
			order(w, r)
		})
		s.post(t, "k", "tea").want(t, 201, "order 1", false)
	})
}

func TestTxIdempotencyRequestWithoutAKeyHasNoTransaction(t *testing.T) {
	eachSQLite(t, func(t *testing.T, _ sqliteDriver, db *sql.DB, _ string) {
		t.Helper()
		s := openShop(t, db, httpmw.IdempotencyConfig{}, order)
		s.post(t, "", "tea").want(t, 418, "no transaction", false)
		s = openShop(t, db, httpmw.IdempotencyConfig{Required: true}, order)
		s.post(t, "", "tea").want(t, 400, "key-missing", false)
		if _, ok := httpmw.TxFrom[*sql.Tx](t.Context()); ok {
			t.Error("a transaction out of nothing")
		}
	})
}

// Duplicates of two replicas on one file, all at once: one order, and every caller gets it.
func TestTxIdempotencyDuplicatesAtOnce(t *testing.T) {
	eachSQLite(t, func(t *testing.T, d sqliteDriver, db *sql.DB, path string) {
		t.Helper()
		shops := []*shop{
			openShop(t, db, httpmw.IdempotencyConfig{}, order),
			openShop(t, d.at(t, path), httpmw.IdempotencyConfig{}, order),
		}
		const keys, n = 5, 6
		var all sync.WaitGroup
		replies := make(chan reply, keys*n)
		for k := range keys {
			for i := range n {
				all.Go(func() { replies <- shops[i%2].post(t, fmt.Sprint("key", k), "tea") })
			}
		}
		all.Wait()
		close(replies)
		fresh := 0
		for r := range replies {
			if r.status != 201 {
				t.Errorf("got %d %q", r.status, r.body)
			}
			if !r.replayed {
				fresh++
			}
		}
		if o := shops[0].orders(t); o != keys || fresh != keys {
			t.Errorf("%d orders, %d first answers", o, fresh)
		}
	})
}

// A database that stays busy is a store that fails; the transaction is tried three times, and nothing happened.
func TestTxIdempotencyBusyDatabase(t *testing.T) {
	eachSQLite(t, func(t *testing.T, d sqliteDriver, db *sql.DB, path string) {
		t.Helper()
		s := openShop(t, db, httpmw.IdempotencyConfig{}, order)
		impatient := openShop(t, d.at(t, path, "_pragma=busy_timeout(1)"), httpmw.IdempotencyConfig{}, order)
		blocker, err := d.at(t, path).BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := blocker.ExecContext(t.Context(), `INSERT INTO orders (item) VALUES ('theirs')`); err != nil {
			t.Fatal(err)
		}
		impatient.post(t, "k", "tea").want(t, 503, "store-unavailable", false)
		if err := blocker.Rollback(); err != nil {
			t.Fatal(err)
		}
		if o, r := s.orders(t), s.records(t); o != 0 || r != 0 {
			t.Errorf("%d orders, %d records", o, r)
		}
		impatient.post(t, "k", "tea").want(t, 201, "order 1", false)
		s.post(t, "k", "tea").want(t, 201, "order 1", true)
	})
}

// refusing is a store whose commits are refused n times, as databases do that find two transactions in
// conflict only then.
type refusing struct {
	*idemsql.Store

	n    int
	with error
}

type conflictError struct{}

func (conflictError) Error() string    { return "could not serialize access" }
func (conflictError) SQLState() string { return "40001" }

func (s *refusing) InTx(ctx context.Context, fn func(*sql.Tx) error) error {
	return s.Store.InTx(ctx, func(tx *sql.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if s.n--; s.n >= 0 {
			return s.with
		}
		return nil
	})
}

func TestTxIdempotencyRepeatsATransactionThatWasRefused(t *testing.T) {
	for _, c := range []struct {
		name     string
		refusals int
		with     error
		runs     int
		status   int
	}{
		{"once", 1, conflictError{}, 2, 201},
		{"twice", 2, conflictError{}, 3, 201},
		{"for good", 99, conflictError{}, 3, 503},
		{"for another reason", 1, errors.New("disk full"), 1, 503},
		{"with an unknown outcome", 1, fmt.Errorf("%w: %w", errors.New("connection lost"), conflictError{}), 1, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachSQLite(t, func(t *testing.T, _ sqliteDriver, db *sql.DB, _ string) {
				t.Helper()
				runs := 0
				exec(t, db, `CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)`)
				g, err := idem.NewTx[*sql.Tx](&refusing{openIdem(t, db, idemsql.Config{}), c.refusals, c.with}, idem.Config{})
				if err != nil {
					t.Fatal(err)
				}
				m, err := httpmw.NewTxIdempotency(g, httpmw.SharedScope, httpmw.IdempotencyConfig{})
				if err != nil {
					t.Fatal(err)
				}
				s := &shop{db: db, Server: httptest.NewServer(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					runs++
					w.Header().Set("X-Run", strconv.Itoa(runs))
					order(w, r) // reads the whole body each time
				})))}
				defer s.Close()
				got := s.post(t, "k", "tea")
				if got.status != c.status || runs != c.runs {
					t.Errorf("got %d %q after %d runs", got.status, got.body, runs)
				}
				want := 0
				if c.status == 201 {
					want = 1
					s.post(t, "k", "tea").want(t, 201, "order 1", true)
				}
				if o := s.orders(t); o != want || s.records(t) != want {
					t.Errorf("%d orders, %d records", o, s.records(t))
				}
			})
		})
	}
}
