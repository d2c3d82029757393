package testservices

import (
	"context"
	"path/filepath"
	"testing"
)

// alertmanagerConfig groups nothing and notifies nobody: tests look at the API.
const alertmanagerConfig = `route:
  receiver: nobody
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: nobody
`

// Alertmanager returns a Prometheus Alertmanager; its API is at URL()+"/api/v2".
// An empty config receives alerts and notifies nobody; a shared server keeps its own
// configuration.
func Alertmanager(tb testing.TB, config string) *Server {
	tb.Helper()
	return acquire(tb, alertmanager(config))
}

func alertmanager(config string) Service {
	if config == "" {
		config = alertmanagerConfig
	}
	return Service{
		Name:     "alertmanager",
		Env:      "ONCE_ALERTMANAGER_URL",
		Binaries: []string{"prometheus-alertmanager", "alertmanager"},
		Install:  "apt-get install -y --no-install-recommends prometheus-alertmanager",
		Prepare: func(_ context.Context, in Instance) error {
			return writeFile(filepath.Join(in.Dir, "alertmanager.yml"), config)
		},
		Args: func(in Instance) []string {
			return []string{
				"--config.file=" + filepath.Join(in.Dir, "alertmanager.yml"),
				"--storage.path=" + filepath.Join(in.Dir, "data"),
				"--web.listen-address=" + in.Addr,
				"--cluster.listen-address=", // alone: no gossip port
			}
		},
		URL:   func(in Instance) string { return "http://" + in.Addr },
		Ready: httpReady("/-/ready"),
	}
}

// services lists every service by name, for ONCE_REQUIRE.
func services() []Service {
	return []Service{alertmanager(""), nodeExporter()}
}
