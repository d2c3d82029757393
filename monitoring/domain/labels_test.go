package domain_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"example.com/once/monitoring/domain"
)

func TestLabels(t *testing.T) {
	l := domain.NewLabels(map[string]string{"job": "api", "__name__": "up", "instance": `a"b`, "gone": ""})
	if l.Len() != 3 || l.Get("job") != "api" || l.Get("gone") != "" || l.Get("no") != "" {
		t.Errorf("%v", l)
	}
	if got, want := l.String(), `up{instance="a\"b", job="api"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for want, l := range map[string]domain.Labels{
		"{}": {}, "up": domain.LabelsOf("__name__", "up"), `{a="b"}`: domain.LabelsOf("a", "b"), `{a="2"}`: domain.LabelsOf("a", "1", "a", "2", "x"),
	} {
		if got := l.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := l.With("job", ""); got.Len() != 2 || l.Len() != 3 {
		t.Errorf("%v; and the set itself, which must not change: %v", got, l)
	}
	if got := l.Merge(domain.LabelsOf("job", "web", "x", "y")); got.String() != `up{instance="a\"b", job="web", x="y"}` {
		t.Errorf("%v", got)
	}
	if !l.Equal(l.Merge(domain.Labels{})) || l.Equal(domain.Labels{}) {
		t.Error("Equal")
	}
	l.Map()["job"] = "changed"
	if l.Get("job") != "api" {
		t.Error("the map that Map returns is the set's own")
	}
	a, b := domain.LabelsOf("a", "1"), domain.LabelsOf("a", "1", "b", "1")
	if a.Compare(b) >= 0 || b.Compare(a) <= 0 || a.Compare(domain.LabelsOf("a", "1")) != 0 || a.Compare(domain.LabelsOf("a", "2")) >= 0 {
		t.Error("Compare")
	}
}

func TestLabelsReadBack(t *testing.T) {
	for _, l := range []domain.Labels{domain.NewLabels(nil), domain.LabelsOf("a", "b", "z", "\u2028<&>ü\x00")} {
		data, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		var got domain.Labels
		if err := json.Unmarshal(data, &got); err != nil || !got.Equal(l) {
			t.Errorf("%s is %v, %v", data, got, err)
		}
	}
	var l domain.Labels
	if err := json.Unmarshal([]byte(`{"a":1}`), &l); err == nil {
		t.Error("a number is taken for a text")
	}
}

// TestFingerprintIsStable: these are on disk, in message ids and at receivers. They must be
// the same in every process and every version for ever.
func TestFingerprintIsStable(t *testing.T) {
	for want, l := range map[string]domain.Labels{
		"e3b0c44298fc1c149afbf4c8996fb924": {},
		"266374f62b5dcf3a0590754ff607f9c5": domain.LabelsOf("alertname", "Down", "instance", "a:9100"),
		"6e16a2a4cc6c408f6e7a91461da66337": domain.LabelsOf("ü", "\x00"),
	} {
		f := l.Fingerprint()
		if f.String() != want {
			t.Errorf("%v has %s, want %s", l, f, want)
		}
		back, err := domain.ParseFingerprint(f.String())
		if back != f || err != nil {
			t.Errorf("%s is read as %s, %v", f, back, err)
		}
	}
	for _, bad := range []string{"", "xyz", strings.Repeat("0", 31), strings.Repeat("0", 34), strings.Repeat("g", 32)} {
		if f, err := domain.ParseFingerprint(bad); !errors.Is(err, domain.ErrFingerprint) {
			t.Errorf("%q is %v, %v", bad, f, err)
		}
		var f domain.Fingerprint
		if err := f.UnmarshalText([]byte(bad)); !errors.Is(err, domain.ErrFingerprint) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestFingerprintTellsSetsApart: what is between names and values cannot be moved into them.
func TestFingerprintTellsSetsApart(t *testing.T) {
	seen := make(map[domain.Fingerprint]domain.Labels)
	add := func(l domain.Labels) {
		t.Helper()
		if other, ok := seen[l.Fingerprint()]; ok && !other.Equal(l) {
			t.Fatalf("%v and %v share a fingerprint", other, l)
		}
		seen[l.Fingerprint()] = l
	}
	add(domain.LabelsOf("a", "bc"))
	add(domain.LabelsOf("ab", "c"))
	add(domain.LabelsOf("a", "b1:c1:d"))
	add(domain.LabelsOf("a", "b", "c", "d"))
	add(domain.LabelsOf("a", "b\x00c"))
	add(domain.LabelsOf("a\x00b", "c"))
	r := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		b := make([]byte, 1+r.IntN(4))
		for i := range b {
			b[i] = "1a:\xff"[r.IntN(4)]
		}
		return string(b)
	}
	for range 50_000 {
		m := make(map[string]string)
		for range r.IntN(4) {
			m[text()] = text()
		}
		l := domain.NewLabels(m)
		add(l)
		if l.Fingerprint() != domain.NewLabels(l.Map()).Fingerprint() {
			t.Fatalf("%v has two fingerprints", l)
		}
	}
	if len(seen) < 10_000 {
		t.Fatalf("only %d sets were made", len(seen))
	}
}
