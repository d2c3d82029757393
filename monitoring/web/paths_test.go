package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/web"
)

func TestAlertPath(t *testing.T) {
	f, err := domain.ParseFingerprint("0123456789abcdef0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	const tail = "/0123456789abcdef0123456789abcdef"
	for rule, want := range map[string]string{
		"api/HighErrorRate": "/alerts/api/HighErrorRate" + tail,
		"a b/c d":           "/alerts/a%20b/c%20d" + tail,
		"a/b/c":             "/alerts/a/b/c" + tail,
		"a//b":              "/alerts/a%2F%2Fb" + tail,
		"../b":              "/alerts/..%2Fb" + tail,
		"Größe/λ🔥":          "/alerts/Gr%C3%B6%C3%9Fe/%CE%BB%F0%9F%94%A5" + tail,
		"50%/x?y#z":         "/alerts/50%25/x%3Fy%23z" + tail,
	} {
		if got := web.AlertPath(app.AlertRef{RuleID: rule, Fingerprint: f}); got != want {
			t.Errorf("%q: %s, want %s", rule, got, want)
		}
	}
}

// TestAlertPathLeadsToTheAlert follows the address of alerts with all kinds of rule through a
// real client and server, each of which cleans paths in its own way.
func TestAlertPathLeadsToTheAlert(t *testing.T) {
	ids := []string{
		"api/HighErrorRate", "a b/c d", " / ", "a/b/c/d", "a//b", "a/", "/b", "//", "./a", "a/..", "../..", "a/./b", "a/%2F", "%/%25", "a?b/c#d",
		"a;b/c=d&e+f", "Größe/λ🔥", "\u202eevil/x", hostile + "/" + hostile, `back\slash/"quoted"`, "tab\t/new\nline", "a/" + strings.Repeat("x", 2000),
		"api/HighErrorRate/351af2217fe8cbfd1f8959b66908bfdf",
	}
	r := &reader{}
	for _, id := range ids {
		a := alertOf("g/n", domain.Firing, time.Now(), 1, "")
		a.RuleID = id
		r.alerts = append(r.alerts, a)
	}
	s, err := web.New(web.Config{Reader: r, Replica: "a"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	overview := open(t, web.Config{Reader: r, Replica: "a"}, "/", 200)
	links := overview.one(t, ".alerts").all("a")
	if len(links) != len(ids) {
		t.Fatalf("%d links to %d alerts", len(links), len(ids))
	}
	for i, a := range r.alerts {
		path := web.AlertPath(a.Ref())
		if href := links[i].attr["href"]; href != path {
			t.Errorf("%q: the page links to %s, not to %s", a.RuleID, href, path)
		}
		base, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		address, err := base.Parse(path) // as a browser resolves a link
		if err != nil {
			t.Errorf("%q: %v", a.RuleID, err)
			continue
		}
		for prefix, want := range map[string]int{"": 200, "/api/v1": 200} {
			to := *address
			to.Path, to.RawPath = prefix+address.Path, prefix+address.EscapedPath()
			answer, err := server.Client().Get(to.String())
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != want {
				t.Errorf("%q: GET %s: status %d", a.RuleID, to.String(), answer.StatusCode)
			}
			if prefix != "" {
				var got struct {
					Alert struct {
						RuleID string `json:"rule_id"`
						Path   string `json:"path"`
					}
				}
				if err := json.NewDecoder(answer.Body).Decode(&got); err != nil || got.Alert.RuleID != a.RuleID || got.Alert.Path != path {
					t.Errorf("%q leads to %+v, error %v", a.RuleID, got, err)
				}
			}
			answer.Body.Close()
		}
	}
}

func FuzzAlertPath(f *testing.F) {
	for _, id := range []string{"a/b", "a//b", "../x", "%2F/é", "/"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if !strings.Contains(id, "/") {
			id = "group/" + id // every rule has a group
		}
		a := alertOf("g/n", domain.Firing, time.Now(), 1, "")
		a.RuleID = id
		s, err := web.New(web.Config{Reader: &reader{alerts: []app.AlertView{a}}, Replica: "a"})
		if err != nil {
			t.Fatal(err)
		}
		path := web.AlertPath(a.Ref())
		request, err := http.NewRequest(http.MethodGet, path, nil)
		if err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, request)
		if w.Code != http.StatusOK {
			t.Errorf("%q: GET %s: status %d", id, path, w.Code)
		}
	})
}
