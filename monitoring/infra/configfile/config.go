package configfile

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/yamldoc"
)

// Config is a configuration as it was written, with its defaults filled in and its paths
// made relative to the working directory.
type Config struct {
	File    string
	Replica string
	Listen  string

	// ExternalURL is where people find the page, without a slash at the end; "" = where it listens.
	ExternalURL string

	Database string
	Interval time.Duration
	CatchUp  bool
	Keep     time.Duration // 0 = the database's default
	Rules    []string      // paths of rule files
	Targets  []Target
	Sinks    []Sink
	Delivery Delivery
}

// TargetKind says how a target is read.
type TargetKind string

// The kinds of targets.
const (
	Scrape TargetKind = "scrape"
	Probe  TargetKind = "probe"
)

// Target is one thing to watch.
type Target struct {
	Name    string
	Kind    TargetKind
	URL     string
	Labels  domain.Labels
	Timeout time.Duration // 0 = the monitor's default

	BearerToken string // of a scrape

	Method      string // of a probe, as the following
	Header      map[string]string
	Status      []int
	BodyMatches *regexp.Regexp
	NoRedirects bool
}

// SinkKind says what a sink speaks.
type SinkKind string

// The kinds of sinks.
const (
	Webhook      SinkKind = "webhook"
	Alertmanager SinkKind = "alertmanager"
)

// Sink is one destination of alerts.
type Sink struct {
	Name    string
	Kind    SinkKind
	URL     string
	Secrets []string      // of a webhook: what signs its requests; none = unsigned
	Header  http.Header   // of a webhook
	Timeout time.Duration // 0 = the sink's default
	Refresh time.Duration // of an Alertmanager
}

// Delivery says how hard it is tried to deliver a message. Zero fields mean the relay's defaults.
type Delivery struct {
	Attempts            int
	FirstWait, LastWait time.Duration
	Probe, Lease, Drain time.Duration
}

const (
	defaultListen    = "127.0.0.1:9465"
	defaultInterval  = time.Minute
	defaultRefresh   = 30 * time.Second
	minLease         = 100 * time.Millisecond
	maxSinks         = 255
	defaultLastWait  = 10 * time.Hour
	defaultFirstWait = 5 * time.Second
)

// Load reads a configuration. Each problem found is a [*yamldoc.Error] of its own, all
// joined; with an error the Config is of no use.
func Load(path string) (Config, error) {
	doc, err := yamldoc.Read(path)
	if err != nil {
		return Config{}, err
	}
	return configOf(doc)
}

// Parse is Load for a text; name is what errors call it, and what paths are relative to.
func Parse(name string, data []byte) (Config, error) {
	doc, err := yamldoc.Parse(name, data)
	if err != nil {
		return Config{}, err
	}
	return configOf(doc)
}

func configOf(doc *yamldoc.Doc) (Config, error) {
	f := &file{doc, filepath.Dir(doc.Name)}
	if doc.Root == nil {
		f.Reportf(nil, "is empty; it needs at least database and rules")
		return Config{}, f.Err()
	}
	c := f.config(doc.Root)
	return c, f.Err()
}

// file is a configuration being read.
type file struct {
	*yamldoc.Doc
	dir string
}

func (f *file) config(n *yaml.Node) Config {
	fields := f.Fields(n, "the configuration",
		"replica", "listen", "external_url", "database", "interval", "missed", "keep", "rules", "targets", "sinks", "delivery")
	if fields == nil {
		return Config{}
	}
	c := Config{
		File:        f.Name,
		Replica:     f.Text(fields["replica"]),
		Listen:      f.listen(fields["listen"]),
		ExternalURL: f.externalURL(fields["external_url"]),

		Database: f.database(n, fields["database"]),
		Interval: f.interval(fields["interval"]),
		CatchUp:  f.missed(fields["missed"]),
		Keep:     f.positive(fields["keep"], 0, domain.MaxWindow),
		Rules:    f.rules(n, fields["rules"]),
		Delivery: f.delivery(fields["delivery"]),
	}
	if c.Replica == "" {
		c.Replica, _ = os.Hostname()
	}
	if c.Replica == "" {
		f.Reportf(n, "replica is not given and the host has no name; give each replica a name of its own")
	}
	names := make(map[string]bool)
	for _, n := range f.List(fields["targets"]) {
		c.Targets = append(c.Targets, f.target(yamldoc.Resolve(n), names))
	}
	c.Sinks = f.sinks(fields["sinks"])
	return c
}

