package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// Limits of the lists that grow.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// api serves what the page shows, as JSON. Each answer is an object with one member, so that
// more can be added.
func (s *Server) api(mux *http.ServeMux) {
	r := s.c.Reader
	mux.Handle("GET /api/v1/targets", s.list("targets", func(ctx context.Context, _ *http.Request) (any, error) {
		views, err := r.Targets(ctx)
		return each(views, targetOf), err
	}))
	mux.Handle("GET /api/v1/rules", s.list("rules", func(ctx context.Context, _ *http.Request) (any, error) {
		views, err := r.Rules(ctx)
		return s.rulesOf(views), err
	}))
	mux.Handle("GET /api/v1/alerts", s.list("alerts", func(ctx context.Context, _ *http.Request) (any, error) {
		views, err := r.Alerts(ctx)
		return each(views, alertOf), err
	}))
	mux.Handle("GET /api/v1/alerts/{path...}", s.list("alert", func(ctx context.Context, req *http.Request) (any, error) {
		ref, ok := parseAlertPath(req.PathValue("path"))
		if !ok {
			return nil, failure{http.StatusNotFound, "An alert's address is its rule, a slash, and its fingerprint of 32 hexadecimal digits."}
		}
		detail, err := r.Alert(ctx, ref)
		return detailOf(detail), err
	}))
	mux.Handle("GET /api/v1/events", s.list("events", func(ctx context.Context, req *http.Request) (any, error) {
		limit, err := limitOf(req)
		if err != nil {
			return nil, err
		}
		views, err := r.Events(ctx, limit)
		return each(views, eventOf), err
	}))
	mux.Handle("GET /api/v1/deliveries", s.list("deliveries", func(ctx context.Context, req *http.Request) (any, error) {
		limit, err := limitOf(req)
		if err != nil {
			return nil, err
		}
		views, err := r.Deliveries(ctx, limit)
		return each(views, deliveryOf), err
	}))
	mux.Handle("GET /api/v1/totals", s.list("totals", func(ctx context.Context, _ *http.Request) (any, error) {
		return r.Totals(ctx)
	}))
	mux.Handle("GET /api/", s.list("", func(context.Context, *http.Request) (any, error) {
		return nil, failure{http.StatusNotFound, "There is nothing at this address."}
	}))
}

// limitOf reads how many things are wanted.
func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		return 0, failure{http.StatusBadRequest, fmt.Sprintf("limit is %q: it must be a number from 1 to %d.", text, maxLimit)}
	}
	return n, nil
}

// list makes a handler that answers with what get returns, under the name.
func (s *Server) list(name string, get func(context.Context, *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
		defer cancel()
		data, err := get(ctx, r)
		if err != nil {
			problem(w, s.judge(r, err))
			return
		}
		body, err := encode(map[string]any{name: data})
		if err != nil {
			s.c.Logger.ErrorContext(ctx, "answer cannot be made", "path", r.URL.Path, "err", err)
			problem(w, failure{http.StatusInternalServerError, "This answer could not be made. The log says why."})
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
}

// problem answers with what is wrong, by RFC 9457.
func problem(w http.ResponseWriter, f failure) {
	body, _ := encode(struct { // strings and a number: it cannot fail
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(f.status), f.status, f.sentence})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(f.status)
	_, _ = w.Write(body)
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return b.Bytes(), nil
}

// each turns a list into another one, which is never null in JSON.
func each[A, B any](in []A, f func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, a := range in {
		out = append(out, f(a))
	}
	return out
}
