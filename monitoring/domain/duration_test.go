package domain_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"example.com/once/monitoring/domain"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "1ms": time.Millisecond, "90s": 90 * time.Second, "5m": 5 * time.Minute, "1h30m": 90 * time.Minute,
		"1d": day, "2w": 14 * day, "1y": 365 * day, "1y2w3d4h5m6s7ms": 382*day + 4*time.Hour + 5*time.Minute + 6*time.Second + 7*time.Millisecond,
		"007s": 7 * time.Second, "292y": 292 * 365 * day, "9223372036854ms": 9223372036854 * time.Millisecond,
	} {
		if got, err := domain.ParseDuration(text); got != want || err != nil {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "5", "5 m", " 5m", "5m ", "-5m", "+5m", "1.5h", "m", "5x", "5M", "5min", "1s1s", "1m1h", "30m1h", "1s1ms1", "00", "1ns", "1us",
		"293y", "9223372036855ms", "99999999999999999999s", "292y172d", "５m",
	} {
		if got, err := domain.ParseDuration(text); !errors.Is(err, domain.ErrDuration) {
			t.Errorf("%q is %v, %v; want it refused", text, got, err)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0": 999 * time.Microsecond, "1ms": 1999 * time.Microsecond, "1m30s": 90 * time.Second, "400d": 400 * 24 * time.Hour, "1d1ms": 24*time.Hour + time.Millisecond,
	} {
		if got := domain.FormatDuration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	if got := domain.FormatDuration(-time.Second); got != "0" {
		t.Errorf("a negative one is %q", got)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		d := time.Duration(r.Int64N(math.MaxInt64 >> r.IntN(40))).Truncate(time.Millisecond)
		if got, err := domain.ParseDuration(domain.FormatDuration(d)); got != d || err != nil {
			t.Fatalf("%v becomes %q, which is %v, %v", d, domain.FormatDuration(d), got, err)
		}
	}
}
