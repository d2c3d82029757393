// Package scrape reads targets that expose metrics over HTTP in Prometheus' text format. A
// target that answers in OpenMetrics unasked is read too, but for the types info and
// stateset, which are refused.
//
// A scrape is all or nothing: of an answer that breaks off, is too large or does not
// parse, no sample is used, and the target counts as one that could not be read.
// Failures that may pass, such as a refused connection or a 503, are repeated within the time
// that the caller gives.
package scrape
