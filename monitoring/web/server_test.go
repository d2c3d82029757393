package web_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/once/monitoring/web"
)

// now is when what the tests look at has just happened.
func now() time.Time { return time.Now() }

const (
	pageType    = "text/html; charset=utf-8"
	plainType   = "text/plain; charset=utf-8"
	jsonType    = "application/json"
	problemType = "application/problem+json"
)

func TestRoutes(t *testing.T) {
	r := busy(now())
	c := full(t, r)
	alert := web.AlertPath(r.alerts[0].Ref())
	unknown := strings.Repeat("0", 32)
	for _, row := range []struct {
		path        string
		status      int
		contentType string
		says        string
	}{
		{"/", 200, pageType, "TargetDown"},
		{"/?utm=1", 200, pageType, "TargetDown"},
		{alert, 200, pageType, "checkout does not answer"},
		{"/healthz", 200, plainType, "ok"},
		{"/readyz", 200, plainType, "ready"},
		{"/metrics", 200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", "monitor_info"},
		{"/api/v1/targets", 200, jsonType, `"targets":[`},
		{"/api/v1/rules", 200, jsonType, `"rules":[`},
		{"/api/v1/alerts", 200, jsonType, `"alerts":[`},
		{"/api/v1" + alert, 200, jsonType, `"alert":{`},
		{"/api/v1/events", 200, jsonType, `"events":[`},
		{"/api/v1/deliveries", 200, jsonType, `"deliveries":[`},
		{"/api/v1/totals", 200, jsonType, `"totals":{`},
		{"/assets/page.css", 200, "text/css; charset=utf-8", "prefers-color-scheme"},
		{"/assets/page.js", 200, "text/javascript; charset=utf-8", "use strict"},
		{"/favicon.svg", 200, "image/svg+xml", "<svg"},
		{"/favicon.ico", 200, "image/svg+xml", "<svg"},
		{"/favicon-alarm.svg", 200, "image/svg+xml", "<svg"},

		{"/nothing", 404, pageType, "There is nothing at this address."},
		{"/index.html", 404, pageType, "There is nothing at this address."},
		{"/assets/", 404, pageType, "There is nothing at this address."},
		{"/assets/../server.go", 307, pageType, ""}, // the mux cleans it
		{"/healthz/", 404, pageType, "There is nothing at this address."},
		{"/alerts/", 404, pageType, "32 hexadecimal digits"},
		{"/alerts/api/TargetDown", 404, pageType, "32 hexadecimal digits"},
		{"/alerts/" + unknown, 404, pageType, "32 hexadecimal digits"},
		{"/alerts/api/TargetDown/" + unknown, 404, pageType, "There is no alert of this name"},
		{"/alerts/api/TargetDown/" + unknown + "00", 404, pageType, "32 hexadecimal digits"},
		{"/api/", 404, problemType, "There is nothing at this address."},
		{"/api/v2/alerts", 404, problemType, "There is nothing at this address."},
		{"/api/v1/alerts/nonsense", 404, problemType, "32 hexadecimal digits"},
		{"/api/v1/alerts/api/TargetDown/" + unknown, 404, problemType, "There is no alert of this name"},
		{"/api/v1/events?limit=0", 400, problemType, `limit is \"0\": it must be a number from 1 to 1000.`},
		{"/api/v1/events?limit=1001", 400, problemType, "from 1 to 1000"},
		{"/api/v1/deliveries?limit=many", 400, problemType, `limit is \"many\"`},
		{"/api/v1/deliveries?limit=-1", 400, problemType, "from 1 to 1000"},
	} {
		t.Run(row.path, func(t *testing.T) {
			w := ask(t, c, http.MethodGet, row.path)
			if w.Code != row.status {
				t.Errorf("status %d, want %d", w.Code, row.status)
			}
			if got := w.Header().Get("Content-Type"); row.says != "" && got != row.contentType {
				t.Errorf("content type %q, want %q", got, row.contentType)
			}
			if !strings.Contains(w.Body.String(), row.says) {
				t.Errorf("it does not say %q: %s", row.says, w.Body)
			}
		})
	}
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	r := busy(now())
	broken := full(t, &reader{err: errors.New("gone")})
	panicking := full(t, &reader{panics: "oh"})
	for name, w := range map[string]*httptest.ResponseRecorder{
		"page":      ask(t, full(t, r), http.MethodGet, "/"),
		"timeline":  ask(t, full(t, r), http.MethodGet, web.AlertPath(r.alerts[0].Ref())),
		"api":       ask(t, full(t, r), http.MethodGet, "/api/v1/alerts"),
		"metrics":   ask(t, full(t, r), http.MethodGet, "/metrics"),
		"health":    ask(t, full(t, r), http.MethodGet, "/healthz"),
		"readiness": ask(t, full(t, r), http.MethodGet, "/readyz"),
		"style":     ask(t, full(t, r), http.MethodGet, "/assets/page.css"),
		"no page":   ask(t, full(t, r), http.MethodGet, "/nothing"),
		"refused":   ask(t, full(t, r), http.MethodPost, "/"),
		"failed":    ask(t, broken, http.MethodGet, "/"),
		"panicked":  ask(t, panicking, http.MethodGet, "/"),
	} {
		t.Run(name, func(t *testing.T) {
			for header, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
					"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
				"X-Content-Type-Options":       "nosniff",
				"X-Frame-Options":              "DENY",
				"Referrer-Policy":              "no-referrer",
				"Cross-Origin-Opener-Policy":   "same-origin",
				"Cross-Origin-Resource-Policy": "same-origin",
				"Cache-Control":                "no-store",
			} {
				if got := w.Header().Get(header); got != want {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
			if cookies := w.Result().Cookies(); len(cookies) > 0 {
				t.Errorf("it sets cookies: %v", cookies)
			}
		})
	}
}

func TestAssetsAreKeptUnderTheAddressThatChangesWithThem(t *testing.T) {
	c := full(t, busy(now()))
	page := open(t, c, "/", 200)
	for _, address := range []string{page.one(t, "link").attr["href"], page.all("link")[1].attr["href"], page.one(t, "script").attr["src"]} {
		w := ask(t, c, http.MethodGet, address)
		if w.Code != 200 || w.Header().Get("Cache-Control") != "public, max-age=86400" {
			t.Errorf("%s: status %d, Cache-Control %q", address, w.Code, w.Header().Get("Cache-Control"))
		}
	}
	for _, address := range []string{"/assets/page.css", "/assets/page.css?v=other"} {
		if got := ask(t, c, http.MethodGet, address).Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s, which may be another version's: Cache-Control %q", address, got)
		}
	}
}

func TestNothingCanBeChanged(t *testing.T) {
	c := full(t, busy(now()))
	for _, path := range []string{"/", "/alerts/a/b", "/healthz", "/readyz", "/metrics", "/api/v1/alerts", "/api/v1/events", "/assets/page.js", "/nothing"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "PURGE"} {
			w := ask(t, c, method, path)
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: status %d, Allow %q", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
}

func TestHeadIsGetWithoutTheBody(t *testing.T) {
	s, err := web.New(full(t, busy(now())))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/api/v1/alerts", "/assets/page.css", "/nothing"} {
		get, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		get.Body.Close()
		head, err := server.Client().Head(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(head.Body)
		head.Body.Close()
		if err != nil || len(body) > 0 {
			t.Errorf("HEAD %s: body %q, error %v", path, body, err)
		}
		if head.StatusCode != get.StatusCode || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
			t.Errorf("HEAD %s: %d %s, GET: %d %s", path, head.StatusCode, head.Header.Get("Content-Type"), get.StatusCode, get.Header.Get("Content-Type"))
		}
	}
}

func TestUnreadableDatabase(t *testing.T) {
	const secret = "postgres://monitor:secret@db/monitor: connection refused"
	const sentence = "The database cannot be read at the moment. The log of replica monitor-a says why."
	var log bytes.Buffer
	c := full(t, &reader{err: errors.New(secret)})
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	ref := web.AlertPath(busy(now()).alerts[0].Ref())
	for _, path := range []string{"/", ref} {
		log.Reset()
		page := open(t, c, path, http.StatusServiceUnavailable)
		if got := page.one(t, "main", "h1").says(); got != sentence {
			t.Errorf("%s: %q", path, got)
		}
		if got := page.one(t, "title").says(); got != "Service Unavailable · monitor" {
			t.Errorf("%s: title %q", path, got)
		}
		if len(page.all("script")) > 0 {
			t.Errorf("%s: a page that failed has a script", path)
		}
		if strings.Contains(page.says(), "secret") {
			t.Errorf("%s: the error is on the page", path)
		}
		if !strings.Contains(log.String(), secret) {
			t.Errorf("%s: the error is not in the log: %s", path, &log)
		}
	}
	for _, path := range []string{"targets", "rules", "alerts", "events", "deliveries", "totals", strings.TrimPrefix(ref, "/")} {
		log.Reset()
		w := ask(t, c, http.MethodGet, "/api/v1/"+path)
		want := `{"title":"Service Unavailable","status":503,"detail":"` + sentence + `"}`
		if w.Code != 503 || w.Header().Get("Content-Type") != problemType || strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("%s: %d %s %s", path, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		if !strings.Contains(log.String(), secret) {
			t.Errorf("%s: the error is not in the log: %s", path, &log)
		}
	}
}

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	c := full(t, &reader{panics: "index out of range"})
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	const sentence = "This could not be answered. The log of replica monitor-a says why."
	page := open(t, c, "/", http.StatusInternalServerError)
	if got := page.one(t, "main", "h1").says(); got != sentence {
		t.Errorf("the page says %q", got)
	}
	if !strings.Contains(log.String(), "index out of range") || !strings.Contains(log.String(), "fake_test.go") {
		t.Errorf("the log lacks the panic or its stack: %s", &log)
	}
	w := ask(t, c, http.MethodGet, "/api/v1/alerts")
	if w.Code != 500 || w.Header().Get("Content-Type") != problemType || !strings.Contains(w.Body.String(), sentence) {
		t.Errorf("the API says %d %s %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	log.Reset()
	w = ask(t, c, http.MethodGet, "/metrics") // collected in the registry's goroutines, out of the handler's reach
	if w.Code != 200 || !strings.Contains(w.Body.String(), "monitor_info") || strings.Contains(w.Body.String(), "monitor_database_readable") {
		t.Errorf("the metrics say %d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "index out of range") {
		t.Errorf("the log lacks the panic of the metrics: %s", &log)
	}
}

func TestAbortedRequestStaysAborted(t *testing.T) {
	c := full(t, busy(now()))
	c.Figures = func() []web.Figure { panic(http.ErrAbortHandler) }
	s, err := web.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
			t.Errorf("recovered %v", v)
		}
	}()
	s.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	t.Error("the abort was swallowed")
}
