package send

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// inside are the networks that are not of the public internet, or reach what is not (RFC 6890, RFC 4291): what a
// webhook must not reach.
var inside = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network; 0.0.0.0 is this host
	netip.MustParsePrefix("10.0.0.0/8"),      // private
	netip.MustParsePrefix("100.64.0.0/10"),   // behind a carrier's NAT
	netip.MustParsePrefix("127.0.0.0/8"),     // loopback
	netip.MustParsePrefix("169.254.0.0/16"),  // link-local, and the metadata of clouds
	netip.MustParsePrefix("172.16.0.0/12"),   // private
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("192.168.0.0/16"),  // private
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("224.0.0.0/3"),     // multicast, reserved, broadcast

	netip.MustParsePrefix("2001::/23"),     // protocol assignments, Teredo among them
	netip.MustParsePrefix("2001:db8::/32"), // documentation
	netip.MustParsePrefix("2002::/16"),     // 6to4: an IPv4 address is in it
	netip.MustParsePrefix("3fff::/20"),     // documentation
}

// isGivenOut reports whether an IPv6 address is of 2000::/3, the part that was given out for use. Anything else
// (loopback, unique local, link-local, multicast, translated IPv4) is inside.
func isGivenOut(a netip.Addr) bool { return a.As16()[0]>>5 == 1 }

// IsInside reports whether an address is not one of the public internet. An IPv4 address within IPv6 counts as what it
// is.
func IsInside(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.Is6() && !isGivenOut(a) {
		return true
	}
	for _, p := range inside {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// errRefused does not name the address: who set the URL need not know what a name stands for inside.
var errRefused = errors.New(
	"the host's address is not of the public internet; --webhook-allow-private lets webhooks reach it")

// refuseInside is a net.Dialer's Control: it sees the address that is connected to.
func refuseInside(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connect to %q: %w", address, err)
	}
	if IsInside(to.Addr()) {
		return errRefused
	}
	return nil
}
