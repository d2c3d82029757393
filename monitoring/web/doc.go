// Package web is the monitor's HTTP side, for people and for machines:
//
//	/                              the page: targets, rules, alerts, events, deliveries
//	/alerts/{rule}/{fingerprint}   the timeline of one alert, down to every delivery attempt
//	/healthz                       the process is alive
//	/readyz                        every part works; 503 and the part's name if one does not
//	/metrics                       Prometheus' text format
//	/api/v1/                       what the page shows, as JSON
//
// Everything is read from an [app.Reader] on each request; nothing here is kept or changed,
// and every method but GET and HEAD is refused. The pages are made on the server and complete
// without a script; the script, 3 kB of it, only keeps them up to date. All that a browser
// needs is embedded, and the content security policy lets it load nothing else.
//
// There is no authentication: listen on an address that only operators reach, or put a
// proxy in front.
package web
