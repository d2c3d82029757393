// Package configfile reads the monitor's configuration:
//
//	replica: a                      # names this replica in records; default: the host's name
//	listen: 127.0.0.1:9465          # page, API and metrics; this is the default
//	external_url: https://monitor.example  # where people find the page; default: where it listens
//	database: monitor.db            # SQLite file, shared by the replicas; required
//	interval: 15s                   # of rule groups that do not say; default 1m
//	missed: skip                    # slots missed in an outage: skip (default) or catch-up
//	keep: 7d                        # how long evaluations, events and deliveries are kept
//	rules: [rules.yml, more/*.yml]  # rule files; required
//	targets:
//	  - name: node
//	    scrape: http://127.0.0.1:9100/metrics
//	    labels: {job: node}         # besides instance, which is the URL's host unless given
//	    timeout: 10s
//	    bearer_token_file: token
//	  - name: shop
//	    probe: https://shop.example/health
//	    method: GET
//	    headers: {Accept: text/plain}
//	    status: [200, 204]          # default: 200 to 299
//	    body_matches: "^ok"
//	    no_redirects: true
//	sinks:
//	  - name: pager
//	    webhook: https://pager.example/hook
//	    secret_files: [secret]      # each with one whsec_... of Standard Webhooks; or secrets: [...]
//	    headers: {X-Team: core}
//	    timeout: 20s
//	  - name: alertmanager
//	    alertmanager: http://127.0.0.1:9093
//	    refresh: 30s                # how often firing alerts are posted again
//	delivery:
//	  attempts: 12                  # then a message becomes a dead letter
//	  first_wait: 5s
//	  last_wait: 10h
//	  probe: 5s                     # of a sink that is down
//	  lease: 15s                    # how long a killed replica's messages wait for another
//	  drain: 10s                    # how long ending may take
//
// Paths are relative to the file. A field that is unknown, or that does not fit, is
// refused with file, line, column and reason.
package configfile
