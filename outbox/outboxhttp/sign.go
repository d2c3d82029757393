package outboxhttp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	secretPrefix = "whsec_"
	minSecret    = 24 // bytes, by Standard Webhooks
	maxSecret    = 64
)

// NewSecret makes a signing secret of 32 random bytes, to be shared with the receiver.
func NewSecret() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(key[:])
}

// keys are signing secrets, decoded.
type keys struct{ list [][]byte }

// parseSecrets decodes secrets. Errors say which one is wrong, and nothing of its content.
func parseSecrets(secrets []string) (*keys, error) {
	k := &keys{}
	for i, s := range secrets {
		key, err := parseSecret(s)
		if err != nil {
			return nil, fmt.Errorf("[%d] %w", i, err)
		}
		k.list = append(k.list, key)
	}
	return k, nil
}

func parseSecret(s string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(s, secretPrefix)
	if !ok {
		return nil, errors.New("does not begin with whsec_: it must be whsec_ and the secret's bytes in base64; see NewSecret")
	}
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	switch {
	case err != nil:
		return nil, errors.New("is not whsec_ followed by base64; see NewSecret")
	case len(key) < minSecret, len(key) > maxSecret:
		return nil, fmt.Errorf("decodes to %d bytes: it must be %d to %d; see NewSecret", len(key), minSecret, maxSecret)
	}
	return key, nil
}

// mac is the signature of a request with key.
func mac(key []byte, id, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id))
	h.Write([]byte{'.'})
	h.Write([]byte(timestamp))
	h.Write([]byte{'.'})
	h.Write(body)
	return h.Sum(nil)
}

// sign is the signature header of a request: one signature a key; "" without keys.
func (k *keys) sign(id, timestamp string, body []byte) string {
	var b strings.Builder
	for i, key := range k.list {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("v1,")
		b.WriteString(base64.StdEncoding.EncodeToString(mac(key, id, timestamp, body)))
	}
	return b.String()
}
