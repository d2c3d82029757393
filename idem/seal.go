package idem

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
)

// SealKey is one key of a [Keyring].
type SealKey struct {
	// ID names the key, 1 to 255 bytes. It is stored beside what the key has sealed.
	ID string
	// Secret is at least 32 random bytes. It is copied.
	Secret []byte
}

// String does not show the secret.
func (k SealKey) String() string { return fmt.Sprintf("SealKey(%q)", k.ID) }

// GoString does not show the secret.
func (k SealKey) GoString() string { return k.String() }

// LogValue does not show the secret.
func (k SealKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Keyring encrypts what a Guard leaves in its store, and notices if it was changed: results,
// recorded errors and what [Step]s have kept. Whoever can read the store learns how long
// they are and no more; whoever can write it cannot make up an outcome, nor pass that of
// another key, or of another run of this one, off as its own; a whole record that is put back as it
// was before, as from a backup, opens again. Keys and fingerprints are not
// encrypted: digest what must not be read there, with a secret if it can be guessed.
//
// It uses AES-256-GCM with a key of its own for every record, derived with HKDF-SHA-256, so
// that no number of records wears a key out. Make one with [NewKeyring]. It is safe for
// concurrent use and does not change.
//
// To change keys, first add the new one as an older one everywhere, then make it the current
// one, and drop the old one when [Config.Keep] has passed since.
type Keyring struct {
	current string
	derive  map[string][]byte // by ID: what record keys are derived from
	plain   bool              // opens what is not sealed, too
}

// NewKeyring makes a keyring that seals with current and opens with all.
func NewKeyring(current SealKey, older ...SealKey) (*Keyring, error) {
	k := &Keyring{current: current.ID, derive: make(map[string][]byte)}
	for _, key := range append([]SealKey{current}, older...) {
		switch {
		case key.ID == "" || len(key.ID) > 255:
			return nil, fmt.Errorf("idem: SealKey.ID has %d bytes; it must have 1 to 255", len(key.ID))
		case k.derive[key.ID] != nil:
			return nil, fmt.Errorf("idem: two SealKeys have the ID %q", key.ID)
		case len(key.Secret) < 32:
			return nil, fmt.Errorf("idem: SealKey.Secret of %q has %d bytes; it must have at least 32, all random", key.ID, len(key.Secret))
		}
		prk, err := hkdf.Extract(sha256.New, key.Secret, []byte("once/idem seal"))
		if err != nil {
			return nil, fmt.Errorf("idem: SealKey %q: %w", key.ID, err)
		}
		k.derive[key.ID] = prk
	}
	return k, nil
}

// AcceptUnsealed returns a keyring like k that opens also what is not sealed. Use it when
// sealing is introduced, until [Config.Keep] has passed. Until then whoever can write the
// store can make up outcomes.
func (k *Keyring) AcceptUnsealed() *Keyring {
	return &Keyring{current: k.current, derive: maps.Clone(k.derive), plain: true}
}

// String does not show secrets.
func (k *Keyring) String() string {
	return fmt.Sprintf("Keyring(%d keys, sealing with %q)", len(k.derive), k.current)
}

// GoString does not show secrets.
func (k *Keyring) GoString() string { return k.String() }

// sealNonce is the length of the random part that a record's key is derived from.
const sealNonce = 32

var (
	errSealKey = errors.New("it is sealed with a key that is not on the keyring")
	errSeal    = errors.New("it does not open: it was changed, or belongs to another record")
)

// seal returns data sealed and bound to context: a tag, the key's ID behind its length, a
// nonce, and the ciphertext.
func (k *Keyring) seal(context, data []byte) []byte {
	header := make([]byte, 0, 2+len(k.current)+sealNonce+len(data)+16)
	header = append(header, tagSealed, byte(len(k.current))) //nolint:gosec // NewKeyring sees to it
	header = append(header, k.current...)
	header = append(header, make([]byte, sealNonce)...)
	nonce := header[len(header)-sealNonce:]
	_, _ = rand.Read(nonce) // never fails: see crypto/rand
	aead, n, err := recordKey(k.derive[k.current], nonce)
	if err != nil {
		panic("idem: " + err.Error()) // for sizes that are constants here
	}
	return aead.Seal(header, n, data, append(context, header...))
}

// open undoes seal.
func (k *Keyring) open(context, sealed []byte) ([]byte, error) {
	if len(sealed) < 2 || len(sealed) < 2+int(sealed[1])+sealNonce {
		return nil, errSeal
	}
	header := sealed[:2+int(sealed[1])+sealNonce]
	prk := k.derive[string(header[2:2+int(sealed[1])])]
	if prk == nil {
		return nil, errSealKey
	}
	aead, n, err := recordKey(prk, header[len(header)-sealNonce:])
	if err != nil {
		return nil, err
	}
	data, err := aead.Open(nil, n, sealed[len(header):], append(context, header...))
	if err != nil {
		return nil, errSeal
	}
	return data, nil
}

// recordKey derives the key and the GCM nonce of one record.
func recordKey(prk, nonce []byte) (aead cipher.AEAD, gcmNonce []byte, err error) {
	const keySize, gcmNonceSize = 32, 12
	material, err := hkdf.Expand(sha256.New, prk, string(nonce), keySize+gcmNonceSize)
	if err != nil {
		return nil, nil, fmt.Errorf("derive a record's key: %w", err)
	}
	block, err := aes.NewCipher(material[:keySize])
	if err != nil {
		return nil, nil, fmt.Errorf("derive a record's key: %w", err)
	}
	aead, err = cipher.NewGCM(block)
	if err != nil {
		return nil, nil, fmt.Errorf("derive a record's key: %w", err)
	}
	return aead, material[keySize:], nil
}
