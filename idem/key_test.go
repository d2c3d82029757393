package idem_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.com/once/idem"
)

// Keys outlive releases: they are in databases.
func TestNewKeyIsStable(t *testing.T) {
	for want, k := range map[string]idem.Key{
		"6:orders2:a15:12345": idem.NewKey("orders", "a1", "12345"),
		"0:":                  idem.NewKey(""),
		"0:0:":                idem.NewKey("", ""),
		"3:é\x005:1:2:3":      idem.NewKey("é\x00", "1:2:3"),
		"251:" + ones(251):    idem.NewKey(ones(251)),
		"sha256:e44c098ed31876cb4baf5d04942fe03aabacae6d0aa98a550fed26a9c8bb455a": idem.NewKey(ones(252)),
	} {
		if string(k) != want {
			t.Errorf("%q, want %q", k, want)
		}
	}
}

func ones(n int) string { return strings.Repeat("1", n) }

// parse undoes NewKey for keys that are not digests. That it can is why no two inputs share
// one.
func parse(t testing.TB, k idem.Key) []string {
	t.Helper()
	var parts []string
	for rest := string(k); rest != ""; {
		size, after, ok := strings.Cut(rest, ":")
		n, err := strconv.Atoi(size)
		if !ok || err != nil || n < 0 || n > len(after) || strconv.Itoa(n) != size {
			t.Fatalf("%q does not parse at %q", k, rest)
		}
		parts = append(parts, after[:n])
		rest = after[n:]
	}
	return parts
}

func FuzzNewKeyIsInjective(f *testing.F) {
	f.Add("orders", "a", "b", "c", uint8(3))
	f.Add("", "", "", "", uint8(0))
	f.Add("1:a", "2:", ":", "\x00", uint8(2))
	f.Add(ones(251), "", "", "", uint8(0))
	f.Add(ones(252), "", "", "", uint8(1))
	f.Add("sha256:", ones(300), "x", "\xff", uint8(3))
	f.Fuzz(func(t *testing.T, scope, a, b, c string, n uint8) {
		parts := []string{a, b, c}[:n%4]
		whole := append([]string{scope}, parts...)
		k := idem.NewKey(scope, parts...)
		if k == "" || len(k) > idem.MaxKey {
			t.Fatalf("%q is not a valid key", k)
		}
		if k != idem.NewKey(scope, parts...) {
			t.Fatal("it is not the same every time")
		}
		digest := strings.HasPrefix(string(k), "sha256:")
		size := 0
		for _, p := range whole {
			size += len(strconv.Itoa(len(p))) + 1 + len(p)
		}
		if digest != (size > idem.MaxKey) {
			t.Fatalf("%d bytes in clear, and the key is %q", size, k)
		}
		if !digest && !slices.Equal(parse(t, k), whole) {
			t.Fatalf("%q parses as %q, not as %q", k, parse(t, k), whole)
		}
		// Neighbours: a byte that changes places, an empty part more, two parts as one.
		for _, other := range neighbours(whole) {
			if idem.NewKey(other[0], other[1:]...) == k {
				t.Fatalf("%q and %q share %q", whole, other, k)
			}
		}
	})
}

func neighbours(parts []string) [][]string {
	all := [][]string{append(slices.Clone(parts), "")}
	for i := range len(parts) - 1 {
		joined := slices.Concat(parts[:i], []string{parts[i] + parts[i+1]}, parts[i+2:])
		all = append(all, joined)
		if parts[i+1] != "" {
			moved := slices.Clone(parts)
			moved[i], moved[i+1] = moved[i]+moved[i+1][:1], moved[i+1][1:]
			all = append(all, moved)
		}
	}
	return all
}