func (f *file) externalURL(d yamldoc.Field) string {
	if !d.Given() {
		return ""
	}
	return strings.TrimSuffix(f.url(d), "/")
}

func (f *file) database(n *yaml.Node, d yamldoc.Field) string {
	path := f.Text(d)
	if path == "" {
		if f.Problems() == 0 {
			f.Reportf(n, "database is missing: give the path of the SQLite file that the replicas share")
		}
		return ""
	}
	return f.path(path)
}

// path makes a path of the file's relative to the working directory.
func (f *file) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(f.dir, p)
}

func (f *file) interval(d yamldoc.Field) time.Duration {
	interval := f.Duration(d, defaultInterval)
	if interval < domain.MinInterval || interval > domain.MaxInterval {
		f.Reportf(d.Value, "interval: %s is not between %s and %s",
			domain.FormatDuration(interval), domain.FormatDuration(domain.MinInterval), domain.FormatDuration(domain.MaxInterval))
	}
	return interval
}

// positive reads a duration that is at least least, if it is given.
func (f *file) positive(d yamldoc.Field, otherwise, least time.Duration) time.Duration {
	before := f.Problems()
	value := f.Duration(d, otherwise)
	if d.Given() && f.Problems() == before && value < least {
		f.Reportf(d.Value, "%s: %s is too short; it must be at least %s", d.Key.Value, domain.FormatDuration(value), domain.FormatDuration(least))
	}
	return value
}

func (f *file) missed(d yamldoc.Field) bool {
	switch text := f.Text(d); text {
	case "", "skip":
		return false
	case "catch-up":
		return true
	default:
		f.Reportf(d.Value, "missed: %q is unknown; want skip or catch-up", text)
		return false
	}
}

func (f *file) rules(n *yaml.Node, d yamldoc.Field) []string {
	if !d.Given() {
		f.Reportf(n, "rules is missing: give the paths of rule files")
		return nil
	}
	var paths []string
	for _, pattern := range f.Texts(d) {
		found, err := filepath.Glob(f.path(pattern))
		switch {
		case err != nil:
			f.Reportf(d.Value, "rules: %q is no path or pattern of paths: %v", pattern, err)
		case len(found) == 0:
			f.Reportf(d.Value, "rules: no file is called %s", f.path(pattern))
		}
		for _, path := range found {
			if !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

func (f *file) delivery(d yamldoc.Field) Delivery {
	if !d.Given() {
		return Delivery{}
	}
	fields := f.Fields(d.Value, "delivery", "attempts", "first_wait", "last_wait", "probe", "lease", "drain")
	out := Delivery{
		Attempts:  f.Int(fields["attempts"], 0, 1),
		FirstWait: f.positive(fields["first_wait"], 0, time.Millisecond),
		LastWait:  f.positive(fields["last_wait"], 0, time.Millisecond),
		Probe:     f.positive(fields["probe"], 0, time.Millisecond),
		Lease:     f.positive(fields["lease"], 0, minLease),
		Drain:     f.positive(fields["drain"], 0, time.Millisecond),
	}
	if (out.FirstWait != 0) != (out.LastWait != 0) {
		first, last := out.FirstWait, out.LastWait
		if first == 0 {
			first = min(defaultFirstWait, last)
		}
		if last == 0 {
			last = max(defaultLastWait, first)
		}
		out.FirstWait, out.LastWait = first, last
	}
	if out.FirstWait > out.LastWait {
		f.Reportf(fields["last_wait"].Value, "last_wait: %s is shorter than first_wait", domain.FormatDuration(out.LastWait))
	}
	return out
}
