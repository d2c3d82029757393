package chaos

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

const ruleFile = `groups:
  - name: shop
    interval: 250ms
    rules:
      - alert: ReleaseFails
        expr: shop_error_ratio > 0.05
        for: 500ms
        labels: {severity: page}
        annotations:
          summary: "{{ $value | humanizePercentage }} of the requests to release {{ $labels.release }} fail"
`

const monitorFile = `replica: %s
listen: %s
database: monitor.db
rules: [rules.yml]
targets:
  - name: shop
    scrape: %s/metrics
    timeout: 240ms
sinks:
  - name: pager
    webhook: %s/alerts
    timeout: %v
delivery: {attempts: 1000, first_wait: 100ms, last_wait: 1s, probe: 200ms, lease: 1s, drain: 3s}
`

// configure writes the files of two replicas that share a database.
func (r *run) configure(shop, receiver string) error {
	if err := os.WriteFile(filepath.Join(r.dir, "rules.yml"), []byte(ruleFile), 0o600); err != nil {
		return fmt.Errorf("write the rules: %w", err)
	}
	fmt.Fprintf(r.c.Out, "what fails when is drawn with --seed=%d\n", r.c.Seed)
	r.database = filepath.Join(r.dir, "monitor.db")
	for _, name := range []string{"a", "b"} {
		page, err := freeAddress()
		if err != nil {
			return err
		}
		path := filepath.Join(r.dir, name+".yml")
		text := fmt.Sprintf(monitorFile, name, page, shop, receiver, patience)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return fmt.Errorf("write the configuration: %w", err)
		}
		args := []string{"serve", "--config", path, "--until-stdin-closes"}
		if r.c.Naive {
			args = append(args, "--naive")
		}
		r.replicas = append(r.replicas, &replica{name: name, args: args, log: filepath.Join(r.dir, name+".log")})
		fmt.Fprintf(r.c.Out, "replica %s: http://%s\n", name, page)
	}
	return nil
}

// freeAddress finds a port that nobody listens on.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
