package service

import (
	"errors"
	"fmt"
	"net/url"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
	"example.com/once/monitoring/infra/configfile"
	"example.com/once/monitoring/infra/probe"
	"example.com/once/monitoring/infra/rulefile"
	"example.com/once/monitoring/infra/scrape"
)

func loadRules(c configfile.Config) ([]*domain.Rule, error) {
	rules, err := rulefile.Load(rulefile.Options{Interval: c.Interval}, c.Rules...)
	if err != nil {
		return nil, err
	}
	if len(rules) == 0 {
		return nil, fmt.Errorf("%s: rules: the files hold no alerting rule", c.File)
	}
	return rules, nil
}

func targets(c configfile.Config) ([]app.Target, error) {
	var errs []error
	all := make([]app.Target, 0, len(c.Targets))
	for _, t := range c.Targets {
		f, err := fetcher(t)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: target %q: %w", c.File, t.Name, err))
			continue
		}
		all = append(all, app.Target{
			Name: t.Name, Kind: string(t.Kind), URL: withoutSecrets(t.URL), Labels: t.Labels, Timeout: t.Timeout, Fetcher: f,
		})
	}
	return all, errors.Join(errs...)
}

func fetcher(t configfile.Target) (app.Fetcher, error) {
	if t.Kind == configfile.Probe {
		return probe.New(probe.Config{
			URL: t.URL, Method: t.Method, Header: t.Header, Status: t.Status, BodyMatches: t.BodyMatches, NoRedirects: t.NoRedirects,
		})
	}
	return scrape.New(scrape.Config{URL: t.URL, BearerToken: t.BearerToken})
}

func withoutSecrets(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	return u.Redacted()
}
