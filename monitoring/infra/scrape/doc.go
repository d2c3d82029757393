// Package scrape reads targets that expose metrics over HTTP in Prometheus' text format
// or in OpenMetrics.
//
// A scrape is all or nothing: of an answer that breaks off, is too large or does not
// parse, no sample is used, and the target counts as one that could not be read.
// Failures that may pass, such as a refused connection or a 503, are repeated within the time
// that the caller gives.
package scrape
