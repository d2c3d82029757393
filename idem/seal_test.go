package idem_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"example.com/once/idem"
	"example.com/once/idem/internal/model"
)

func sealKey(id string) idem.SealKey {
	return idem.SealKey{ID: id, Secret: bytes.Repeat([]byte(id), 32)}
}

func keyring(t testing.TB, current string, older ...string) *idem.Keyring {
	t.Helper()
	var keys []idem.SealKey
	for _, id := range older {
		keys = append(keys, sealKey(id))
	}
	k, err := idem.NewKeyring(sealKey(current), keys...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// recording is a store that remembers all bytes it was given.
type recording struct {
	*idem.Memory

	seen []byte
}

func (r *recording) Renew(ctx context.Context, l idem.Lease, d time.Duration, p *idem.Progress) error {
	if p != nil {
		r.seen = append(r.seen, p.Data...)
	}
	return r.Memory.Renew(ctx, l, d, p)
}

func (r *recording) Complete(ctx context.Context, l idem.Lease, result []byte, keep time.Duration) (idem.Record, error) {
	r.seen = append(r.seen, result...)
	return r.Memory.Complete(ctx, l, result, keep)
}

func (r *recording) Resolve(ctx context.Context, k idem.Key, result []byte, keep time.Duration) (idem.Record, error) {
	r.seen = append(r.seen, result...)
	return r.Memory.Resolve(ctx, k, result, keep)
}

func TestSealedOutcomesComeBackAndAreNotReadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const secret = "card 4000-0000-0000-0002"
		for _, cache := range []int64{0, cacheSize} {
			s := &recording{Memory: &idem.Memory{}}
			g := newGuard(t, s, idem.Config{Seal: keyring(t, "a"), Cache: cache})
			steps := 0
			fn := func(ctx context.Context) (string, error) {
				got, err := idem.Step(ctx, "step of the secret", func(context.Context) (string, error) { steps++; return secret, nil })
				if a, _ := idem.Current(ctx); a.Number == 1 {
					return "", errBroken
				}
				return got, err
			}
			_, err := idem.DoValue(t.Context(), g, "k", fn)
			want(t, "first attempt", err, errBroken)
			rec, err := g.Inspect(t.Context(), "k")
			if err != nil || string(rec.Progress.Data) != "step of the secret" {
				t.Errorf("Inspect: %q, %v", rec.Progress.Data, err)
			}
			for range 2 {
				if got, err := idem.DoValue(t.Context(), g, "k", fn); got != secret || err != nil || steps != 1 {
					t.Errorf("%q, %v after %d steps", got, err, steps)
				}
			}
			_ = idem.Do(t.Context(), g, "final", failing(idem.Final(errors.New(secret))))
			if err := run(t, g, "final"); !errors.Is(err, idem.ErrRecorded) || err.Error() != secret {
				t.Errorf("recorded error: %v", err)
			}
			_ = idem.Do(t.Context(), g, "held", failing(idem.Hold(errBroken)))
			if rec, err := g.Resolve(t.Context(), "held", secret, nil); err != nil || string(rec.Result) != `"`+secret+`"` {
				t.Errorf("Resolve: %q, %v", rec.Result, err)
			}
			if got, err := idem.DoValue(t.Context(), g, "held", fn); got != secret || err != nil {
				t.Errorf("after Resolve: %q, %v", got, err)
			}
			if rec, err := g.Inspect(t.Context(), "k"); err != nil || string(rec.Result) != `"`+secret+`"` {
				t.Errorf("Inspect: %q, %v", rec.Result, err)
			}
			if len(s.seen) == 0 || bytes.Contains(s.seen, []byte("secret")) || bytes.Contains(s.seen, []byte("4000")) {
				t.Errorf("the store was given %q", s.seen)
			}
		}
	})
}

