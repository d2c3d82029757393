package configfile

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/yamldoc"
)

func (f *file) target(n *yaml.Node, names map[string]bool) Target {
	fields := f.Fields(n, "a target", "name", "scrape", "probe", "labels", "timeout",
		"bearer_token_file", "method", "headers", "status", "body_matches", "no_redirects")
	if fields == nil {
		return Target{}
	}
	t := Target{
		Name:        f.name(n, fields["name"], "target", names),
		Kind:        Scrape,
		Timeout:     f.positive(fields["timeout"], 0, time.Millisecond),
		BearerToken: f.secret(fields["bearer_token_file"]),
		Method:      f.method(fields["method"]),
		Header:      f.headers(fields["headers"]),
		Status:      f.statuses(fields["status"]),
		BodyMatches: f.pattern(fields["body_matches"]),
		NoRedirects: f.Bool(fields["no_redirects"]),
	}
	scrape, probe := fields["scrape"], fields["probe"]
	switch {
	case scrape.Given() == probe.Given():
		f.Reportf(n, "target %q needs either scrape, the address of its metrics, or probe, the address to ask", t.Name)
	case probe.Given():
		t.Kind, t.URL = Probe, f.url(probe)
		f.misplaced(fields, "a target that is probed", "bearer_token_file")
	default:
		t.URL = f.url(scrape)
		f.misplaced(fields, "a target that is scraped", "method", "headers", "status", "body_matches", "no_redirects")
	}
	t.Labels = f.targetLabels(fields["labels"], t)
	return t
}

// misplaced reports fields that mean nothing where they are.
func (f *file) misplaced(fields map[string]yamldoc.Field, what string, names ...string) {
	for _, name := range names {
		if d, ok := fields[name]; ok {
			f.Reportf(d.Key, "%s has no field %q", what, name)
		}
	}
}

func (f *file) name(n *yaml.Node, d yamldoc.Field, what string, names map[string]bool) string {
	name := f.Text(d)
	switch {
	case name == "":
		f.Reportf(n, "the %s has no name", what)
	case names[name]:
		f.Reportf(d.Value, "%s %q is there twice; names must differ", what, name)
	}
	names[name] = true
	return name
}

// url reads an address, which must be absolute.
func (f *file) url(d yamldoc.Field) string {
	text := f.Text(d)
	u, err := url.Parse(text)
	switch {
	case err != nil:
		f.Reportf(d.Value, "%s: %q is no URL: %v", d.Key.Value, text, err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		f.Reportf(d.Value, "%s: %q must begin with http:// or https:// and name a host", d.Key.Value, text)
	}
	return text
}

// targetLabels adds job and instance, which tell series of different targets apart.
func (f *file) targetLabels(d yamldoc.Field, t Target) domain.Labels {
	m := map[string]string{"job": t.Name}
	if u, err := url.Parse(t.URL); err == nil {
		m["instance"] = u.Host
		if t.Kind == Probe {
			m["instance"] = u.Redacted()
		}
	}
	for name, entry := range f.Mapping(d) {
		if !domain.IsLabelName(name) || name == domain.MetricName || name == domain.AlertName {
			f.Reportf(entry.Key, "labels: %q cannot be set here", name)
			continue
		}
		m[name] = f.Text(entry)
	}
	return domain.NewLabels(m)
}

func (f *file) method(d yamldoc.Field) string {
	text := f.Text(d)
	if strings.ContainsFunc(text, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		f.Reportf(d.Value, "method: %q is no method; want one like GET or HEAD", text)
	}
	return text
}

func (f *file) headers(d yamldoc.Field) map[string]string {
	if !d.Given() {
		return nil
	}
	out := make(map[string]string)
	for name, entry := range f.Mapping(d) {
		value := f.Text(entry)
		if !isToken(name) || strings.ContainsAny(value, "\r\n\x00") {
			f.Reportf(entry.Key, "headers: %q with value %q cannot be sent", name, value)
			continue
		}
		out[name] = value
	}
	return out
}

func (f *file) header(d yamldoc.Field) http.Header {
	out := make(http.Header)
	for name, value := range f.headers(d) {
		out.Set(name, value)
	}
	return out
}

// isToken says whether s may name a header (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func (f *file) statuses(d yamldoc.Field) []int {
	var out []int
	for _, text := range f.Texts(d) {
		status, err := strconv.Atoi(text)
		if err != nil || status < 100 || status > 599 {
			f.Reportf(d.Value, "status: %q is no HTTP status", text)
			continue
		}
		out = append(out, status)
	}
	return out
}

func (f *file) pattern(d yamldoc.Field) *regexp.Regexp {
	text := f.Text(d)
	if text == "" {
		return nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		f.Reportf(d.Value, "body_matches: %v", err)
	}
	return re
}

// secret reads a file that holds one line.
func (f *file) secret(d yamldoc.Field) string {
	if !d.Given() {
		return ""
	}
	return f.secretFile(d.Value, d.Key.Value, f.Text(d))
}

func (f *file) secretFile(n *yaml.Node, what, path string) string {
	data, err := os.ReadFile(f.path(path))
	if err != nil {
		f.Reportf(n, "%s: %v", what, err)
		return ""
	}
	text := strings.TrimSpace(string(data))
	if text == "" || strings.ContainsAny(text, "\r\n") {
		f.Reportf(n, "%s: %s must hold one line", what, f.path(path))
	}
	return text
}
