package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"example.com/once/monitoring/domain"
)

// Names of the series that are added for every target.
const (
	MetricUp       = "up"                      // 1 if the target could be read and is well, else 0
	MetricDuration = "scrape_duration_seconds" // how long reading it took
	MetricSamples  = "scrape_samples_scraped"  // how many samples it gave
)

// Snapshot is what the targets said in one slot. The samples are those that some
// rule reads.
type Snapshot struct {
	Slot     time.Time
	Samples  []domain.Sample
	Unknown  []domain.Labels // of the targets that could not be read
	Statuses []TargetStatus
}

// flight is a fetch that several grids may wait for.
type flight struct {
	done chan struct{}
	snap Snapshot
}

// flightsKept bounds the fetches that are remembered for grids that come late.
const flightsKept = 8

// fetchOnce is Fetch, made once for all grids that share the slot.
func (m *Monitor) fetchOnce(ctx context.Context, slot time.Time) Snapshot {
	m.mu.Lock()
	f, ok := m.flights[slot.UnixNano()]
	if !ok {
		f = &flight{done: make(chan struct{})}
		m.flights[slot.UnixNano()] = f
		for at := range m.flights {
			if len(m.flights) > flightsKept && at < slot.UnixNano() {
				delete(m.flights, at)
			}
		}
	}
	m.mu.Unlock()
	if ok {
		select {
		case <-f.done:
			return f.snap
		case <-ctx.Done(): // the caller is about to stop
			return Snapshot{Slot: slot}
		}
	}
	patience := time.Duration(1<<63 - 1)
	for _, g := range m.grids {
		if g.Contains(slot) {
			patience = min(patience, g.Interval)
		}
	}
	fetching, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the slot is over"))
	defer cancel()
	f.snap = m.Fetch(fetching, slot)
	close(f.done)
	return f.snap
}

// Fetch reads all targets at once, each within its own timeout, and returns what they
// said, labelled, together with the series up, scrape_duration_seconds and
// scrape_samples_scraped of each. A target that cannot be read is a fact, not
// silence: its up is 0, and Unknown holds its labels.
func (m *Monitor) Fetch(ctx context.Context, slot time.Time) Snapshot {
	type result struct {
		samples []domain.Sample
		status  TargetStatus
		unknown bool
	}
	results := make([]result, len(m.c.Targets))
	var wg sync.WaitGroup
	for i, t := range m.c.Targets {
		wg.Go(func() {
			r := &results[i]
			r.samples, r.status, r.unknown = m.read(ctx, t, slot)
		})
	}
	wg.Wait()
	snap := Snapshot{Slot: slot}
	for i, r := range results {
		snap.Samples = append(snap.Samples, r.samples...)
		snap.Statuses = append(snap.Statuses, r.status)
		if r.unknown {
			snap.Unknown = append(snap.Unknown, m.c.Targets[i].Labels)
		}
	}
	return snap
}

// read reads one target.
func (m *Monitor) read(ctx context.Context, t Target, slot time.Time) ([]domain.Sample, TargetStatus, bool) {
	timeout := t.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	start := time.Now()
	seen, err := t.Fetcher.Fetch(ctx)
	seconds := time.Since(start).Seconds()
	at := start.UTC().Round(0)
	status := TargetStatus{
		Target: t.Name, Kind: t.Kind, URL: t.URL, Labels: t.Labels, Replica: m.c.Replica,
		Slot: slot, Up: err == nil && seen.Problem == "", Problem: seen.Problem, Seconds: seconds, Samples: len(seen.Samples),
	}
	if err != nil {
		seen.Samples, status.Samples, status.Problem = nil, 0, problem(ctx, err)
		m.log.WarnContext(ctx, "target cannot be read", "target", t.Name, "slot", slot, "err", err)
	}
	up := 0.0
	if status.Up {
		up = 1
	}
	var samples []domain.Sample
	known := make(map[domain.Fingerprint]bool)
	add := func(labels domain.Labels, value float64) {
		if !m.reads(labels) {
			return
		}
		if f := labels.Fingerprint(); !known[f] { // a target that repeats a series: the first one stands
			known[f] = true
			samples = append(samples, domain.Sample{Labels: labels, Value: value, At: at})
		}
	}
	add(t.Labels.With(domain.MetricName, MetricUp), up)
	add(t.Labels.With(domain.MetricName, MetricDuration), seconds)
	add(t.Labels.With(domain.MetricName, MetricSamples), float64(status.Samples))
	for _, s := range seen.Samples {
		add(attach(s.Labels, t.Labels), s.Value)
	}
	return samples, status, err != nil
}

// problem says why a target could not be read; a deadline is named by its cause.
func problem(ctx context.Context, err error) string {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
		return cause.Error()
	}
	return err.Error()
}

// attach puts the target's labels on a series. A label of the series that is in the
// way is kept as exported_NAME, as Prometheus does.
func attach(series, target domain.Labels) domain.Labels {
	m := series.Map()
	for name, value := range target.All() {
		if own, ok := m[name]; ok {
			moved := "exported_" + name
			for m[moved] != "" {
				moved = "exported_" + moved
			}
			m[moved] = own
		}
		m[name] = value
	}
	return domain.NewLabels(m)
}

// reads says whether some rule reads the series.
func (m *Monitor) reads(l domain.Labels) bool {
	for _, r := range m.c.Rules {
		if r.Condition.Reads(l) {
			return true
		}
	}
	return false
}
