package web_test

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"example.com/once/monitoring/web"
)

// ask sends one request to a server that is made of c.
func ask(t testing.TB, c web.Config, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	s, err := web.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// open reads a page, whose status must be the given one, as a browser would.
func open(t testing.TB, c web.Config, path string, status int) *node {
	t.Helper()
	w := ask(t, c, http.MethodGet, path)
	if w.Code != status {
		t.Fatalf("GET %s: status %d, want %d: %s", path, w.Code, status, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Fatalf("GET %s: content type %q", path, got)
	}
	return parse(t, w.Body.String())
}

// node is an element of a page.
type node struct {
	tag  string
	attr map[string]string
	kids []*node
	text string // of a node without a tag
}

// parse reads HTML of the strict kind: every element is closed and every attribute quoted.
func parse(t testing.TB, body string) *node {
	t.Helper()
	void := []string{"meta", "link", "br", "img", "input", "hr"}
	d := xml.NewDecoder(strings.NewReader(body))
	d.Strict = false // for the entities and attributes of HTML
	d.Entity = xml.HTMLEntity
	root := &node{tag: "document"}
	open := []*node{root}
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page is not well formed: %v", err)
		}
		top := open[len(open)-1]
		switch token := token.(type) {
		case xml.CharData:
			top.kids = append(top.kids, &node{text: string(token)})
		case xml.StartElement:
			n := &node{tag: token.Name.Local, attr: make(map[string]string)}
			for _, a := range token.Attr {
				if _, twice := n.attr[a.Name.Local]; twice {
					t.Errorf("<%s> has %s twice", n.tag, a.Name.Local)
				}
				n.attr[a.Name.Local] = a.Value
			}
			top.kids = append(top.kids, n)
			if !slices.Contains(void, n.tag) {
				open = append(open, n)
			}
		case xml.EndElement:
			if token.Name.Local != top.tag {
				t.Fatalf("</%s> closes <%s class=%q>", token.Name.Local, top.tag, top.attr["class"])
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) != 1 {
		t.Fatalf("<%s> is never closed", open[len(open)-1].tag)
	}
	return root
}

// all returns the elements within n that match tag, .class or #id, in the page's order.
func (n *node) all(selector string) []*node {
	var found []*node
	for _, kid := range n.kids {
		ok := kid.tag == selector
		switch selector[0] {
		case '.':
			ok = kid.tag != "" && slices.Contains(strings.Fields(kid.attr["class"]), selector[1:])
		case '#':
			ok = kid.tag != "" && kid.attr["id"] == selector[1:]
		}
		if ok {
			found = append(found, kid)
		}
		found = append(found, kid.all(selector)...)
	}
	return found
}

// one follows a path of selectors, each of which takes the first match.
func (n *node) one(t testing.TB, path ...string) *node {
	t.Helper()
	for i, selector := range path {
		found := n.all(selector)
		if len(found) == 0 {
			t.Fatalf("there is no %s", strings.Join(path[:i+1], " "))
		}
		n = found[0]
	}
	return n
}

// says is the text of n as it is read: every run of spaces is one.
func (n *node) says() string {
	var b strings.Builder
	var walk func(*node)
	walk = func(n *node) {
		b.WriteString(n.text)
		for _, kid := range n.kids {
			walk(kid)
		}
		if slices.Contains([]string{"p", "li", "td", "th", "dt", "dd", "h1", "h2", "h3", "div", "tr"}, n.tag) {
			b.WriteByte(' ')
		}
	}
	walk(n)
	return strings.Join(strings.Fields(b.String()), " ")
}

// texts is what each of the nodes says.
func texts(nodes []*node) []string {
	out := make([]string, 0, len(nodes))
	for _, n := range nodes {
		out = append(out, n.says())
	}
	return out
}

// item returns the list's item whose text contains all words.
func (n *node) item(t testing.TB, list string, words ...string) *node {
	t.Helper()
	for _, kid := range n.one(t, list).kids {
		if kid.tag != "li" {
			continue
		}
		said := kid.says()
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(said, w) }) {
			return kid
		}
	}
	t.Fatalf("%s has no item with %q: %q", list, words, n.one(t, list).says())
	return nil
}

func get(t testing.TB, s *web.Server, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}
