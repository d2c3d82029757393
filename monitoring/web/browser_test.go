package web_test

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/once/monitoring/web"
)

// everyPage returns a page of each kind.
func everyPage(t *testing.T) map[string]*node {
	r := busy(now())
	c := full(t, r)
	return map[string]*node{
		"overview": open(t, c, "/", 200),
		"empty":    open(t, web.Config{Reader: &reader{}, Replica: "a"}, "/", 200),
		"timeline": open(t, c, web.AlertPath(r.alerts[1].Ref()), 200),
		"hostile":  open(t, c, web.AlertPath(r.alerts[4].Ref()), 200),
		"no page":  open(t, c, "/nothing", 404),
	}
}

func (n *node) each(f func(*node)) {
	if n.tag != "" {
		f(n)
	}
	for _, kid := range n.kids {
		kid.each(f)
	}
}

func TestPagesLoadNothingFromElsewhere(t *testing.T) {
	c := full(t, busy(now()))
	for name, page := range everyPage(t) {
		page.each(func(n *node) {
			for _, attribute := range []string{"href", "src", "srcset", "action", "data", "poster", "formaction", "ping"} {
				address, ok := n.attr[attribute]
				switch {
				case !ok || n.tag == "use" && strings.HasPrefix(address, "#m-") || n.attr["class"] == "skip" && address == "#main":
				case !strings.HasPrefix(address, "/") || strings.HasPrefix(address, "//"):
					t.Errorf("%s: <%s %s=%q> leads elsewhere", name, n.tag, attribute, address)
				case n.tag == "link" || n.tag == "script":
					if got := ask(t, c, http.MethodGet, address).Code; got != 200 {
						t.Errorf("%s: <%s> loads %s: status %d", name, n.tag, address, got)
					}
				}
			}
			for attribute := range n.attr {
				if attribute == "style" || strings.HasPrefix(attribute, "on") {
					t.Errorf("%s: <%s %s> is forbidden by the content security policy", name, n.tag, attribute)
				}
			}
			if slices.Contains([]string{"style", "iframe", "object", "embed", "form", "base", "img", "audio", "video"}, n.tag) {
				t.Errorf("%s: <%s> is forbidden by the content security policy, or has no business here", name, n.tag)
			}
		})
	}
	for _, file := range []string{"assets/page.css", "assets/page.js", "assets/favicon.svg", "assets/favicon-alarm.svg"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := regexp.MustCompile(`https?://|url\(|@import|eval\(|new Function|innerHTML`)
		if found := elsewhere.FindString(strings.ReplaceAll(string(text), `xmlns="http://www.w3.org/2000/svg"`, "")); found != "" {
			t.Errorf("%s has %q", file, found)
		}
	}
}

// TestPagesNeedNoScript: all that the script does is to bring the page up to date, which a
// browser without it does by itself.
func TestPagesNeedNoScript(t *testing.T) {
	for name, page := range everyPage(t) {
		if len(page.one(t, "main").all("script")) > 0 {
			t.Errorf("%s: a script is part of the content", name)
		}
		page.one(t, "main").each(func(n *node) {
			if _, hidden := n.attr["hidden"]; hidden {
				t.Errorf("%s: <%s> is hidden until a script shows it", name, n.tag)
			}
		})
		scripts, live := page.all("script"), name != "no page"
		if got := len(scripts) == 1 && len(page.all("noscript")) == 1; got != live {
			t.Fatalf("%s: %d scripts and %d noscript", name, len(scripts), len(page.all("noscript")))
		}
		if !live {
			continue
		}
		if _, ok := scripts[0].attr["defer"]; !ok {
			t.Errorf("%s: the script holds up the page", name)
		}
		if reload := page.one(t, "noscript", "meta").attr; reload["http-equiv"] != "refresh" || reload["content"] != "10" {
			t.Errorf("%s: without the script it reloads by %v", name, reload)
		}
	}
	c := full(t, busy(now()))
	c.Refresh = -1
	page := open(t, c, "/", 200)
	if len(page.all("script"))+len(page.all("noscript"))+len(page.all("#live")) > 0 || page.one(t, "body").attr["data-refresh"] != "0" {
		t.Error("a page that is never refreshed has the script, or says that it is live")
	}
}

// TestPagesCanBeReadByAll looks for the few things that screen readers and keyboards need.
func TestPagesCanBeReadByAll(t *testing.T) {
	for name, page := range everyPage(t) {
		if page.one(t, "html").attr["lang"] != "en" || page.one(t, "meta").attr["charset"] != "utf-8" || page.one(t, "title").says() == "" {
			t.Errorf("%s lacks a language, a charset or a title", name)
		}
		if got := len(page.all("h1")); got != 1 {
			t.Errorf("%s has %d h1", name, got)
		}
		seen := make(map[string]bool)
		page.each(func(n *node) {
			if id, ok := n.attr["id"]; ok {
				if id == "" || seen[id] {
					t.Errorf("%s: the id %q is empty or there twice", name, id)
				}
				seen[id] = true
			}
		})
		page.each(func(n *node) {
			if mark := n.attr["href"]; n.tag == "use" && !seen[strings.TrimPrefix(mark, "#")] {
				t.Errorf("%s: there is no mark %s", name, mark)
			}
			if by := n.attr["aria-labelledby"]; by != "" && !seen[by] {
				t.Errorf("%s: labelled by %q, which is not there", name, by)
			}
			if n.tag == "svg" && n.attr["aria-hidden"] != "true" && n.attr["aria-label"] == "" {
				t.Errorf("%s: a picture without words: %v", name, n.attr)
			}
			if n.tag == "time" && n.attr["datetime"] == "" {
				t.Errorf("%s: a time without a date: %q", name, n.says())
			}
			// A state is never told by colour alone: beside each mark is a word.
			if class := strings.Fields(n.attr["class"]); slices.Contains(class, "state") && n.says() == "" {
				t.Errorf("%s: a state without a word", name)
			}
		})
	}
}
