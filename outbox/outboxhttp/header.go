package outboxhttp

import (
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
)

const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
	headerKey       = "Idempotency-Key"
	headerType      = "Content-Type"
)

// reserved says whether a header belongs to the protocol: its value is set here, or by
// the transport.
func reserved(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case headerID, headerTimestamp, headerSignature, headerKey,
		"Host", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection",
		"Proxy-Authorization", "Te", "Trailer", "Upgrade", "Expect", "Accept-Encoding":
		return true
	}
	return false
}

// checkHeader checks a header of the configuration.
func checkHeader(name string, values []string) error {
	if !token(name) {
		return fmt.Errorf("%q is not a header name", name)
	}
	if reserved(name) {
		return fmt.Errorf("%s belongs to the protocol and cannot be set", http.CanonicalHeaderKey(name))
	}
	for _, v := range values {
		if !fieldValue(v) {
			return fmt.Errorf("%s has a value that cannot be sent: it holds control characters", http.CanonicalHeaderKey(name))
		}
	}
	return nil
}

// token says whether s can name a header (RFC 9110, section 5.6.2).
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// fieldValue says whether s can be a header's value (RFC 9110, section 5.5).
func fieldValue(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
}
