// Package delivery keeps a record of every attempt at delivering a message, for the
// timeline of an alert: it wraps the publisher that does the delivering and tells an
// [app.AttemptLog] when an attempt begins and how it ends.
//
// A record is begun before anything is sent. So an attempt that was cut off, because the
// process was killed in the middle of it, stays on the timeline as one that never ended,
// instead of being missing from it.
//
// The log serves the reader of the page and nothing else. If it fails or hangs, messages
// are delivered all the same.
package delivery
