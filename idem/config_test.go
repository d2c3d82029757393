package idem_test

import (
	"strings"
	"testing"
	"time"

	"example.com/once/idem"
	"example.com/once/idem/internal/model"
)

func TestConfigErrorsNameTheField(t *testing.T) {
	for _, c := range []struct {
		config idem.Config
		field  string
	}{
		{idem.Config{Lease: -1}, "Lease"},
		{idem.Config{Lease: time.Microsecond}, "Lease"},
		{idem.Config{Keep: -time.Second}, "Keep"},
		{idem.Config{Keep: time.Second}, "Keep"}, // shorter than the default lease
		{idem.Config{Lease: time.Hour, Keep: time.Minute}, "Keep"},
		{idem.Config{Wait: -time.Second}, "Wait"},
		{idem.Config{Settle: -time.Second}, "Settle"},
		{idem.Config{Mode: 7}, "Mode"},
		{idem.Config{Cache: 100}, "Cache"},
		{idem.Config{Compress: -1}, "Compress"},
		{idem.Config{Seal: &idem.Keyring{}}, "Seal"},
	} {
		_, err := idem.New(&idem.Memory{}, c.config)
		if err == nil || !strings.HasPrefix(err.Error(), "idem: Config."+c.field+" ") {
			t.Errorf("%+v: %v; want an error that names %s", c.config, err, c.field)
		}
		if _, err := idem.NewTx(model.New(model.None), c.config); err == nil || !strings.Contains(err.Error(), "Config."+c.field) {
			t.Errorf("NewTx, %+v: %v; want an error that names %s", c.config, err, c.field)
		}
	}
	for name, err := range map[string]error{
		"no store":                      second(idem.New(nil, idem.Config{})),
		"no transactional store":        second(idem.NewTx[int](nil, idem.Config{})),
		"Config.Mode: AtMostOnce needs": second(idem.New(&faulty{}, idem.Config{Mode: idem.AtMostOnce})),
		"Config.Mode is AtMostOnce":     second(idem.NewTx(model.New(model.None), idem.Config{Mode: idem.AtMostOnce})),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "idem: ") || strings.HasPrefix(name, "Config") && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []idem.Config{
		{}, {Lease: time.Millisecond}, {Lease: 48 * time.Hour}, {Lease: time.Hour, Keep: time.Hour},
		{MaxWaiters: -1, MaxResult: -1, SweepEvery: -1}, {Mode: idem.AtMostOnce},
		{Lease: 1<<63 - 1, Keep: 1<<63 - 1, Wait: 1<<63 - 1, Settle: 1<<63 - 1},
	} {
		g, err := idem.New(&idem.Memory{}, c)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		for range 2 {
			if err := run(t, g, "k"); err != nil {
				t.Errorf("%+v: %v", c, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestCallsAreChecked(t *testing.T) {
	s := &faulty{inner: &idem.Memory{}}
	g := newGuard(t, s, idem.Config{})
	for name, k := range map[string]idem.Key{"empty": "", "long": idem.Key(strings.Repeat("x", idem.MaxKey+1))} {
		want(t, name, run(t, g, k), idem.ErrKey)
	}
	for what, err := range map[string]error{
		"WithMode: unknown mode 9":   run(t, g, "k", idem.WithMode(9)),
		"WithMode: AtMostOnce needs": run(t, g, "k", idem.WithMode(idem.AtMostOnce)),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want an error that says %q", err, what)
		}
	}
	if n := s.claims.Load(); n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
	if err := run(t, g, idem.Key(strings.Repeat("x", idem.MaxKey))); err != nil {
		t.Errorf("the longest key: %v", err)
	}
}
