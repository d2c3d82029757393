package configfile_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/infra/configfile"
)

// parse parses a configuration in a folder that has the rule file rules.yml.
func parse(t *testing.T, text string) (configfile.Config, string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"rules.yml": "groups: []\n", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "two": "a\nb\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := configfile.Parse(filepath.Join(dir, "monitor.yml"), []byte(text))
	return c, dir, err
}

func TestDefaults(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	c, dir, err := parse(t, "database: monitor.db\nrules: rules.yml\n")
	if err != nil {
		t.Fatal(err)
	}
	want := configfile.Config{
		File: filepath.Join(dir, "monitor.yml"), Replica: host, Listen: "127.0.0.1:9465",
		Database: filepath.Join(dir, "monitor.db"), Interval: time.Minute, Rules: []string{filepath.Join(dir, "rules.yml")},
	}
	c.Sinks = nil
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestEverythingThatCanBeSaid(t *testing.T) {
	c, dir, err := parse(t, `
replica: a
listen: :9000
external_url: https://monitor.example/
database: /var/lib/monitor.db
interval: 15s
missed: catch-up
keep: 2d
rules: ["*.yml"]
targets:
  - name: node
    scrape: http://127.0.0.1:9100/metrics
    labels: {job: host, instance: one}
    timeout: 5s
    bearer_token_file: secret
  - name: shop
    probe: https://user:pass@shop.example/health
    method: HEAD
    headers: {Accept: text/plain}
    status: [200, 204]
    body_matches: ^ok
    no_redirects: true
sinks:
  - name: pager
    webhook: https://pager.example/hook
    secret_files: secret
    headers: {x-team: core}
    timeout: 1s500ms
  - name: am
    alertmanager: http://127.0.0.1:9093
    refresh: 10s
delivery: {attempts: 3, first_wait: 1s, last_wait: 1m, probe: 1s, lease: 2s, drain: 3s}
`)
	if err != nil {
		t.Fatal(err)
	}
	if c.Replica != "a" || c.Listen != ":9000" || c.ExternalURL != "https://monitor.example" || c.Database != "/var/lib/monitor.db" || c.Interval != 15*time.Second || !c.CatchUp || c.Keep != 48*time.Hour ||
		!slices.Equal(c.Rules, []string{filepath.Join(dir, "monitor.yml"), filepath.Join(dir, "rules.yml")}[1:]) {
		t.Errorf("head: %+v", c)
	}
	secret := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	node, shop := c.Targets[0], c.Targets[1]
	if node.Kind != configfile.Scrape || node.URL != "http://127.0.0.1:9100/metrics" || node.BearerToken != secret || node.Timeout != 5*time.Second ||
		!node.Labels.Equal(domain.LabelsOf("job", "host", "instance", "one")) {
		t.Errorf("node: %+v", node)
	}
	if shop.Kind != configfile.Probe || shop.Method != "HEAD" || shop.Header["Accept"] != "text/plain" || !slices.Equal(shop.Status, []int{200, 204}) ||
		!shop.BodyMatches.MatchString("okay") || !shop.NoRedirects ||
		!shop.Labels.Equal(domain.LabelsOf("job", "shop", "instance", "https://user:xxxxx@shop.example/health")) {
		t.Errorf("shop: %+v", shop)
	}
	pager, am := c.Sinks[0], c.Sinks[1]
	if pager.Kind != configfile.Webhook || !slices.Equal(pager.Secrets, []string{secret}) || pager.Header.Get("X-Team") != "core" || pager.Timeout != 1500*time.Millisecond {
		t.Errorf("pager: %+v", pager)
	}
	if am.Kind != configfile.Alertmanager || am.URL != "http://127.0.0.1:9093" || am.Refresh != 10*time.Second {
		t.Errorf("am: %+v", am)
	}
	want := configfile.Delivery{Attempts: 3, FirstWait: time.Second, LastWait: time.Minute, Probe: time.Second, Lease: 2 * time.Second, Drain: 3 * time.Second}
	if c.Delivery != want {
		t.Errorf("delivery: %+v", c.Delivery)
	}
}

func TestMistakesAreNamedWithPlaceAndRemedy(t *testing.T) {
	const head = "database: d\nrules: rules.yml\n"
	for name, c := range map[string]struct{ text, want string }{
		"empty":                     {"", "monitor.yml: is empty; it needs at least database and rules"},
		"no mapping":                {"- a", "1:1: the configuration must be a mapping"},
		"unknown field":             {head + "sink: []", `3:1: the configuration has no field "sink"; it may have replica`},
		"field of a target":         {head + "targets:\n  - {name: a, scrape: 'http://a', interval: 1s}", `4:35: a target has no field "interval"`},
		"twice":                     {head + "keep: 1d\nkeep: 2d", `4:1: field "keep" is there twice`},
		"bad duration":              {head + "interval: 15", "3:11: interval: \"15\" is not a duration"},
		"interval out of range":     {head + "interval: 2d", "3:11: interval: 2d is not between 10ms and 1d"},
		"no database":               {"rules: rules.yml", "1:1: database is missing"},
		"no rules":                  {"database: d", "1:1: rules is missing"},
		"no such rules":             {"database: d\nrules: [none.yml]", "none.yml"},
		"bad pattern":               {"database: d\nrules: '[a'", `rules: "[a" is no path`},
		"missed":                    {head + "missed: maybe", `3:9: missed: "maybe" is unknown; want skip or catch-up`},
		"listen":                    {head + "listen: here", `3:9: listen: "here" is no address; want one like`},
		"listen port":               {head + "listen: 'a:99999'", `3:9: listen: "99999" is no port`},
		"syntax":                    {head + "targets: [", "monitor.yml:3:1: not valid YAML"},
		"two documents":             {head + "---\na: b", "a second document"},
		"target without name":       {head + "targets: [{scrape: 'http://a'}]", "3:11: the target has no name"},
		"target twice":              {head + "targets: [{name: a, scrape: 'http://a'}, {name: a, scrape: 'http://b'}]", `target "a" is there twice`},
		"target of no kind":         {head + "targets: [{name: a}]", `target "a" needs either scrape`},
		"target of two kinds":       {head + "targets: [{name: a, scrape: 'http://a', probe: 'http://a'}]", `target "a" needs either scrape`},
		"probe field on scrape":     {head + "targets: [{name: a, scrape: 'http://a', method: GET}]", `a target that is scraped has no field "method"`},
		"token on probe":            {head + "targets: [{name: a, probe: 'http://a', bearer_token_file: secret}]", `a target that is probed has no field "bearer_token_file"`},
		"URL without scheme":        {head + "sinks:\n  - name: a\n    webhook: pager.example/hook", `5:14: webhook: "pager.example/hook" must begin with http:// or https://`},
		"URL that is none":          {head + "sinks:\n  - name: a\n    webhook: 'http://a b'", `5:14: webhook: "http://a b" is no URL`},
		"sink of no kind":           {head + "sinks: [{name: a}]", `sink "a" needs either webhook or alertmanager`},
		"refresh of webhook":        {head + "sinks: [{name: a, webhook: 'http://a', refresh: 1s}]", `a sink that is a webhook has no field "refresh"`},
		"secrets of alertmanager":   {head + "sinks: [{name: a, alertmanager: 'http://a', secrets: [b]}]", `a sink that is an Alertmanager has no field "secrets"`},
		"label":                     {head + "targets: [{name: a, scrape: 'http://a', labels: {'a-b': c}}]", `labels: "a-b" cannot be set here`},
		"header":                    {head + "targets: [{name: a, probe: 'http://a', headers: {'a b': c}}]", `headers: "a b" with value "c" cannot be sent`},
		"method":                    {head + "targets: [{name: a, probe: 'http://a', method: get}]", `method: "get" is no method`},
		"status":                    {head + "targets: [{name: a, probe: 'http://a', status: 600}]", `status: "600" is no HTTP status`},
		"body pattern":              {head + "targets: [{name: a, probe: 'http://a', body_matches: '('}]", "body_matches: error parsing regexp"},
		"boolean":                   {head + "targets: [{name: a, probe: 'http://a', no_redirects: yes}]", `no_redirects: "yes" is neither true nor false`},
		"no secret file":            {head + "sinks: [{name: a, webhook: 'http://a', secret_files: [gone]}]", "secret_files: open"},
		"secret file of two lines":  {head + "sinks: [{name: a, webhook: 'http://a', secret_files: [two]}]", "must hold one line"},
		"attempts":                  {head + "delivery: {attempts: 0}", `attempts: "0" is not a whole number of at least 1`},
		"lease too short":           {head + "delivery: {lease: 10ms}", "lease: 10ms is too short; it must be at least 100ms"},
		"waits in the wrong order":  {head + "delivery: {first_wait: 2s, last_wait: 1s}", "last_wait: 1s is shorter than first_wait"},
		"timeout of nothing":        {head + "targets: [{name: a, scrape: 'http://a', timeout: '0'}]", "timeout: 0 is too short"},
		"list where a text belongs": {"database: [a]\nrules: rules.yml", "1:11: database must be a text"},
		"text where a list belongs": {head + "targets: a", "3:10: targets must be a list"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parse(t, c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestAllMistakesShowAtOnce(t *testing.T) {
	_, _, err := parse(t, "database: d\nrules: rules.yml\nmissed: x\nkeep: y\nlisten: z\n")
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v, want three lines", err)
	}
}

func TestFileThatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone.yml")
	_, err := configfile.Load(path)
	if err == nil || !strings.HasPrefix(err.Error(), path+": cannot be read: no such file") {
		t.Error(err)
	}
}
