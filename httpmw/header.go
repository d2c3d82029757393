package httpmw

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// neverStored says which headers are left out of every record: what belongs to one
// connection, one moment or one caller, and what a replay computes itself.
func neverStored(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", // RFC 9110, 7.6.1
		"Content-Length", "Date", "Age",
		"Set-Cookie", "Set-Cookie2", "Clear-Site-Data",
		"Authorization", "Www-Authenticate", "Authentication-Info",
		"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info",
		"Traceparent", "Tracestate", "Server-Timing",
		HeaderReplayed:
		return true
	}
	return strings.HasPrefix(name, http.TrailerPrefix)
}

// changedFields returns what the handler set, changed or removed, in the order of names.
// base is what the writer held before the handler ran: what outer middleware has put
// there it will put there again on a replay, with that request's own values.
func changedFields(base, now http.Header, keep func(string) bool) []field {
	fields := make([]field, 0, len(now))
	named := now["Connection"]
	for name, values := range now {
		was, had := base[name]
		switch {
		case had && slices.Equal(was, values) && (was == nil) == (values == nil),
			neverStored(name), named != nil && listed(named, name), keep != nil && !keep(name):
			continue
		}
		fields = append(fields, field{name, values})
	}
	for name, values := range base {
		if _, ok := now[name]; !ok && values != nil && !neverStored(name) {
			fields = append(fields, field{name: name})
		}
	}
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	return fields
}

// listed reports whether a list header such as Connection names the given field.
func listed(lines []string, name string) bool {
	for _, line := range lines {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), name) {
				return true
			}
		}
	}
	return false
}

// replaceHeader makes to equal from. Values are shared.
func replaceHeader(to, from http.Header) {
	for name := range to {
		if _, ok := from[name]; !ok {
			delete(to, name)
		}
	}
	maps.Copy(to, from)
}

// trailerFields returns the trailers: those that the Trailer header declares, and those
// set under http.TrailerPrefix, which keep the prefix.
func trailerFields(declared []string, now http.Header) []field {
	var fields []field
	for _, line := range declared {
		for token := range strings.SplitSeq(line, ",") {
			name := http.CanonicalHeaderKey(strings.TrimSpace(token))
			if values := now[name]; len(values) > 0 && !neverStored(name) {
				fields = append(fields, field{name, values})
			}
		}
	}
	undeclared := len(fields)
	for name, values := range now {
		plain, ok := strings.CutPrefix(name, http.TrailerPrefix)
		if ok && len(values) > 0 && !neverStored(http.CanonicalHeaderKey(plain)) {
			fields = append(fields, field{name, values})
		}
	}
	slices.SortFunc(fields[undeclared:], func(a, b field) int { return strings.Compare(a.name, b.name) })
	return fields
}

// bodyAllowed says whether an answer with this status has a body (RFC 9110, 6.4.1).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
