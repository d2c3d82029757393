package outboxhttp

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// ErrPrivateAddress is matched by the error of a request to an address that is not on the
// public internet.
var ErrPrivateAddress = errors.New("outboxhttp: not a public address")

// PublicOnly is a Control function for a [net.Dialer]: it refuses, with
// [ErrPrivateAddress], to connect to an address that is not on the public internet. It
// sees the address after the name was resolved, so no DNS answer gets past it.
func PublicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q", ErrPrivateAddress, address)
	}
	if !public(at.Addr()) {
		return fmt.Errorf("%w: %v", ErrPrivateAddress, at.Addr())
	}
	return nil
}

// public says whether a is a globally reachable unicast address, by IANA's registries of
// special purpose addresses.
func public(a netip.Addr) bool {
	a = a.Unmap()
	special := special6()
	if a.Is4() {
		special = special4()
	} else if !netip.MustParsePrefix("2000::/3").Contains(a) {
		return false
	}
	for _, s := range special {
		if netip.MustParsePrefix(s).Contains(a) {
			return false
		}
	}
	return true
}

func special4() []string {
	return []string{
		"0.0.0.0/8",       // this network
		"10.0.0.0/8",      // private
		"100.64.0.0/10",   // carrier-grade NAT, and clouds' inner services
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local, and clouds' metadata
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments
		"192.0.2.0/24",    // documentation
		"192.88.99.0/24",  // 6to4 relays
		"192.168.0.0/16",  // private
		"198.18.0.0/15",   // benchmarks
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, and broadcast
	}
}

// special6 is within 2000::/3; what embeds an IPv4 address might lead to a private one.
func special6() []string {
	return []string{
		"2001::/23",     // protocol assignments, Teredo
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4
		"3fff::/20",     // documentation
	}
}
