package service

import (
	"errors"
	"testing"
	"time"

	"example.com/once/monitoring/infra/configfile"
	"example.com/once/outbox"
	"example.com/once/retry"
)

func TestMessagesOfAnUnknownSinkAreKept(t *testing.T) {
	s, err := newSinks(configfile.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 1)
	s.publisher.Publish(t.Context(), []outbox.Delivery{{Message: outbox.Message{Topic: "gone"}}}, errs)
	if errs[0] == nil || errors.Is(errs[0], outbox.ErrUnavailable) || retry.Classify(errs[0]).Class == retry.Permanent {
		t.Errorf("got %v, want a failure that is tried again and spends attempts", errs[0])
	}
}

func TestRelayConfig(t *testing.T) {
	if p := relayConfig(configfile.Config{}, outbox.Hooks{}, nil).Policy; p.Backoff != nil || p.MaxAttempts != 0 {
		t.Errorf("without a configuration: %+v, want the relay's defaults", p)
	}
	c := configfile.Config{Replica: "a", Delivery: configfile.Delivery{
		Attempts: 3, FirstWait: time.Second, LastWait: time.Minute, Lease: 2 * time.Second, Probe: 3 * time.Second, Drain: 4 * time.Second,
	}}
	r := relayConfig(c, outbox.Hooks{}, nil)
	if r.Owner != "a" || r.LeaseTTL != 2*time.Second || r.Probe != 3*time.Second || r.Drain != 4*time.Second || r.Policy.MaxAttempts != 3 || r.Policy.Backoff == nil {
		t.Errorf("%+v", r)
	}
	if wait, reason := r.Policy.Next(3, errors.New("x")); reason == nil || wait != 0 {
		t.Errorf("third failure of three: %v, %v", wait, reason)
	}
}

func TestAddressesAreShownWithoutSecrets(t *testing.T) {
	for in, want := range map[string]string{
		"https://user:pass@a.example/x?token=y": "https://user:xxxxx@a.example/x?…",
		"http://a.example:9093":                 "http://a.example:9093",
		"http://a b":                            "",
	} {
		if got := withoutSecrets(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
