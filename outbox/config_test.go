package outbox_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxtest"
	"example.com/once/retry"
)

func TestNewRelayErrorsNameTheField(t *testing.T) {
	for _, c := range []struct {
		want   []string
		config outbox.RelayConfig
	}{
		{[]string{"RelayConfig.Owner", "128 bytes"}, outbox.RelayConfig{Owner: strings.Repeat("x", 129)}},
		{[]string{"RelayConfig.Owner"}, outbox.RelayConfig{Owner: "a\nb"}},
		{[]string{"RelayConfig.Lanes is empty", "nil for all"}, outbox.RelayConfig{Lanes: []uint8{}}},
		{[]string{"RelayConfig.LeaseTTL is negative"}, outbox.RelayConfig{LeaseTTL: -time.Second}},
		{[]string{"RelayConfig.LeaseTTL is 50ms", "at least 100ms"}, outbox.RelayConfig{LeaseTTL: 50 * time.Millisecond}},
		{[]string{"RelayConfig.Batch is -1", "1 to 10000"}, outbox.RelayConfig{Batch: -1}},
		{[]string{"RelayConfig.Batch is 10001"}, outbox.RelayConfig{Batch: 10_001}},
		{[]string{"RelayConfig.Concurrency is -1"}, outbox.RelayConfig{Concurrency: -1}},
		{[]string{"RelayConfig.Timeout is negative"}, outbox.RelayConfig{Timeout: -1}},
		{[]string{"RelayConfig.Timeout is 10s", "half of LeaseTTL (15s)"}, outbox.RelayConfig{Timeout: 10 * time.Second}},
		{[]string{"RelayConfig.PollMin is 2s", "PollMax (1s)"}, outbox.RelayConfig{PollMin: 2 * time.Second}},
		{[]string{"RelayConfig.PollMax is negative"}, outbox.RelayConfig{PollMax: -1}},
		{[]string{"RelayConfig.Probe is negative"}, outbox.RelayConfig{Probe: -1}},
		{[]string{"RelayConfig.Drain is negative"}, outbox.RelayConfig{Drain: -1}},
		{[]string{"RelayConfig.Exhausted is 7", "SkipHead or BlockKey"}, outbox.RelayConfig{Exhausted: 7}},
		{[]string{"RelayConfig.Batch", "RelayConfig.Probe"}, outbox.RelayConfig{Batch: -1, Probe: -1}},
	} {
		_, err := outbox.NewRelay(&outboxtest.Memory{}, newDestination(nil), c.config)
		if err == nil {
			t.Errorf("no error, want %q", c.want)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
	if _, err := outbox.NewRelay(nil, newDestination(nil), outbox.RelayConfig{}); err == nil || !strings.Contains(err.Error(), "Store") {
		t.Error(err)
	}
	if _, err := outbox.NewRelay(&outboxtest.Memory{}, nil, outbox.RelayConfig{}); err == nil || !strings.Contains(err.Error(), "Publisher") {
		t.Error(err)
	}
}

// The schedule of the default policy: twelve attempts within about a day; only Stop ends them early,
// not what retry takes for permanent.
func TestDefaultPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		err      error
		attempts int
	}{
		"any error":                           {errBoom, 12},
		"an error that retry thinks is final": {errors.ErrUnsupported, 12},
		"Stop":                                {retry.Stop(errBoom), 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var m outboxtest.Memory
				to := newDestination(failing("a0", -1, c.err))
				start(t, &m, to, outbox.RelayConfig{PollMax: time.Minute, Concurrency: 1})
				write(t, &m, "a", "a0")
				time.Sleep(40 * time.Hour)
				got := to.seen("a0")
				if len(got) != c.attempts {
					t.Fatalf("%d attempts, want %d", len(got), c.attempts)
				}
				if last := got[len(got)-1].at; c.attempts == 12 && (last < 18*time.Hour || last > 30*time.Hour) {
					t.Errorf("the last came after %v", last)
				}
				if len(dead(t, &m)) != 1 {
					t.Error("no dead letter")
				}
			})
		})
	}
}

// A policy's fields that are set are kept.
func TestPolicyOfTheConfiguration(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m outboxtest.Memory
		to := newDestination(func(outbox.Delivery) error { return errBoom })
		start(t, &m, to, outbox.RelayConfig{Policy: &retry.Policy{MaxAttempts: 2, Classify: func(error) retry.Verdict {
			return retry.Verdict{After: 10 * time.Minute}
		}}})
		write(t, &m, "a", "a0")
		time.Sleep(time.Hour)
		if got := to.seen("a0"); len(got) != 2 || got[1].at < 10*time.Minute {
			t.Errorf("%+v", got)
		}
	})
}
