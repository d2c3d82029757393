package configfile

import (
	"time"

	"go.yaml.in/yaml/v3"

	"example.com/once/monitoring/yamldoc"
)

func (f *file) sinks(d yamldoc.Field) []Sink {
	nodes := f.List(d)
	if len(nodes) > maxSinks {
		f.Reportf(d.Value, "sinks: there may be at most %d", maxSinks)
		return nil
	}
	names := make(map[string]bool)
	sinks := make([]Sink, 0, len(nodes))
	for _, n := range nodes {
		sinks = append(sinks, f.sink(yamldoc.Resolve(n), names))
	}
	return sinks
}

func (f *file) sink(n *yaml.Node, names map[string]bool) Sink {
	fields := f.Fields(n, "a sink", "name", "webhook", "alertmanager", "secrets", "secret_files", "headers", "timeout", "refresh")
	if fields == nil {
		return Sink{}
	}
	s := Sink{
		Name:    f.name(n, fields["name"], "sink", names),
		Kind:    Webhook,
		Secrets: f.Texts(fields["secrets"]),
		Header:  f.header(fields["headers"]),
		Timeout: f.positive(fields["timeout"], 0, time.Millisecond),
		Refresh: f.positive(fields["refresh"], defaultRefresh, time.Second),
	}
	for _, path := range f.Texts(fields["secret_files"]) {
		s.Secrets = append(s.Secrets, f.secretFile(fields["secret_files"].Value, "secret_files", path))
	}
	webhook, alertmanager := fields["webhook"], fields["alertmanager"]
	switch {
	case webhook.Given() == alertmanager.Given():
		f.Reportf(n, "sink %q needs either webhook or alertmanager, the address to send to", s.Name)
	case alertmanager.Given():
		s.Kind, s.URL = Alertmanager, f.url(alertmanager)
		f.misplaced(fields, "a sink that is an Alertmanager", "secrets", "secret_files", "headers")
	default:
		s.URL = f.url(webhook)
		f.misplaced(fields, "a sink that is a webhook", "refresh")
	}
	return s
}
