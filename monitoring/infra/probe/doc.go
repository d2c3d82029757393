// Package probe asks an HTTP endpoint whether it is well, and says what it saw as
// series named as the blackbox exporter names them:
//
//	probe_success                    1 if everything asked for was met, else 0
//	probe_duration_seconds           from the first byte sent to the last one read
//	probe_http_status_code           of the last answer; 0 if there was none
//	probe_http_redirects             followed
//	probe_http_content_length        -1 if unknown
//	probe_http_ssl                   1 if the last answer came over TLS
//	probe_ssl_earliest_cert_expiry   Unix seconds; only over TLS
//	probe_ssl_expires_in_seconds     the same from now on, for rules without arithmetic; only over TLS
//	probe_failed_due_to_regex        1 if the body did not match; only if a pattern is asked for
//
// That the endpoint does not answer is what a probe is there to see: it is an
// observation with a Problem, not an error.
package probe
