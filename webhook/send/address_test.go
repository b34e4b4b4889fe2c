package send

import (
	"net/netip"
	"testing"
)

func TestIsInside(t *testing.T) {
	for _, text := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
		"169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1",
		"198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
		"255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
		"64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "fc00::1", "fd00:ec2::254", "fe80::1",
		"fe80::1%eth0", "fec0::1", "ff02::1", "3fff::1",
	} {
		if !IsInside(netip.MustParseAddr(text)) {
			t.Errorf("%s is taken for public", text)
		}
	}
	for _, text := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.1.1.1", "128.0.0.1",
		"169.253.1.1", "172.15.1.1", "172.32.1.1", "192.167.1.1", "193.0.0.1", "198.17.1.1", "198.20.1.1", "223.1.1.1",
		"::ffff:8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e", "2400:3200::1",
	} {
		if IsInside(netip.MustParseAddr(text)) {
			t.Errorf("%s is refused", text)
		}
	}
	if !IsInside(netip.Addr{}) {
		t.Error("no address is taken for public")
	}
}

func TestCheckURL(t *testing.T) {
	for _, tt := range []struct {
		url             string
		public, private bool // is taken
	}{
		{"https://example.com/hook?x=1", true, true},
		{"http://example.com:8080", true, true},
		{"https://8.8.8.8/", true, true},
		{"https://[2606:4700::1]:8443/", true, true},
		{"http://127.0.0.1:9000/", false, true},
		{"http://localhost/", false, true},
		{"http://LOCALHOST./", false, true},
		{"http://a.localhost/", false, true},
		{"http://[::1]/", false, true},
		{"http://[::ffff:127.0.0.1]/", false, true},
		{"http://169.254.169.254/latest/meta-data", false, true},
		{"http://0.0.0.0/", false, true},
		{"", false, false},
		{"example.com", false, false},
		{"ftp://example.com/", false, false},
		{"file:///etc/passwd", false, false},
		{"https://", false, false},
		{"https://:443/", false, false},
		{"https://user:secret@example.com/", false, false},
		{"https://example.com/#top", false, false},
		{"https://example.com/#", false, false},
		{"https://example.com:0/", false, false},
		{"https://example.com:65536/", false, false},
		{"https://exa mple.com/", false, false},
		{"https://example.com/\r\nHost: x", false, false},
		{"javascript:alert(1)", false, false},
	} {
		if got := CheckURL(tt.url, false) == nil; got != tt.public {
			t.Errorf("%q is taken: %t", tt.url, got)
		}
		if got := CheckURL(tt.url, true) == nil; got != tt.private {
			t.Errorf("%q is taken with private addresses: %t", tt.url, got)
		}
	}
}
