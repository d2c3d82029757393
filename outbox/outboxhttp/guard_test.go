package outboxhttp_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/once/outbox"
	"example.com/once/outbox/outboxhttp"
)

func TestPublicOnly(t *testing.T) {
	for address, public := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "172.15.0.1": true, "172.32.0.1": true, "100.63.0.1": true, "2606:4700::1111": true,
		"::ffff:8.8.8.8": true,
		"127.0.0.1":      false, "127.8.8.8": false, "10.1.2.3": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "100.100.100.200": false, "0.0.0.0": false, "0.1.2.3": false, "192.0.0.192": false,
		"198.18.0.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false, "192.0.2.1": false,
		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false,
		"fec0::1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "64:ff9b:1::a00:1": false, "2002:7f00:1::": false, "2001::1": false, "2001:db8::1": false,
	} {
		err := outboxhttp.PublicOnly("tcp", net.JoinHostPort(address, "443"), nil)
		if (err == nil) != public || err != nil && !errors.Is(err, outboxhttp.ErrPrivateAddress) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := outboxhttp.PublicOnly("unix", "/run/socket", nil); err == nil {
		t.Error("a socket is let through")
	}
}

// A name is judged by where it leads, when it is dialed.
func TestOutbox36PrivateAddressesAreRefused(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	defer srv.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(srv.URL, "http://"), ":")
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		for _, c := range []*http.Client{nil, {}} {
			p := publisher(t, outboxhttp.Config{URL: "http://" + host + ":" + port, Client: c})
			errs := make([]error, 1)
			p.Publish(t.Context(), []outbox.Delivery{message("x")}, errs)
			if !errors.Is(errs[0], outboxhttp.ErrPrivateAddress) || errors.Is(errs[0], outbox.ErrUnavailable) {
				t.Errorf("%s: %v", host, errs[0])
			}
		}
	}
}
