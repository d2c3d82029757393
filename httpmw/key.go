package httpmw

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
	"github.com/google/uuid"
)

// maxKey is the longest key, in bytes after unquoting. No published API allows more.
const maxKey = 255

// maxRawKey is the longest field value that can hold a key: every byte escaped, two
// quotes, and some room for parameters, which are ignored.
const maxRawKey = 2*maxKey + 2 + 512

var (
	errKeyMany    = errors.New("the key is given more than once")
	errKeyEmpty   = errors.New("the key is empty")
	errKeyLong    = errors.New("the key is longer than 255 bytes")
	errKeyForm    = errors.New("the key is not a string in double quotes (RFC 9651, section 3.3.3)")
	errKeyBare    = errors.New("a key without quotes may hold visible ASCII only, without quotes and commas")
	errKeyStrange = errors.New("the header is not a structured field string")
)

// parseKey reads the field lines of a key's header. The draft wants one structured
// field item of type string (draft-ietf-httpapi-idempotency-key-header-07, section 2.1);
// its parameters are ignored. Unless strict, a value that does not begin with a quote is
// the key as it stands.
func parseKey(lines []string, strict bool) (string, error) {
	if len(lines) != 1 {
		return "", errKeyMany
	}
	v := strings.Trim(lines[0], " \t")
	switch {
	case v == "":
		return "", errKeyEmpty
	case len(v) > maxRawKey:
		return "", errKeyLong
	case v[0] == '"':
		return parseQuoted(v)
	case strict:
		return "", errKeyForm
	}
	return parseBare(v)
}

func parseQuoted(v string) (string, error) {
	if k, ok := plainQuoted(v); ok {
		return checkKey(k)
	}
	item, err := httpsfv.UnmarshalItem([]string{v})
	if err != nil {
		return "", errKeyStrange
	}
	k, ok := item.Value.(string)
	if !ok {
		return "", errKeyStrange
	}
	return checkKey(k)
}

// plainQuoted is the fast path: a string without escapes and parameters needs no copy.
func plainQuoted(v string) (string, bool) {
	if len(v) < 2 || v[len(v)-1] != '"' {
		return "", false
	}
	k := v[1 : len(v)-1]
	for i := range len(k) {
		if c := k[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return "", false
		}
	}
	return k, true
}

func parseBare(v string) (string, error) {
	for i := range len(v) {
		// A comma is what is left of two header lines joined on the way.
		if c := v[i]; c <= 0x20 || c > 0x7e || c == '"' || c == ',' {
			return "", errKeyBare
		}
	}
	return checkKey(v)
}

func checkKey(k string) (string, error) {
	switch {
	case len(k) > maxKey:
		return "", errKeyLong
	case strings.Trim(k, " ") == "":
		return "", errKeyEmpty
	}
	return k, nil
}

// checkFreeKey checks a key that did not come from a header.
func checkFreeKey(k string) (string, error) {
	for i := range len(k) {
		if c := k[i]; c < 0x20 || c > 0x7e {
			return "", errKeyBare
		}
	}
	return checkKey(k)
}

// FreshUUIDv7 is an [IdempotencyConfig.KeyRule]: keys must be version 7 UUIDs made less
// than maxAge ago. With maxAge a little below the Guard's retention it closes the gap that
// every retention leaves open: a retry that comes later than the record lives, and would run as
// new, is refused with the code key-stale instead. Keys from more than a minute in the
// future are refused as well.
func FreshUUIDv7(maxAge time.Duration) func(key string) error {
	return func(key string) error {
		id, err := uuid.Parse(key)
		if err != nil || id.Version() != 7 || len(key) != 36 {
			return &Refusal{Status: 400, Code: CodeKeyInvalid, Detail: "The key must be a version 7 UUID (RFC 9562)."}
		}
		sec, nsec := id.Time().UnixTime()
		switch age := time.Since(time.Unix(sec, nsec)); {
		case age > maxAge:
			return &Refusal{Status: 400, Code: CodeKeyStale, Detail: fmt.Sprintf(
				"The key was made more than %v ago: whether its request took effect is no longer known here.", maxAge)}
		case age < -time.Minute:
			return &Refusal{Status: 400, Code: CodeKeyInvalid, Detail: "The key's time lies in the future."}
		}
		return nil
	}
}