func TestSealedInATransaction(t *testing.T) {
	m := model.New(model.None)
	e := &effects{s: m}
	g := newTxGuard(t, m, idem.Config{Seal: keyring(t, "a")})
	for range 2 {
		if got, err := idem.DoTx(t.Context(), g, "k", e.charge(t)); got != "run 1" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if rec, err := m.Get(t.Context(), "k"); err != nil || bytes.Contains(rec.Result, []byte("run")) {
		t.Errorf("the store has %q, %v", rec.Result, err)
	}
}

// plant leaves a record with these bytes as its result.
func plant(t *testing.T, m *idem.Memory, k idem.Key, token uuid.UUID, result []byte) {
	t.Helper()
	_ = m.Delete(t.Context(), k)
	rec, err := m.Claim(t.Context(), idem.Claim{Key: k, Token: token, Lease: time.Hour, Keep: time.Hour})
	if err == nil {
		_, err = m.Complete(t.Context(), rec.Lease, result, time.Hour)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhoeverWritesTheStoreCannotMakeUpAnOutcome(t *testing.T) {
	m := &idem.Memory{}
	g := newGuard(t, m, idem.Config{Seal: keyring(t, "a")})
	value := func(context.Context) (string, error) { return "paid", nil }
	refused := func(what string, k idem.Key) {
		t.Helper()
		got, err := idem.DoValue(t.Context(), g, k, func(context.Context) (string, error) { t.Errorf("%s: it ran again", what); return "", nil })
		if got != "" || !errors.Is(err, idem.ErrNoResult) {
			t.Errorf("%s: %q, %v; want no result", what, got, err)
		}
		if rec, err := g.Inspect(t.Context(), k); rec.Result != nil || !errors.Is(err, idem.ErrNoResult) {
			t.Errorf("%s: Inspect: %q, %v", what, rec.Result, err)
		}
	}
	if _, err := idem.DoValue(t.Context(), g, "k", value); err != nil {
		t.Fatal(err)
	}
	rec, err := m.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	sealed := slices.Clone(rec.Result)
	plant(t, m, "k", rec.Lease.Token, sealed)
	if got, err := idem.DoValue(t.Context(), g, "k", value); got != "paid" || err != nil {
		t.Fatalf("put back as it was: %q, %v; the test plants wrongly", got, err)
	}
	for i := range sealed {
		changed := slices.Clone(sealed)
		changed[i] ^= 1
		plant(t, m, "k", rec.Lease.Token, changed)
		refused(fmt.Sprintf("byte %d changed", i), "k")
	}
	for n := range sealed {
		plant(t, m, "k", rec.Lease.Token, sealed[:n])
		refused(fmt.Sprintf("cut after %d bytes", n), "k")
	}
	plant(t, m, "other", rec.Lease.Token, sealed)
	refused("moved to another key", "other")
	plant(t, m, "k", uuid.New(), sealed)
	refused("moved to a later run of the key", "k")
	plant(t, m, "k", rec.Lease.Token, []byte("\x01\"made up\""))
	refused("not sealed", "k")

	// What the steps of another key have kept, or an outcome, is no progress.
	synctest.Test(t, func(t *testing.T) {
		for what, data := range map[string][]byte{"outcome": sealed, "plain": []byte("\x01\x01s\x02\x011"), "nothing sealed": {4}} {
			k := idem.Key("steps: " + what)
			if what == "outcome" {
				k = "k"
			}
			m := &idem.Memory{}
			claimed, err := m.Claim(t.Context(), idem.Claim{Key: k, Token: rec.Lease.Token, Lease: time.Second, Keep: time.Hour})
			if err == nil {
				err = m.Renew(t.Context(), claimed.Lease, time.Second, &idem.Progress{Seq: 1, Data: data})
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			err = idem.Do(t.Context(), newGuard(t, m, idem.Config{Seal: keyring(t, "a")}), k, func(ctx context.Context) error {
				_, err := idem.Step(ctx, "s", func(context.Context) (int, error) { t.Errorf("%s: the step ran", what); return 0, nil })
				return err
			})
			if err == nil || !strings.Contains(err.Error(), "cannot be read") {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

func TestKeysCanBeChanged(t *testing.T) {
	m := &idem.Memory{}
	use := func(k idem.Key, config idem.Config, ran bool, target error) {
		t.Helper()
		did := false
		got, err := idem.DoValue(t.Context(), newGuard(t, m, config), k, func(context.Context) (string, error) { did = true; return "r", nil })
		if did != ran || !errors.Is(err, target) || err == nil && got != "r" {
			t.Errorf("%q: %q, %v, ran %v", k, got, err, did)
		}
	}
	plain := idem.Config{}
	old := idem.Config{Seal: keyring(t, "a")}
	both := idem.Config{Seal: keyring(t, "a", "b")}
	next := idem.Config{Seal: keyring(t, "b", "a")}
	done := idem.Config{Seal: keyring(t, "b")}
	use("plain", plain, true, nil)
	use("by a", old, true, nil)
	use("by a", both, false, nil)
	use("by b", next, true, nil)
	use("by a", next, false, nil)
	use("by b", both, false, nil) // a process that still seals with the old key
	use("by b", done, false, nil)
	use("by a", done, false, idem.ErrNoResult)
	use("by a", plain, false, idem.ErrNoResult)
	use("plain", old, false, idem.ErrNoResult)
	use("plain", idem.Config{Seal: keyring(t, "a").AcceptUnsealed()}, false, nil)
	use("by a", idem.Config{Seal: keyring(t, "a").AcceptUnsealed()}, false, nil)
	same, err := idem.NewKeyring(idem.SealKey{ID: "a", Secret: bytes.Repeat([]byte("x"), 32)})
	if err != nil {
		t.Fatal(err)
	}
	use("by a", idem.Config{Seal: same}, false, idem.ErrNoResult)
}

func TestKeyringsAreChecked(t *testing.T) {
	short := idem.SealKey{ID: "short", Secret: make([]byte, 31)}
	for says, keys := range map[string][]idem.SealKey{
		"SealKey.ID has 0 bytes":                   {{Secret: make([]byte, 32)}},
		"SealKey.ID has 256 bytes":                 {{ID: strings.Repeat("x", 256), Secret: make([]byte, 32)}},
		`two SealKeys have the ID "a"`:             {sealKey("a"), sealKey("a")},
		`SealKey.Secret of "short" has 31 bytes`:   {short},
		`SealKey.Secret of "short" has 31 bytes; `: {sealKey("a"), short},
	} {
		if _, err := idem.NewKeyring(keys[0], keys[1:]...); err == nil || !strings.HasPrefix(err.Error(), "idem: "+says) {
			t.Errorf("%v; want an error that says %q", err, says)
		}
	}
	if _, err := idem.New(&idem.Memory{}, idem.Config{Seal: &idem.Keyring{}}); err == nil || !strings.Contains(err.Error(), "Config.Seal") {
		t.Errorf("an empty keyring: %v", err)
	}
	long := idem.SealKey{ID: strings.Repeat("x", 255), Secret: make([]byte, 64)}
	k, err := idem.NewKeyring(long)
	if err != nil {
		t.Fatal(err)
	}
	g := newGuard(t, &idem.Memory{}, idem.Config{Seal: k})
	for range 2 {
		if err := run(t, g, "k"); err != nil {
			t.Errorf("the longest ID: %v", err)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	key := idem.SealKey{ID: "visible", Secret: bytes.Repeat([]byte("hidden!!"), 8)}
	k, err := idem.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key, "ring", k)
	for _, text := range []string{
		fmt.Sprint(key), fmt.Sprintf("%v %+v %#v %s", key, key, key, key), fmt.Sprintf("%v %+v %#v %s", k, k, k, k),
		fmt.Sprintf("%v %+v", idem.Config{Seal: k}.Seal, []idem.SealKey{key}), log.String(),
	} {
		if strings.Contains(text, "hidden") || strings.Contains(text, "104 105 100") || !strings.Contains(text, "visible") {
			t.Errorf("shown: %s", text)
		}
	}
}

func FuzzOpen(f *testing.F) {
	m := &idem.Memory{}
	k, err := idem.NewKeyring(sealKey("a"))
	if err != nil {
		f.Fatal(err)
	}
	g := newGuard(f, m, idem.Config{Seal: k})
	f.Add([]byte("\x04\x01a"))
	f.Add([]byte("\x04"))
	f.Add([]byte("\x01\"plain\""))
	f.Add(append([]byte("\x04\x01a"), make([]byte, 100)...))
	f.Fuzz(func(t *testing.T, stored []byte) {
		plant(t, m, "k", uuid.New(), stored)
		got, err := idem.DoValue(t.Context(), g, "k", func(context.Context) (string, error) { return "ran", nil })
		if err == nil || got != "" || !errors.Is(err, idem.ErrNoResult) {
			t.Fatalf("%q, %v", got, err)
		}
	})
}
