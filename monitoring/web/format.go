package web

import (
	"fmt"
	"hash/fnv"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/once/monitoring/app"
	"example.com/once/monitoring/domain"
)

// AlertPath is the path of an alert's timeline, escaped.
func AlertPath(ref app.AlertRef) string {
	segments := strings.Split(ref.RuleID, "/")
	for _, s := range segments {
		if s == "" || s == "." || s == ".." {
			// Browsers and servers would clean such a path into another one.
			return "/alerts/" + url.PathEscape(ref.RuleID) + "/" + ref.Fingerprint.String()
		}
	}
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return "/alerts/" + strings.Join(segments, "/") + "/" + ref.Fingerprint.String()
}

// parseAlertPath reads what follows /alerts/, unescaped.
func parseAlertPath(path string) (app.AlertRef, bool) {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return app.AlertRef{}, false
	}
	f, err := domain.ParseFingerprint(path[i+1:])
	return app.AlertRef{RuleID: path[:i], Fingerprint: f}, err == nil
}

// moment is an instant as a page shows it.
type moment struct {
	ISO   string // for machines
	Full  string // date, time, zone
	Clock string // time, and date unless it is today
	Ago   string // how long ago, or in how long
}

// at returns the moment of t, seen from now; the zero time gives the zero moment.
func at(now, t time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	t, now = t.UTC(), now.UTC()
	clock := "15:04:05"
	if t.Nanosecond()/int(time.Millisecond) != 0 {
		clock += ".000"
	}
	m := moment{ISO: t.Format(time.RFC3339Nano), Full: t.Format("2006-01-02 " + clock + " UTC"), Clock: t.Format(clock)}
	if t.Year() != now.Year() || t.YearDay() != now.YearDay() {
		m.Clock = t.Format("2 Jan " + clock)
	}
	switch d := now.Sub(t); {
	case d >= time.Second:
		m.Ago = duration(d) + " ago"
	case d > -time.Second:
		m.Ago = "now"
	default:
		m.Ago = "in " + duration(-d)
	}
	return m
}

// duration writes d in at most two units.
func duration(d time.Duration) string {
	units := func(big time.Duration, bigName string, small time.Duration, smallName string) string {
		s := strconv.FormatInt(int64(d/big), 10) + " " + bigName
		if rest := d % big / small; rest > 0 {
			s += " " + strconv.FormatInt(int64(rest), 10) + " " + smallName
		}
		return s
	}
	const day = 24 * time.Hour
	switch {
	case d <= 0:
		return "0 s"
	case d < time.Millisecond:
		return "under 1 ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 10*time.Second:
		return strconv.FormatFloat(math.Floor(d.Seconds()*10)/10, 'f', -1, 64) + " s"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return units(time.Minute, "min", time.Second, "s")
	case d < day:
		return units(time.Hour, "h", time.Minute, "min")
	default:
		return units(day, "d", time.Hour, "h")
	}
}

// seconds is duration for what is kept as a number of seconds.
func seconds(s float64) string {
	if !(s >= 0 && s < math.MaxInt64/1e9) {
		return "?"
	}
	return duration(time.Duration(s * float64(time.Second)))
}

// value writes a sample's value for reading.
func value(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// count writes a number with its thing: 1 attempt, 2 attempts, 2 fetches.
func count(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "ch"):
		thing += "e"
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// label is a label on a page.
type label struct{ Name, Value string }

// labels lists a set, without the names that are shown in other ways.
func labels(l domain.Labels, except ...string) []label {
	out := make([]label, 0, l.Len())
	for name, value := range l.All() {
		if !slices.Contains(except, name) {
			out = append(out, label{name, value})
		}
	}
	return out
}

// alertName is what an alert is called.
func alertName(l domain.Labels, ruleID string) string {
	if name := l.Get(domain.AlertName); name != "" {
		return name
	}
	return ruleID
}

// anchor is an id on a page for what belongs to an alert. Two rules may have alerts with the
// same fingerprint.
func anchor(kind string, ref app.AlertRef, more ...string) string {
	h := fnv.New64a()
	for _, part := range append(more, ref.RuleID, ref.Fingerprint.String()) {
		_, _ = h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return kind + "-" + strconv.FormatUint(h.Sum64(), 36)
}
