package domain

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// ErrDuration is matched by every error of [ParseDuration].
var ErrDuration = errors.New("not a duration: want numbers with units y, w, d, h, m, s, ms in that order, like 1h30m, or 0")

type durationUnit struct {
	name string
	size time.Duration
}

func durationUnits() []durationUnit {
	const day = 24 * time.Hour
	return []durationUnit{
		{"y", 365 * day},
		{"w", 7 * day},
		{"d", day},
		{"h", time.Hour},
		{"m", time.Minute},
		{"s", time.Second},
		{"ms", time.Millisecond},
	}
}

// ParseDuration reads a duration as Prometheus writes them: whole numbers with the
// units y, w, d, h, m, s and ms, each at most once and in that order. "0" needs no
// unit. A day has 24 hours and a year 365 days. Negative durations, fractions and
// anything else are refused with an error that matches [ErrDuration].
func ParseDuration(text string) (time.Duration, error) {
	fail := func() (time.Duration, error) { return 0, fmt.Errorf("%q is %w", text, ErrDuration) }
	if text == "0" {
		return 0, nil
	}
	if text == "" {
		return fail()
	}
	units := durationUnits()
	var total time.Duration
	for rest := text; rest != ""; {
		var n int64
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			if n > (math.MaxInt64-9)/10 {
				return fail()
			}
			n = n*10 + int64(rest[digits]-'0')
			digits++
		}
		end := digits
		for end < len(rest) && (rest[end] < '0' || rest[end] > '9') {
			end++
		}
		name := rest[digits:end]
		if digits == 0 {
			return fail()
		}
		found := false
		for i, u := range units {
			if u.name == name {
				if n > (math.MaxInt64-int64(total))/int64(u.size) {
					return fail()
				}
				total += time.Duration(n) * u.size
				units = units[i+1:]
				found = true
				break
			}
		}
		if !found {
			return fail()
		}
		rest = rest[end:]
	}
	return total, nil
}

// FormatDuration writes d so that [ParseDuration] reads it back; parts below a millisecond are cut off.
func FormatDuration(d time.Duration) string {
	if d < time.Millisecond {
		return "0"
	}
	var b strings.Builder
	for _, u := range durationUnits() {
		if u.name == "y" || u.name == "w" { // as people write them: 400d, 14d
			continue
		}
		if n := d / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d %= u.size
		}
	}
	return b.String()
}
