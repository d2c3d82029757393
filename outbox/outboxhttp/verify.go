package outboxhttp

import (
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrUnverified is matched by every error of [Verifier.Verify].
var ErrUnverified = errors.New("outboxhttp: webhook not verified")

// Verifier checks the signatures of received webhooks. It is safe for concurrent use.
type Verifier struct {
	// Tolerance is how far a request's timestamp may lie from this machine's clock, on
	// either side. 0 = 5 minutes; negative = any distance. Set it before first use.
	Tolerance time.Duration

	keys *keys
}

// NewVerifier makes a Verifier that takes a request signed with any of the secrets, of the
// form that [NewSecret] makes. The error says which one is wrong.
func NewVerifier(secrets ...string) (*Verifier, error) {
	if len(secrets) == 0 {
		return nil, errors.New("outboxhttp: NewVerifier needs at least one secret")
	}
	k, err := parseSecrets(secrets)
	if err != nil {
		return nil, fmt.Errorf("outboxhttp: NewVerifier: secrets%w", err)
	}
	return &Verifier{keys: k}, nil
}

// Verify checks a request's headers against its body, which must be the bytes as received,
// before any decoding. Answer 401 if it fails. A request that passes may still be a repeat:
// its webhook-id, and the Idempotency-Key, are the same on every attempt.
func (v *Verifier) Verify(h http.Header, body []byte) error {
	id, err := single(h, headerID)
	if err != nil {
		return err
	}
	timestamp, err := single(h, headerTimestamp)
	if err != nil {
		return err
	}
	signatures := strings.Fields(strings.Join(h.Values(headerSignature), " "))
	if len(signatures) == 0 {
		return refuse("no webhook-signature header")
	}
	if err := v.signed(id, timestamp, body, signatures); err != nil {
		return err
	}
	return v.timely(timestamp)
}

// signed checks that one of the signatures was made with one of the keys.
func (v *Verifier) signed(id, timestamp string, body []byte, signatures []string) error {
	ours := make([][]byte, len(v.keys.list))
	for i, key := range v.keys.list {
		ours[i] = mac(key, id, timestamp, body)
	}
	for _, s := range signatures {
		encoded, ok := strings.CutPrefix(s, "v1,")
		if !ok {
			continue // another scheme
		}
		theirs, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			continue
		}
		for _, want := range ours {
			if hmac.Equal(theirs, want) {
				return nil
			}
		}
	}
	return refuse("no signature matches")
}

func (v *Verifier) timely(timestamp string) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return refuse("webhook-timestamp is not a number of seconds")
	}
	tolerance := v.Tolerance
	if tolerance == 0 {
		tolerance = 5 * time.Minute
	}
	if tolerance < 0 {
		return nil
	}
	switch age := time.Since(time.Unix(seconds, 0)); {
	case age > tolerance:
		return refuse("webhook-timestamp is too old")
	case age < -tolerance:
		return refuse("webhook-timestamp is too far in the future")
	}
	return nil
}

func single(h http.Header, name string) (string, error) {
	values := h.Values(name)
	if len(values) != 1 || values[0] == "" {
		return "", refuse("there must be one " + strings.ToLower(name) + " header")
	}
	return values[0], nil
}

func refuse(why string) error { return fmt.Errorf("%w: %s", ErrUnverified, why) }
