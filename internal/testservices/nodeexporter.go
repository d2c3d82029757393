package testservices

import "testing"

// NodeExporter returns a Prometheus node exporter; its series are at URL()+"/metrics".
func NodeExporter(tb testing.TB) *Server {
	tb.Helper()
	return acquire(tb, nodeExporter())
}

func nodeExporter() Service {
	return Service{
		Name:     "node-exporter",
		Env:      "ONCE_NODE_EXPORTER_URL",
		Binaries: []string{"prometheus-node-exporter", "node_exporter"},
		Install:  "apt-get install -y --no-install-recommends prometheus-node-exporter",
		Args: func(in Instance) []string {
			return []string{
				"--web.listen-address=" + in.Addr,
				// Few collectors: a scrape stays small, and none asks a daemon.
				"--collector.disable-defaults",
				"--collector.loadavg", "--collector.meminfo", "--collector.stat", "--collector.uname", "--collector.time",
			}
		},
		URL:   func(in Instance) string { return "http://" + in.Addr },
		Ready: httpReady("/metrics"),
	}
}
