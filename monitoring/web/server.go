package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"example.com/once/monitoring/app"
)

// readTimeout bounds what one request reads.
const readTimeout = 5 * time.Second

// Server serves the page, the API and what machines ask for. It is safe for concurrent use.
type Server struct {
	c       Config
	pages   *pages
	handler http.Handler
}

// New makes a Server. It starts nothing. Its errors match [ErrConfig] and name the field.
func New(c Config) (*Server, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.setDefaults()
	p, err := newPages()
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	s := &Server{c: c, pages: p}
	metrics, err := s.metrics()
	if err != nil {
		return nil, fmt.Errorf("web: metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", s.page(s.overview))
	mux.Handle("GET /alerts/{path...}", s.page(s.timeline))
	mux.Handle("GET /", s.page(nowhere))
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", metrics)
	s.api(mux)
	p.assets(mux)
	s.handler = s.guard(mux)
	return s, nil
}

// Handler returns the handler of all paths. Its responses are short; give the server that it
// runs in a write timeout above 10 seconds.
func (s *Server) Handler() http.Handler { return s.handler }

// guard sets what every answer has, and survives a panic.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "+
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it like this
				panic(v)
			}
			s.c.Logger.ErrorContext(r.Context(), "request panicked", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
			f := failure{http.StatusInternalServerError, "This could not be answered. The log of replica " + s.c.Replica + " says why."}
			if strings.HasPrefix(r.URL.Path, "/api/") {
				problem(w, f)
				return
			}
			s.fail(w, r, f)
		}()
		next.ServeHTTP(w, r)
	})
}

// failure is an error that is fit for whoever asked.
type failure struct {
	status   int
	sentence string
}

func (f failure) Error() string { return f.sentence }

// page makes a handler of a function that collects what a page shows.
func (s *Server) page(collect func(context.Context, *http.Request) (view, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
		defer cancel()
		v, err := collect(ctx, r)
		if err != nil {
			s.fail(w, r, s.judge(r, err))
			return
		}
		s.show(w, r, http.StatusOK, v)
	})
}

// judge turns an error into what the asker is told of it.
func (s *Server) judge(r *http.Request, err error) failure {
	if f, ok := errors.AsType[failure](err); ok {
		return f
	}
	if errors.Is(err, app.ErrNotFound) {
		return failure{http.StatusNotFound, "There is no alert of this name, or all that was known of it has been swept."}
	}
	if r.Context().Err() == nil { // else it is the asker who left
		s.c.Logger.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "err", err)
	}
	return failure{http.StatusServiceUnavailable, "The database cannot be read at the moment. The log of replica " + s.c.Replica + " says why."}
}

// fail answers with a page that says what is wrong.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, f failure) {
	s.show(w, r, f.status, view{template: "failure", title: http.StatusText(f.status), Data: f.sentence})
}

// show answers with a page.
func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, v view) {
	body, err := s.pages.render(s, v)
	if err != nil {
		s.c.Logger.ErrorContext(r.Context(), "page cannot be made", "path", r.URL.Path, "err", err)
		http.Error(w, "This page could not be made. The log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // an error means that the asker left
}

func nowhere(context.Context, *http.Request) (view, error) {
	return view{}, failure{http.StatusNotFound, "There is nothing at this address."}
}
